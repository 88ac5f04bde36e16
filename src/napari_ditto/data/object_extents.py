"""Where the objects of a label image are and how many pixels they have, block by block.

One row for each object in each frame (time point); a frame's objects may reach over planes.
After an edit only the boxes of the objects that it touched are read again.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.progress import Progress
from napari_ditto.data.arrays import Index, RawArray

Ints = NDArray[np.int64]

BLOCK = 512
"""Side of a block: each step on it takes some milliseconds, so that other threads go on."""

MAX_BLOCK = 1 << 22
"""Pixels of a block that follows larger chunks."""

DENSE_IDS = 1 << 20
"""Ids below are looked up in a table, higher ones are sorted."""

MOST_APART = 200
"""More boxes than these are read as one, since each is compared with all others."""

FRAME_AXES = frozenset({"t", "time", "channel", "series"})
"""Along these, the same id is the same object at another time, not more of its volume."""


@dataclass(frozen=True, eq=False)
class Extents:
    """Objects by id and frame, sorted.

    Attributes
    ----------
    axes : tuple of str
        Of the label image.
    frame_axes : tuple of str
        Those along which an object has a row for each index.
    ids : ndarray of int64, shape (n,)
        An id that is in several frames has a row for each.
    counts : ndarray of int64, shape (n,)
        Pixels.
    low, high : ndarray of int64, shape (n, axes)
        First pixel along each axis, and one past the last.
    sums : ndarray of float64, shape (n, axes)
        Of the pixels' positions; divided by `counts` they are the centroid, in pixels.
    """

    axes: tuple[str, ...]
    frame_axes: tuple[str, ...]
    ids: Ints
    counts: Ints
    low: Ints
    high: Ints
    sums: NDArray[np.float64]

    @classmethod
    def empty(cls, axes: Sequence[str], frame_axes: Collection[str] = FRAME_AXES) -> Self:
        """Return no objects."""
        none = np.zeros((0, len(axes)), dtype=np.int64)
        frames = tuple(name for name in axes if name in frame_axes)
        return cls(tuple(axes), frames, none[:, 0], none[:, 0], none, none, none.astype(float))

    @cached_property
    def frames(self) -> Ints:
        """The frame of each row, its index along the frame axes; shape (n, frame axes)."""
        return self.low[:, [self.axes.index(name) for name in self.frame_axes]]

    @property
    def centroids(self) -> NDArray[np.float64]:
        """Mean position, pixels, shape (n, axes)."""
        return self.sums / np.maximum(self.counts, 1)[:, None]

    def rows(self, label: int) -> slice:
        """Return the rows of an object."""
        return slice(
            int(np.searchsorted(self.ids, label)), int(np.searchsorted(self.ids, label, "right"))
        )

    def index(self, row: int) -> Index:
        """Return the box of a row as a region of the label image."""
        pairs = zip(self.low[row].tolist(), self.high[row].tolist(), strict=True)
        return tuple(slice(low, high) for low, high in pairs)

    def of(self, rows: NDArray[Any]) -> Extents:
        """Return some of the rows, given by number or by a mask."""
        return self._like(*(part[rows] for part in self._columns))

    def joined(self, *others: Extents) -> Extents:
        """Return one row for each id and frame of all of these."""
        columns = zip(*(part._columns for part in (self, *others)), strict=True)
        ids, counts, low, high, sums = (np.concatenate(column) for column in columns)
        if not ids.size:
            return self
        frames = self._like(ids, counts, low, high, sums).frames
        order = np.lexsort((*frames.T[::-1], ids))
        keys = np.column_stack([ids, frames])[order]
        first = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)])
        return self._like(
            ids[order][first],
            np.add.reduceat(counts[order], first),
            np.minimum.reduceat(low[order], first),
            np.maximum.reduceat(high[order], first),
            np.add.reduceat(sums[order], first),
        )

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.ids, self.counts, self.low, self.high, self.sums

    def _like(self, *columns: NDArray[Any]) -> Extents:
        return Extents(self.axes, self.frame_axes, *columns)


def scan(
    labels: RawArray, axes: Sequence[str], frame_axes: Collection[str] = FRAME_AXES
) -> Generator[Progress, None, Extents]:
    """Return where all objects are; reads each block once."""
    none = Extents.empty(axes, frame_axes)
    return (yield from _scan(labels, none, [tuple(slice(0, n) for n in labels.shape)]))


def rescan(
    labels: RawArray,
    known: Extents,
    changed: Collection[int],
    regions: Sequence[Index],
) -> Generator[Progress, None, Extents]:
    """Return where all objects are after an edit.

    Parameters
    ----------
    labels : RawArray
        As it is now.
    known : Extents
        As it was.
    changed : collection of int
        The objects that lost or won pixels; only these are measured.
    regions : sequence of tuple of slice
        Where they may have won some; all that is read, besides their old boxes.
    """
    ids = np.array(sorted(set(changed) - {0}), dtype=np.int64)
    stale = np.isin(known.ids, ids) & _in_frames(known, regions)
    boxes = [known.index(int(row)) for row in np.flatnonzero(stale)]
    areas = _together([part for box in (*boxes, *regions) for part in _by_frame(box, known)], known)
    return (yield from _scan(labels, known.of(~stale), areas, ids))


def _scan(
    labels: RawArray, known: Extents, areas: Sequence[Index], only: Ints | None = None
) -> Generator[Progress, None, Extents]:
    """Return what is known and what is in some areas, which do not overlap."""
    sides = _sides(labels, known)
    blocks = [block for area in areas for block in _blocks(area, sides)]
    parts = []
    for number, block in enumerate(blocks):
        yield Progress("read", number, len(blocks), "measuring objects")
        here = _look(labels.read(block), block, known)
        parts.append(here if only is None else here.of(np.isin(here.ids, only)))
    return known.joined(*parts)


def _blocks(area: Index, sides: Sequence[int]) -> Iterator[Index]:
    starts = (
        range(s.start // side * side, s.stop, side) for s, side in zip(area, sides, strict=True)
    )
    for corner in itertools.product(*starts):
        yield tuple(
            slice(max(at, s.start), min(at + side, s.stop))
            for at, side, s in zip(corner, sides, area, strict=True)
        )


def _sides(labels: RawArray, known: Extents) -> list[int]:
    """Return the sides of a block: whole chunks where that is not too much."""
    axes = known.axes
    chunks = labels.chunks or (1,) * len(axes)
    square = [1] * (len(axes) - 2) + [BLOCK] * min(2, len(axes))
    sides = [
        1 if name in known.frame_axes else chunk * math.ceil(side / chunk)
        for name, chunk, side in zip(axes, chunks, square, strict=True)
    ]
    return sides if math.prod(sides) <= MAX_BLOCK else square


def _look(block: NDArray[Any], region: Index, like: Extents) -> Extents:
    """Return the objects in a block."""
    from scipy.ndimage import find_objects

    ids, ranks = _ranked(block)
    if not ids.size:
        return Extents.empty(like.axes, like.frame_axes)
    corner = np.array([s.start for s in region])
    found = find_objects(ranks, max_label=ids.size)
    low = np.array([[s.start for s in box] for box in found]) + corner
    high = np.array([[s.stop for s in box] for box in found]) + corner
    counts = np.bincount(ranks.ravel(), minlength=ids.size + 1)[1:]
    sums = np.stack([_positions(ranks, axis, ids.size) for axis in range(block.ndim)], axis=1)
    sums += counts[:, None] * corner
    return Extents(like.axes, like.frame_axes, ids, counts, low, high, sums)


def _ranked(block: NDArray[Any]) -> tuple[Ints, NDArray[np.int32]]:
    """Return the ids of a block, and the block with 1, 2, ... in their place."""
    if block.dtype.kind == "b":
        block = block.astype(np.uint8)
    highest = int(block.max(initial=0))
    if highest <= 0:
        return np.zeros(0, dtype=np.int64), np.zeros(block.shape, dtype=np.int32)
    if int(block.min()) < 0:
        block = np.maximum(block, 0)
    if highest < DENSE_IDS:
        table = np.zeros(highest + 1, dtype=np.int32)
        table[block.ravel()] = 1
        table[0] = 0
        ids = np.flatnonzero(table)
        table[ids] = np.arange(1, ids.size + 1)
        return ids, table[block]
    ids = np.unique(block[block > 0])
    ranks = np.searchsorted(ids, block).astype(np.int32) + 1
    ranks[block == 0] = 0
    return ids.astype(np.int64), ranks


def _positions(ranks: NDArray[np.int32], axis: int, count: int) -> NDArray[np.float64]:
    """Return the sum of the positions along an axis, for each object."""
    shape = [-1 if i == axis else 1 for i in range(ranks.ndim)]
    at = np.arange(ranks.shape[axis], dtype=np.float64).reshape(shape)
    weights = np.broadcast_to(at, ranks.shape).ravel()
    sums: NDArray[np.float64] = np.bincount(ranks.ravel(), weights, count + 1).astype(np.float64)
    return sums[1:]


def _in_frames(known: Extents, regions: Sequence[Index]) -> NDArray[np.bool_]:
    """Return which rows are in a frame that one of the regions is in."""
    at = [known.axes.index(name) for name in known.frame_axes]
    found = np.zeros(known.ids.size, dtype=bool)
    for region in regions:
        start, stop = ([getattr(region[i], end) for i in at] for end in ("start", "stop"))
        found |= ((known.frames >= start) & (known.frames < stop)).all(axis=1)
    return found


def _together(regions: Sequence[Index], known: Extents) -> list[Index]:
    """Return boxes that cover all regions and do not overlap; of many, one for each frame."""
    if len(regions) <= MOST_APART:
        return _disjoint(regions)
    at = [known.axes.index(name) for name in known.frame_axes]
    frames: dict[tuple[int, ...], list[Index]] = defaultdict(list)
    for region in regions:
        frames[tuple(region[i].start for i in at)].append(region)
    return [_union(*parts) for parts in frames.values()]


def _disjoint(regions: Sequence[Index]) -> list[Index]:
    """Return boxes that cover all regions and do not overlap: what overlaps becomes one box."""
    done: list[Index] = []
    for region in regions:
        box = region
        while touching := [other for other in done if _overlap(other, box)]:
            done = [other for other in done if other not in touching]
            box = _union(box, *touching)
        done.append(box)
    return done


def _union(*boxes: Index) -> Index:
    return tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*boxes, strict=True)
    )


def _overlap(a: Index, b: Index) -> bool:
    return all(x.start < y.stop and y.start < x.stop for x, y in zip(a, b, strict=True))


def _by_frame(region: Index, known: Extents) -> Iterator[Index]:
    """Yield the parts of a region in each frame."""
    yield from itertools.product(
        *(
            [slice(i, i + 1) for i in range(s.start, s.stop)] if name in known.frame_axes else [s]
            for name, s in zip(known.axes, region, strict=True)
        )
    )
