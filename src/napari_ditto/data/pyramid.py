"""Levels of an image: the stored ones, and virtual ones behind them, each half the size.

A virtual level ``k`` steps behind the coarsest stored level is its mean over blocks of
``2**k x 2**k`` pixels of the displayed plane, computed when read, piece by piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.arrays import RawArray
from napari_ditto.data.axes import Axes
from napari_ditto.errors import SourceError

READ_BUDGET = 2**26
"""Most raw pixels of the plane that one read may touch (64 Mpx)."""

PIECE_PIXELS = 2**22
"""Raw pixels held at once while a virtual level is computed, unless one chunk has more."""

TILE = 1024
"""Side of the tile for which a virtual level must stay within the budget."""

SMALLEST = 256
"""No level is added once the longest spatial side is this short."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Stored levels with named axes, read by plane and box.

    Attributes
    ----------
    stored : tuple of RawArray
        Finest first, all with the same number of axes.
    axes : Axes
        Names of the array axes.
    factors : tuple of tuple of float
        Level-0 pixels per pixel, per stored level and array axis.
    picks : tuple of int
        The channels that are read, empty without a channel axis.
    """

    stored: tuple[RawArray, ...]
    axes: Axes
    factors: tuple[tuple[float, ...], ...]
    picks: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Axis names without the channel axis."""
        return tuple(n for i, n in enumerate(self.axes.names) if i != self.axes.channel)

    @property
    def levels(self) -> int:
        """Number of levels, stored and virtual."""
        return len(self.stored) + self._virtual_levels()

    def side(self, name: str, level: int) -> int:
        """Return the size of a displayed axis at a level."""
        stored, halvings = self._split(level)
        return -(-self.stored[stored].shape[self._axis(name)] // (1 << halvings))

    def factor(self, name: str, level: int) -> float:
        """Return the level-0 pixels per pixel of a displayed axis at a level."""
        stored, halvings = self._split(level)
        return self.factors[stored][self._axis(name)] * (1 << halvings)

    def read(self, address: PlaneAddress, box: Box, level: int) -> NDArray[Any]:
        """Return raw pixels, shape (h, w, channels); floats where blocks are averaged."""
        stored, halvings = self._split(level)
        raw, f = self.stored[stored], 1 << halvings
        sides = (raw.shape[self._axis(address.rows)], raw.shape[self._axis(address.columns)])
        region = box.scale(f, f).intersect(Box.of_shape(sides))
        if region.area > READ_BUDGET:
            raise SourceError(
                f"this view needs {region.area / 1e6:.0f} Mpx of raw pixels at once, "
                f"{READ_BUDGET / 1e6:.0f} are allowed",
                where=raw.where,
                todo="Work on a smaller part, or save the image as a pyramid (OME-Zarr).",
            )
        if f == 1:
            return self._read_stored(address, region, stored)
        return self._read_virtual(address, region, stored, f)

    def _split(self, level: int) -> tuple[int, int]:
        last = len(self.stored) - 1
        return min(level, last), max(0, level - last)

    def _axis(self, name: str) -> int:
        return self.axes.names.index(name)

    def _virtual_levels(self) -> int:
        names = [n for n in self.names if n in ("z", "y", "x")] or self.names[-2:]
        coarsest = self.stored[-1]
        sides = sorted(coarsest.shape[self._axis(n)] for n in names)
        height, width = ([1, *sides])[-2:]
        count = 0
        while -(-width // 2**count) > SMALLEST and _affordable(height, width, 2 ** (count + 1)):
            count += 1
        return count

    def _read_virtual(
        self, address: PlaneAddress, region: Box, stored: int, f: int
    ) -> NDArray[np.float64]:
        raw = self.stored[stored]
        chunks = raw.chunks or (1,) * len(raw.shape)
        rows, columns = chunks[self._axis(address.rows)], chunks[self._axis(address.columns)]
        shape = -(-region.height // f), -(-region.width // f), max(1, len(self.picks))
        mean = np.empty(shape, dtype=np.float64)
        for piece in _pieces(region, f, rows, columns):
            y, x = (piece.y0 - region.y0) // f, (piece.x0 - region.x0) // f
            block = _block_mean(self._read_stored(address, piece, stored), f)
            mean[y : y + block.shape[0], x : x + block.shape[1]] = block
        return mean

    def _read_stored(self, address: PlaneAddress, box: Box, stored: int) -> NDArray[Any]:
        raw = self.stored[stored]
        index = [slice(0, 1)] * len(raw.shape)
        for name, position in address.fixed:
            axis = self._axis(name)
            # The level's pixel that holds the centre of the level-0 pixel.
            at = min(int((position + 0.5) / self.factors[stored][axis]), raw.shape[axis] - 1)
            index[axis] = slice(at, at + 1)
        rows, columns = self._axis(address.rows), self._axis(address.columns)
        index[rows], index[columns] = box.slices
        channel = self.axes.channel
        if channel is None:
            return _to_plane(raw.read(tuple(index)), rows, columns, None)
        parts = []
        for run in runs(self.picks):
            index[channel] = run
            parts.append(_to_plane(raw.read(tuple(index)), rows, columns, channel))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def stored_factors(
    shapes: Sequence[tuple[int, ...]], scales: Sequence[Sequence[float]] | None
) -> tuple[tuple[float, ...], ...]:
    """Return level-0 pixels per pixel for each level and axis.

    `scales` (pixel sizes from the metadata) are believed where they agree with the shapes to one
    pixel; otherwise a whole number that explains the rounding, and the plain ratio at last.
    """
    first = shapes[0]
    result = []
    for level, shape in enumerate(shapes):
        told = [float("nan")] * len(first)
        if scales is not None:
            told = [
                s / s0 if s0 else float("nan")
                for s, s0 in zip(scales[level], scales[0], strict=True)
            ]
        result.append(tuple(map(_factor, first, shape, told)))
    return tuple(result)


def runs(picks: Sequence[int]) -> Iterator[slice]:
    """Yield slices that together pick these positions in this order."""
    start = 0
    for i in range(1, len(picks) + 1):
        if i == len(picks) or picks[i] != picks[i - 1] + 1:
            yield slice(picks[start], picks[i - 1] + 1)
            start = i


def _factor(size: int, coarse: int, told: float) -> float:
    if size == coarse:
        return 1.0
    if told >= 1 and abs(size / told - coarse) <= 1:
        return told
    ratio = size / coarse
    for whole in (2 ** round(math.log2(ratio)), round(ratio)) if ratio >= 1 else ():
        if coarse in (size // whole, -(-size // whole)):
            return float(whole)
    return ratio


def _affordable(height: int, width: int, f: int) -> bool:
    return min(height, TILE * f) * min(width, TILE * f) <= READ_BUDGET


def _pieces(region: Box, f: int, chunk_rows: int, chunk_columns: int) -> Iterator[Box]:
    """Cut a region at multiples of `f` into pieces of a chunk, or of several small ones.

    Where `f` and the chunk's sides divide each other, no chunk is read twice.
    """
    rows, columns = -(-chunk_rows // f) * f, -(-chunk_columns // f) * f
    columns *= max(1, PIECE_PIXELS // (min(rows, region.height) * columns))
    rows *= max(1, PIECE_PIXELS // (rows * min(columns, region.width)))
    for y0, y1 in _cuts(region.y0, region.y1, rows):
        for x0, x1 in _cuts(region.x0, region.x1, columns):
            yield Box(y0, x0, y1, x1)


def _cuts(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    while start < stop:
        end = min(stop, (start // step + 1) * step)
        yield start, end
        start = end


def _block_mean(raw: NDArray[Any], f: int) -> NDArray[np.float64]:
    """Return the mean over f x f blocks of (h, w, c); the last blocks may be smaller.

    NaN and infinite pixels are left out; a block that has nothing else keeps its first pixel.
    """
    if raw.dtype.kind != "f" or np.isfinite(raw).all():
        heights, widths = (_block_sum(np.ones(n), f) for n in raw.shape[:2])
        mean: NDArray[np.float64] = _area_sum(raw, f) / np.outer(heights, widths)[:, :, None]
        return mean
    finite = np.isfinite(raw)
    count, total = _area_sum(finite, f), _area_sum(np.where(finite, raw, 0), f)
    first = raw[::f, ::f].astype(np.float64)
    return np.divide(total, count, out=first, where=count > 0)


def _area_sum(values: NDArray[Any], f: int) -> NDArray[np.float64]:
    return _block_sum(_block_sum(values, f).swapaxes(0, 1), f).swapaxes(0, 1)


def _block_sum(values: NDArray[Any], f: int) -> NDArray[np.float64]:
    """Return sums over `f` rows; five times as fast as ``np.add.reduceat``."""
    total = values[::f].astype(np.float64)
    for i in range(1, min(f, len(values))):
        rows = values[i::f]
        total[: len(rows)] += rows
    return total


def _to_plane(block: NDArray[Any], rows: int, columns: int, channel: int | None) -> NDArray[Any]:
    if channel is None:
        block, channel = block[..., None], block.ndim
    moved = np.moveaxis(block, (rows, columns, channel), (0, 1, 2))
    return moved.reshape(moved.shape[:3])
