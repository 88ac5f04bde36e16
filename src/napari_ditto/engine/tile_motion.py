"""Masks moved along with the image, tile by tile, without reading again what was just read."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.motion import Floats, estimate_flow, move
from napari_ditto.core.tiling import Tile
from napari_ditto.data.protocols import Source

MOST_TILES = 64
"""Grey tiles that are kept, 4 MB each at 1024 pixels."""


class TileMotion:
    """How the image moves on tiles of a source.

    Parameters
    ----------
    source : Source
        The image.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._grey: dict[tuple[PlaneAddress, Tile], Floats] = {}
        self._flows: dict[tuple[PlaneAddress, PlaneAddress, Tile], Floats] = {}

    def forget_all_but(self, planes: Collection[PlaneAddress]) -> None:
        """Drop what is known of other planes, and all flows."""
        self._grey = {at: grey for at, grey in self._grey.items() if at[0] in planes}
        self._flows.clear()

    def saw(self, address: PlaneAddress, tile: Tile, pixels: NDArray[np.float32]) -> None:
        """Keep a tile that was read for something else, shape (h, w, 3)."""
        if len(self._grey) < MOST_TILES:
            self._grey[address, tile] = pixels.mean(axis=2)

    def moved(
        self, mask: NDArray[np.bool_], tile: Tile, there: PlaneAddress, here: PlaneAddress
    ) -> NDArray[np.bool_] | None:
        """Return a mask on a tile brought from one plane to another; None if nothing moves."""
        between = there, here, tile
        if between not in self._flows:
            self._flows[between] = estimate_flow(self._read(there, tile), self._read(here, tile))
        flow = self._flows[between]
        return move(mask, flow) if flow.any() else None

    def _read(self, address: PlaneAddress, tile: Tile) -> Floats:
        known = self._grey.get((address, tile))
        if known is not None:
            return known
        pixels = self._source.read(address, tile.box, tile.level)
        self.saw(address, tile, pixels)
        return np.asarray(pixels.mean(axis=2), np.float32)
