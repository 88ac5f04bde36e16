"""Final labels of any box, put together from what the tiles show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.grouping import IN_CORE, WHOLE
from napari_ditto.core.run_plan import RunTile

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TileLabels:
    """A finished tile with the final ids of its objects.

    Attributes
    ----------
    tile : RunTile
        Where it lies.
    labels : ndarray of int, shape ``tile.window.shape``
        Ids 1 to n of the tile.
    ids : ndarray of int64, shape (n + 1,)
        Final id of each, 0 for background.
    modes : ndarray of uint8, shape (n + 1,)
        What of each mask is painted, see :mod:`napari_ditto.core.seams`.
    """

    tile: RunTile
    labels: NDArray[np.integer]
    ids: Ids
    modes: NDArray[np.uint8]

    def _part(self, box: Box) -> NDArray[np.integer]:
        corner = self.tile.window
        return self.labels[box.shift(-corner.y0, -corner.x0).slices]

    def paint_core(self, canvas: Ids, box: Box) -> None:
        """Paint into a box what lies in this tile's core."""
        common = self.tile.core.intersect(box)
        local = self._part(common)
        shown = np.where(self.modes > 0, self.ids, 0)[local]
        canvas[common.shift(-box.y0, -box.x0).slices] = shown

    def paint_rest(self, canvas: Ids, box: Box) -> None:
        """Paint where nothing is yet what whole masks show outside of the core."""
        common = self.tile.window.intersect(box)
        whole = np.where(self.modes == WHOLE, self.ids, 0)
        if common.is_empty or not whole.any():
            return
        view = canvas[common.shift(-box.y0, -box.x0).slices]
        shown = whole[self._part(common)]
        np.copyto(view, shown, where=view == 0)


def render(box: Box, tiles: Callable[[Box], Iterator[TileLabels]]) -> Ids:
    """Return the labels of a box.

    Each tile first decides about its own core; then whole masks that reach into the cores of
    others get what is left there, in the order of the tiles.

    Parameters
    ----------
    box : Box
        Pixels of the plane.
    tiles : callable
        Returns the finished tiles whose windows touch a box, in rising order.

    Returns
    -------
    ndarray of int64, shape ``box.shape``
    """
    canvas = np.zeros(box.shape, dtype=np.int64)
    near = list(tiles(box))
    for tile in near:
        tile.paint_core(canvas, box)
    for tile in near:
        tile.paint_rest(canvas, box)
    return canvas


def class_modes(count: int) -> NDArray[np.uint8]:
    """Return the modes of classes, which every tile paints in its own core only."""
    modes = np.full(count + 1, IN_CORE, dtype=np.uint8)
    modes[0] = 0
    return modes
