"""The encoder's map of features, and how its cells lie on the tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import upsample

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Dense:
    """Features of a tile on a coarse grid.

    Attributes
    ----------
    values : ndarray of float32, shape (d, rows, columns)
        Any scale; only directions count. Cells wholly in the padding are cut off.
    extent : (float, float)
        Rows and columns that the tile takes up; the last ones may be covered in part.
    tile_shape : (int, int)
        Height and width of the tile, pixels.
    """

    values: Floats
    extent: tuple[float, float]
    tile_shape: tuple[int, int]

    @classmethod
    def cut(cls, values: Floats, extent: tuple[float, float], tile_shape: tuple[int, int]) -> Dense:
        """Return the part of an encoder's map that the tile reaches, the padding cut off."""
        rows, columns = (int(np.ceil(e - 1e-6)) for e in extent)
        return cls(values[:, :rows, :columns], extent, tile_shape)

    @property
    def cells(self) -> Floats:
        """The directions of the cells, row by row, unit vectors, shape (rows * columns, d)."""
        return unit(np.moveaxis(self.values, 0, -1).reshape(-1, len(self.values)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[1], self.values.shape[2]

    def coverage(self, mask: NDArray[np.bool_]) -> Floats:
        """Return which part of each cell a mask of the tile covers, shape (rows * columns,)."""
        down, across = (
            _overlaps(pixels, cells, extent)
            for pixels, cells, extent in zip(mask.shape, self.shape, self.extent, strict=True)
        )
        return np.asarray(down @ mask.astype(np.float32) @ across.T, np.float32).ravel()

    def to_tile(self, cells: Floats) -> Floats:
        """Return maps of the grid, (n, rows * columns), at the tile's size, (n, h, w), bilinear."""
        grid = Box.of_shape(self.shape)
        height, width = self.tile_shape
        factor = (height / self.extent[0], width / self.extent[1])
        maps = cells.reshape(-1, *self.shape)
        return np.stack([upsample(m, grid, factor, Box.of_shape(self.tile_shape)) for m in maps])


def unit(vectors: Floats) -> Floats:
    """Return vectors of length 1 along the last axis; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def _overlaps(pixels: int, cells: int, extent: float) -> Floats:
    """Return the share of each cell that each pixel takes, shape (cells, pixels)."""
    edges = np.linspace(0, extent, pixels + 1)
    first = np.arange(cells)[:, None]
    low, high = np.maximum(edges[:-1], first), np.minimum(edges[1:], first + 1)
    return np.asarray(np.maximum(high - low, 0), np.float32)
