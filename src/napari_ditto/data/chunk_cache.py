"""Decode every stored chunk about once while neighbouring windows of an image are read.

Windows overlap, and chunks lie across their borders; a store decodes a chunk anew for each of
them. Here whole chunks are kept while they fit a budget. In a walk over a plane, row by row, those
are spent that have been handed out completely and lie well before the end of the window: they go
first, so that the budget is left to the seam between this row of windows and the next.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.arrays import Fetch, Index, RawArray
from napari_ditto.data.compose import ComposedSource
from napari_ditto.data.protocols import Source
from napari_ditto.data.source import ArraySource

BUDGET = 128 << 20

OVERLAP = 256
"""Pixels by which windows overlap, where that is not said; no less than they do. With more, chunks
that no window will touch again are taken for wanted, and fill the cache in the end."""

Extent = tuple[tuple[int, int], ...]
"""First and stop along each axis."""


def buffered(
    source: Source,
    nbytes: int = BUDGET,
    *,
    overlap: int = OVERLAP,
    cache: ChunkCache | None = None,
) -> Source:
    """Return the same image, whose chunks are kept for the next reads.

    Parameters
    ----------
    source : Source
        In arrays with regular chunks, or composed of such; others are returned as they are.
    nbytes : int
        Memory for decoded chunks.
    overlap : int
        Pixels that neighbouring windows of the walk share.
    cache : ChunkCache, optional
        One whose counters are wanted, or that several sources share; it has its own `nbytes` and
        `overlap` then.
    """
    kept = cache or ChunkCache(nbytes, overlap)
    if isinstance(source, ComposedSource):
        return replace(source, parts=tuple(buffered(p, cache=kept) for p in source.parts))
    if not isinstance(source, ArraySource):
        return source
    stored = tuple(replace(raw, fetch=kept.fetch_of(raw)) for raw in source.pyramid.stored)
    return replace(source, pyramid=replace(source.pyramid, stored=stored))


def warm(source: Source, address: PlaneAddress, box: Box) -> None:
    """Read a box of level 0 of a :func:`buffered` source, so that its chunks are at hand."""
    if isinstance(source, ComposedSource):
        for part in source.parts:
            warm(part, address, box)
    elif isinstance(source, ArraySource):
        # Raw: a third to a twelfth of the memory of what `read` makes of them.
        source.pyramid.read(address, box, 0)
    else:
        source.read(address, box)


@dataclass(eq=False)
class _Chunk:
    """A chunk that is there or will be, and how many of its pixels have been handed out."""

    pixels: Future[NDArray[Any]] = field(default_factory=Future)
    handed: int = 0


Unit = tuple[int, Extent]
"""A chunk, or the part of one that is kept: number of its array, and where it lies there."""


class ChunkCache:
    """Decoded chunks of any number of arrays; safe to use from any thread.

    Parameters
    ----------
    nbytes : int
        Most bytes kept.
    overlap : int
        Pixels that neighbouring windows share.

    Attributes
    ----------
    read, reused : int
        Chunks that were read, and that were there already when they were wanted.
    passed : int
        Boxes that touch too much to keep it, and were read as if this were not here.
    nbytes, held : int
        Most bytes kept, and bytes kept now.
    """

    def __init__(self, nbytes: int = BUDGET, overlap: int = OVERLAP) -> None:
        self.nbytes, self.held, self._overlap = nbytes, 0, overlap
        self.read = self.reused = self.passed = 0
        self._lock, self._numbers = threading.Lock(), itertools.count()
        self._chunks: OrderedDict[Unit, _Chunk] = OrderedDict()
        self._spent: OrderedDict[Unit, None] = OrderedDict()
        self._thin: set[int] = set()

    def fetch_of(self, raw: RawArray) -> Fetch:
        """Return how to read an array by way of this cache."""
        if raw.grid is None:
            return raw.fetch
        number, grid = next(self._numbers), raw.grid

        def fetch(index: Index) -> object:
            box: Extent = tuple((s.start, s.stop) for s in index)
            sides = self._sides(raw, number, grid, box)
            if sides is None:
                self.passed += 1
                return raw.fetch(index)
            units = {(number, extent) for extent in _touched(box, sides, raw.shape)}
            return self._read(raw, box, units)

        return fetch

    def _sides(
        self, raw: RawArray, number: int, grid: tuple[int, ...], box: Extent
    ) -> tuple[int, ...] | None:
        """Return the sides of what is kept at once: chunks, single planes of them, or nothing."""

        def fits(sides: tuple[int, ...], budget: int) -> bool:
            return _touched_pixels(box, sides, raw.shape) * raw.dtype.itemsize <= budget

        # Once an array was read plane by plane, chunks and planes of it would be kept side by side.
        if number not in self._thin and fits(grid, self.nbytes // 2):
            return grid
        self._thin.add(number)
        thin = tuple(1 if b - a == 1 else side for (a, b), side in zip(box, grid, strict=True))
        return thin if fits(thin, self.nbytes) else None

    def _read(self, raw: RawArray, box: Extent, units: set[Unit]) -> NDArray[Any]:
        chunks = self._get(raw, units)
        out = np.empty([b - a for a, b in box], raw.dtype)
        for (_, extent), chunk in chunks.items():
            common = _common(box, extent)
            out[_inside(common, box)] = chunk.pixels.result()[_inside(common, extent)]
        self._hand_out(box, raw.shape, chunks)
        return out

    def _get(self, raw: RawArray, units: set[Unit]) -> dict[Unit, _Chunk]:
        """Return chunks; some may still be on their way, read by other threads."""
        chunks, missing = self._claim(units)
        try:
            for part in _merged(extent for _, extent in missing):
                block = raw.read(_slices(part))
                for unit in [u for u in missing if _covers(part, u[1])]:
                    self._keep(unit, chunks[unit], block[_inside(unit[1], part)])
        except BaseException as error:
            self._give_up({unit: chunks[unit] for unit in missing}, error)
            raise
        return chunks

    def _claim(self, units: set[Unit]) -> tuple[dict[Unit, _Chunk], list[Unit]]:
        """Return the chunks, and which of them are for the caller to read."""
        with self._lock:
            missing = [unit for unit in units if unit not in self._chunks]
            self._chunks.update((unit, _Chunk()) for unit in missing)
            self.read += len(missing)
            self.reused += len(units) - len(missing)
            return {unit: self._chunks[unit] for unit in units}, missing

    def _keep(self, unit: Unit, chunk: _Chunk, pixels: NDArray[Any]) -> None:
        with self._lock:
            # A copy, because a slice would hold all that was read with it.
            chunk.pixels.set_result(pixels.copy())
            self.held += pixels.nbytes

    def _give_up(self, chunks: Mapping[Unit, _Chunk], error: BaseException) -> None:
        for unit, chunk in chunks.items():
            if not chunk.pixels.done():
                with self._lock:
                    del self._chunks[unit]
                chunk.pixels.set_exception(error)

    def _hand_out(self, box: Extent, shape: tuple[int, ...], chunks: Mapping[Unit, _Chunk]) -> None:
        """Note what was used, then make room."""
        with self._lock:
            for unit, chunk in chunks.items():
                chunk.handed += _volume(_common(box, unit[1]))
                if self._chunks.get(unit) is chunk:
                    self._chunks.move_to_end(unit)
                    if chunk.handed >= _volume(unit[1]) and _is_past(
                        unit[1], box, shape, self._overlap
                    ):
                        self._spent[unit] = None
            while self.held > self.nbytes:
                self._drop(next(iter(self._spent), None) or self._oldest())

    def _oldest(self) -> Unit:
        return next(unit for unit, chunk in self._chunks.items() if chunk.pixels.done())

    def _drop(self, unit: Unit) -> None:
        self._spent.pop(unit, None)
        self.held -= self._chunks.pop(unit).pixels.result().nbytes


def _touched(box: Extent, sides: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Extent]:
    """Return the units that a box touches."""
    spans = [
        [(i * side, min((i + 1) * side, size)) for i in range(a // side, -(-b // side))]
        for (a, b), side, size in zip(box, sides, shape, strict=True)
    ]
    return itertools.product(*spans)


def _touched_pixels(box: Extent, sides: tuple[int, ...], shape: tuple[int, ...]) -> int:
    return math.prod(
        min(-(-b // side) * side, size) - a // side * side
        for (a, b), side, size in zip(box, sides, shape, strict=True)
    )


def _is_past(extent: Extent, box: Extent, shape: tuple[int, ...], overlap: int) -> bool:
    """Whether windows that start after this box, or beside it, will not touch a unit."""
    return all(
        b - a == 1 or b == size or d + overlap <= b
        for (a, b), (_, d), size in zip(box, extent, shape, strict=True)
    )


def _common(box: Extent, extent: Extent) -> Extent:
    return tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, extent, strict=True))


def _merged(extents: Iterable[Extent]) -> list[Extent]:
    """Return the same pixels in fewer extents, because one large read is faster."""
    found = sorted(extents)
    for axis in reversed(range(len(found[0]) if found else 0)):
        found.sort(key=lambda e: (e[:axis], e[axis + 1 :], e[axis]))
        joined: list[Extent] = []
        for extent in found:
            last = joined[-1] if joined else None
            if (
                last
                and _without(last, axis) == _without(extent, axis)
                and (last[axis][1] == extent[axis][0])
            ):
                joined[-1] = (*last[:axis], (last[axis][0], extent[axis][1]), *last[axis + 1 :])
            else:
                joined.append(extent)
        found = joined
    return found


def _without(extent: Extent, axis: int) -> Extent:
    return extent[:axis] + extent[axis + 1 :]


def _covers(whole: Extent, part: Extent) -> bool:
    return all(a <= c and d <= b for (a, b), (c, d) in zip(whole, part, strict=True))


def _slices(extent: Extent) -> Index:
    return tuple(slice(a, b) for a, b in extent)


def _inside(part: Extent, whole: Extent) -> Index:
    """Return where a part lies, counted from the first pixel of the whole."""
    return tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(part, whole, strict=True))


def _volume(extent: Extent) -> int:
    return math.prod(b - a for a, b in extent)
