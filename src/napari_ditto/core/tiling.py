"""Overlapping tiles of a plane: pure arithmetic, so a plane 2**40 wide costs nothing.

Tiles overlap by half, so every position lies in the middle half of the tile whose centre is
nearest, except near the image's own border. The last row and column move inwards: every tile is
full size unless the plane itself is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, Frame


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A window of a plane at one pyramid level: what the encoder sees.

    Attributes
    ----------
    level : int
        Pyramid level, 0 is the finest.
    box : Box
        Pixels of that level.
    """

    level: int
    box: Box


@dataclass(frozen=True, slots=True)
class Steps:
    """Tiles along one axis: window ``k`` starts at ``k * stride``, the last one at the end.

    Attributes
    ----------
    length, size, stride : int
        Pixels of the axis, of a window, and between the starts of two windows.
    """

    length: int
    size: int
    stride: int

    @property
    def count(self) -> int:
        """Number of windows."""
        return max(0, -(-(self.length - self.size) // self.stride)) + 1

    def start(self, k: int) -> int:
        """Return the first pixel of window `k`."""
        return max(0, min(k * self.stride, self.length - self.size))

    def stop(self, k: int) -> int:
        """Return one past the last pixel of window `k`."""
        return min(self.start(k) + self.size, self.length)

    def nearest(self, position: float) -> int:
        """Return the window whose centre is nearest to a position; the lower one of two."""
        guess = math.floor((position - (self.size - 1) / 2) / self.stride)
        near = {min(max(guess + d, 0), self.count - 1) for d in (-1, 0, 1)} | {self.count - 1}
        return min(sorted(near), key=lambda k: abs(self.start(k) + self.stop(k) - 1 - 2 * position))

    def core(self, k: int) -> tuple[int, int]:
        """Return the half-open range of pixels that are nearest to window `k`."""
        return self._border(k), self._border(k + 1)

    def touching(self, start: int, stop: int) -> range:
        """Return the windows that hold a pixel of ``start:stop``."""
        first = max(0, (start - self.size) // self.stride + 1)
        last = min(self.count - 1, (stop - 1) // self.stride)
        if stop > self.length - self.size:
            last = self.count - 1
        return range(min(first, self.count - 1), last + 1)

    def _border(self, k: int) -> int:
        """Return the first pixel that is nearer to window `k` than to the one before."""
        if k <= 0 or k >= self.count:
            return 0 if k <= 0 else self.length
        # Four times the midpoint of the two centres, in whole numbers: floats end at 2**53.
        twice = self.start(k - 1) + self.stop(k - 1) - 1 + self.start(k) + self.stop(k) - 1
        return twice // 4 + 1


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of one plane at one level, by (row, column) of the grid.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the plane, pixels of the level.
    size : int
        Side of a tile.
    overlap : int
        Pixels that two neighbours share; half the size if not given.
    level : int
        Pyramid level.
    """

    shape: tuple[int, int]
    size: int
    overlap: int = -1
    level: int = 0

    @property
    def rows(self) -> Steps:
        """Windows along the rows."""
        return Steps(self.shape[0], self.size, self._stride)

    @property
    def columns(self) -> Steps:
        """Windows along the columns."""
        return Steps(self.shape[1], self.size, self._stride)

    @property
    def count(self) -> int:
        """Number of tiles; not ``len``, which cannot count a plane 2**40 wide."""
        return self.rows.count * self.columns.count

    def tile(self, row: int, column: int) -> Tile:
        """Return one tile."""
        r, c = self.rows, self.columns
        return Tile(self.level, Box(r.start(row), c.start(column), r.stop(row), c.stop(column)))

    def nearest(self, y: float, x: float) -> Tile:
        """Return the tile whose centre is nearest to a position."""
        return self.tile(self.rows.nearest(y), self.columns.nearest(x))

    def core(self, tile: Tile) -> Box:
        """Return the pixels that are nearer to this tile's centre than to any other's.

        The cores part the plane: every pixel belongs to exactly one.
        """
        y, x = tile.box.center
        top, bottom = self.rows.core(self.rows.nearest(y))
        left, right = self.columns.core(self.columns.nearest(x))
        return Box(top, left, bottom, right)

    def touching(self, within: Box) -> Iterator[Tile]:
        """Yield, row by row, the tiles that hold a pixel of a box."""
        box = within.intersect(Box.of_shape(self.shape))
        if box.is_empty:
            return
        for row in self.rows.touching(box.y0, box.y1):
            for column in self.columns.touching(box.x0, box.x1):
                yield self.tile(row, column)

    def covering(self, within: Box) -> Iterator[Tile]:
        """Yield, row by row, the tiles whose cores hold a pixel of a box."""
        box = within.intersect(Box.of_shape(self.shape))
        if box.is_empty:
            return
        rows, columns = self.rows, self.columns
        for row in range(rows.nearest(box.y0), rows.nearest(box.y1 - 1) + 1):
            for column in range(columns.nearest(box.x0), columns.nearest(box.x1 - 1) + 1):
                yield self.tile(row, column)

    @property
    def _stride(self) -> int:
        overlap = self.size // 2 if self.overlap < 0 else min(self.overlap, self.size - 1)
        return self.size - overlap


def tile_for(
    position: tuple[float, float], plane_shape: tuple[int, int], size: int, level: int = 0
) -> Tile:
    """Return the half-overlapping tile whose centre is nearest to ``(y, x)``.

    The position lies in the tile's middle half, except within a quarter tile of the border.
    """
    return Grid(plane_shape, size, level=level).nearest(*position)


def plan_tiles(
    plane_shape: tuple[int, int],
    size: int,
    overlap: int | None = None,
    within: Box | None = None,
    level: int = 0,
) -> Iterator[Tile]:
    """Yield the tiles that are needed to see every pixel of `within` (default: the plane).

    Parameters
    ----------
    plane_shape : (int, int)
        Height and width, pixels of `level`.
    size : int
        Side of a tile.
    overlap : int, optional
        Pixels that neighbours share; half the size by default.
    within : Box, optional
        Part of the plane.
    level : int
        Pyramid level that the numbers are about.

    Yields
    ------
    Tile
        Row by row; the cores of these tiles cover `within` without overlap.
    """
    grid = Grid(plane_shape, size, -1 if overlap is None else overlap, level)
    return grid.covering(Box.of_shape(plane_shape) if within is None else within)


def choose_level(
    extent: BoxPrompt,
    factors: Sequence[tuple[float, float]],
    size: int,
    fraction: float = 0.75,
) -> int:
    """Return the finest level where an extent is at most `fraction` of a tile, else the last.

    Parameters
    ----------
    extent : BoxPrompt
        Around everything positive that was said, level-0 pixels.
    factors : sequence of (float, float)
        Level-0 pixels per pixel of each level, rows and columns.
    size : int
        Side of a tile.
    fraction : float
        Three quarters leaves a model an eighth of a tile around the object to see its border.
    """
    limit = fraction * size
    for level, (fy, fx) in enumerate(factors):
        if extent.height / fy <= limit and extent.width / fx <= limit:
            return level
    return len(factors) - 1


def choose_tile(
    extent: BoxPrompt,
    anchor: tuple[float, float],
    shapes: Sequence[tuple[int, int]],
    factors: Sequence[tuple[float, float]],
    size: int,
) -> Tile:
    """Return the finest tile that sees all of an extent, with a margin where there is one.

    Parameters
    ----------
    extent : BoxPrompt
        Around everything positive that was said, level-0 pixels.
    anchor : (float, float)
        The first thing said. Its own tile is preferred, so that a second prompt near the first
        stays on the tile that is already encoded.
    shapes, factors : sequences
        Size of the plane, and level-0 pixels per pixel, at each level.
    size : int
        Side of a tile.

    Returns
    -------
    Tile
        Where no level has such a tile, the anchor's tile at the last level.
    """
    whole = (level for level, shape in enumerate(shapes) if max(shape) <= size)
    first = min(choose_level(extent, factors, size), next(whole, len(factors)))
    for level in range(first, len(factors)):
        grid, frame = Grid(shapes[level], size, level=level), Frame(factors[level])
        seen = _on_level(extent, frame, shapes[level])
        for position, margin in ((anchor, size // 8), (extent.center, 0)):
            tile = grid.nearest(*frame.to_frame(*position))
            if tile.box.covers(seen.grow(margin).intersect(Box.of_shape(grid.shape))):
                return tile
    return grid.nearest(*frame.to_frame(*anchor))


def edge_runs(
    mask: NDArray[np.bool_], box: Box, plane_shape: tuple[int, int], longest: int
) -> list[NDArray[np.intp]]:
    """Return where a mask leaves its tile: runs of pixels along the tile's inner edges.

    Parameters
    ----------
    mask : ndarray of bool, shape ``box.shape``
        A mask in a tile.
    box : Box
        Where the tile lies.
    plane_shape : (int, int)
        The image's own border is no edge: nothing lies beyond.
    longest : int
        Longer runs are split.

    Returns
    -------
    list of ndarray of int, shape (n, 2)
        Plane pixels (row, column) on the mask, each run contiguous.
    """
    rows, columns = np.indices(box.shape, sparse=True)
    y, x = (rows + box.y0).ravel(), (columns + box.x0).ravel()
    sides = [
        (box.y0 > 0, mask[0], y[:1], x),
        (box.y1 < plane_shape[0], mask[-1], y[-1:], x),
        (box.x0 > 0, mask[:, 0], y, x[:1]),
        (box.x1 < plane_shape[1], mask[:, -1], y, x[-1:]),
    ]
    found = []
    for is_inner, line, line_y, line_x in sides:
        pixels = np.stack(np.broadcast_arrays(line_y, line_x), axis=1)
        runs = _runs(np.flatnonzero(line), longest) if is_inner else []
        found += [pixels[run] for run in runs]
    return found


def touches_edge(
    values: NDArray[np.float32] | NDArray[np.bool_], box: Box, plane_shape: tuple[int, int]
) -> bool:
    """Whether what is above 0 reaches an edge of its tile beyond which the image goes on."""
    sides = [
        (box.y0 > 0, values[0]),
        (box.y1 < plane_shape[0], values[-1]),
        (box.x0 > 0, values[:, 0]),
        (box.x1 < plane_shape[1], values[:, -1]),
    ]
    return any(is_inner and bool((line > 0).any()) for is_inner, line in sides)


def _on_level(extent: BoxPrompt, frame: Frame, shape: tuple[int, int]) -> Box:
    """Return the pixels of a level that an extent touches, inside the plane."""
    (y0, x0), (y1, x1) = frame.to_frame(extent.y0, extent.x0), frame.to_frame(extent.y1, extent.x1)
    box = Box(
        *(math.floor(v + 0.5) for v in (y0, x0)), *(math.floor(v + 0.5) + 1 for v in (y1, x1))
    )
    return box.intersect(Box.of_shape(shape))


def _runs(indices: NDArray[np.intp], longest: int) -> list[NDArray[np.intp]]:
    """Split increasing indices where they jump, and into pieces of at most `longest`."""
    whole = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    return [run[i : i + longest] for run in whole for i in range(0, len(run), longest)]
