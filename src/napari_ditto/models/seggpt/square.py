"""The square that SegGPT sees of an image: mirrored at the borders, never stretched.

Example and query lie on it at the same pixel size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.models.protocols import UNKNOWN


@dataclass(frozen=True, slots=True)
class Square:
    """A canvas of `size` x `size` pixels with a tile in its middle.

    A tile that is lower than the square has mirrored rows above it. So the first row of the
    query, which the decoder mixes with the last row of the example, is none of its own.
    """

    size: int

    def corner(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return where the first pixel of a tile lies."""
        return (self.size - shape[0] + 1) // 2, (self.size - shape[1] + 1) // 2

    def show(self, tile: NDArray[np.generic], known: Box | None = None) -> NDArray[np.generic]:
        """Return a tile (h, w) or (h, w, 3) on the square.

        Parameters
        ----------
        tile : ndarray
            At most `size` high and wide.
        known : Box, optional
            The part to show, in its place; the rest is mirrored as if the tile ended there.
        """
        height, width = tile.shape[:2]
        part = known or Box.of_shape((height, width))
        top, left = self.corner((height, width))
        margins = [
            (top + part.y0, self.size - top - part.y1),
            (left + part.x0, self.size - left - part.x1),
            *[(0, 0)] * (tile.ndim - 2),
        ]
        return np.pad(tile[part.slices], margins, mode="reflect")

    def cut(self, maps: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the part of maps (..., size, size) that shows a tile."""
        top, left = self.corner(shape)
        return maps[..., top : top + shape[0], left : left + shape[1]]


def known_part(labels: NDArray[np.integer]) -> Box:
    """Return the smallest box around all pixels that are not unknown; empty if there is none."""
    known = labels.astype(np.int64) != UNKNOWN
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    if not len(rows):
        return Box(0, 0, 0, 0)
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
