"""How good the labels of the mosaic are, above all where the seams between tiles were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

if TYPE_CHECKING:
    from napari_ditto.cli.demo_large_mosaic import Mosaic
    from napari_ditto.core.run_plan import Plan

BLOCK = 2048

FOUND = 0.5
"""Least IoU of an object that is found."""

TWICE = 0.2
"""Part of an object that each of two labels must hold, so that it counts as in two pieces."""

ELSEWHERE = (-700, -500, -300, 300, 500, 700)
"""Lines so many pixels beside the seams show what is to be expected on a seam."""

STRAIGHT = 12
"""Pixels of a straight edge, along a line, that are taken for the cut of a knife."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Meetings:
    """Which object and which label meet in which tile's core.

    Attributes
    ----------
    truth, label, tile, pixels : ndarray of int64, shape (n,)
        Ids, 0 for background, and in how many pixels they meet.
    places : ndarray of int64, shape (n, 2)
        The first of these pixels, row and column.
    extents : ndarray of int64, shape (m, 5)
        Each object: id, first row, first column, last row, last column.
    """

    truth: Rows
    label: Rows
    tile: Rows
    pixels: Rows
    places: Rows
    extents: Rows


@dataclass(frozen=True, slots=True)
class Group:
    """What became of some of the objects.

    Attributes
    ----------
    objects : int
        How many.
    found : int
        At IoU 0.5.
    pieces : int
        In two pieces or more, or labelled twice.
    merged : int
        Under one label with another object.
    """

    objects: int
    found: int
    pieces: int
    merged: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found of what is there.

    Attributes
    ----------
    f1 : float
        At IoU 0.5, of all.
    every, crossed, beside : Group
        All objects; those that a seam crosses; those that a line beside the seams crosses and no
        seam. Large objects are crossed more often, so the last two are what can be compared.
    """

    f1: float
    every: Group
    crossed: Group
    beside: Group


def meetings(labels: Any, mosaic: Mosaic, plan: Plan) -> Meetings:  # noqa: ANN401
    """Go through the plane once."""
    parts, extents = [np.zeros((0, 6), np.int64)], [np.zeros((0, 5), np.int64)]
    for box in _boxes(mosaic.shape):
        label, truth = np.asarray(labels[box.slices]).astype(np.int64), mosaic.truth[box.slices]
        parts.append(_met(box, label, truth, _tiles(plan, box)))
        extents.append(_extents(box, truth))
    rows, seen = np.concatenate(parts), np.concatenate(extents)
    told, first, place = np.unique(rows[:, :3], axis=0, return_index=True, return_inverse=True)
    pixels = np.bincount(place.ravel(), rows[:, 3], len(told)).astype(np.int64)
    order = np.argsort(seen[:, 0], kind="stable")
    ids, starts = np.unique(seen[order, 0], return_index=True)
    low, high = (
        how.reduceat(seen[order, at], starts, axis=0) if len(ids) else np.zeros((0, 2), np.int64)
        for how, at in ((np.minimum, slice(1, 3)), (np.maximum, slice(3, 5)))
    )
    truths, found, tiles = told.T
    return Meetings(
        truths, found, tiles, pixels, rows[first, 4:], np.column_stack([ids, low, high])
    )


def _extents(box: Box, truth: Rows) -> Rows:
    """Return id, first and last row and column of each object in a box."""
    y, x = np.nonzero(truth)
    ids, place = np.unique(truth[y, x], return_inverse=True)
    low, high = np.full((len(ids), 2), np.iinfo(np.int64).max), np.full((len(ids), 2), -1)
    for column, at in enumerate((y + box.y0, x + box.x0)):
        np.minimum.at(low[:, column], place, at)
        np.maximum.at(high[:, column], place, at)
    return np.column_stack([ids, low, high])


def _boxes(shape: tuple[int, int]) -> Iterator[Box]:
    for y in range(0, shape[0], BLOCK):
        for x in range(0, shape[1], BLOCK):
            yield Box(y, x, y + BLOCK, x + BLOCK).intersect(Box.of_shape(shape))


def _met(box: Box, label: Rows, truth: Rows, tile: Rows) -> Rows:
    """Return object, label, tile, pixels, row and column of what meets in a box."""
    y, x = np.nonzero((label > 0) | (truth > 0))
    triples = np.stack([a[y, x] for a in (truth, label, tile)], axis=1)
    told, first, pixels = np.unique(triples, axis=0, return_index=True, return_counts=True)
    return np.column_stack([told, pixels, y[first] + box.y0, x[first] + box.x0])


def _tiles(plan: Plan, box: Box) -> Rows:
    """Return for each pixel the place of the tile whose core it lies in."""
    rows, columns = (
        np.searchsorted(lines, np.arange(a, b), side="right")
        for lines, a, b in zip(seams(plan), (box.y0, box.x0), (box.y1, box.x1), strict=True)
    )
    return rows[:, None] * plan.grid.columns.count + columns[None]


def seams(plan: Plan) -> tuple[Rows, Rows]:
    """Return the first rows, and the first columns, of all cores but the first."""
    rows, columns = (
        np.array([steps.core(k)[0] for k in range(1, steps.count)], dtype=np.int64)
        for steps in (plan.grid.rows, plan.grid.columns)
    )
    return rows, columns


def crossing(ids: Rows, tile: Rows) -> Rows:
    """Return the ids that occur in more than one tile."""
    pairs = np.unique(np.stack([ids, tile], axis=1)[ids > 0], axis=0)
    found, counts = np.unique(pairs[:, 0], return_counts=True)
    return found[counts > 1]


def on_lines(met: Meetings, lines: tuple[Rows, Rows]) -> Rows:
    """Return the objects that lie on both sides of a line, if only with their bounding box."""
    ids, first, last = met.extents[:, 0], met.extents[:, 1:3], met.extents[:, 3:5]
    crossed = np.zeros(len(ids), dtype=bool)
    for axis, at in enumerate(lines):
        below, above = (np.searchsorted(at, end[:, axis], "right") for end in (first, last))
        crossed |= below != above
    found: Rows = ids[crossed]
    return found


def quality(met: Meetings, plan: Plan) -> Quality:
    """Compare labels with the truth."""
    truths, areas = _sums(met.truth, met.pixels)
    labels, sizes = _sums(met.label, met.pixels)
    both = (met.truth > 0) & (met.label > 0)
    pairs, place = np.unique(
        np.stack([met.truth, met.label], axis=1)[both], axis=0, return_inverse=True
    )
    common = np.bincount(place.ravel(), met.pixels[both], len(pairs))
    area = areas[np.searchsorted(truths, pairs[:, 0])]
    size = sizes[np.searchsorted(labels, pairs[:, 1])]
    found = pairs[common / (area + size - common) > FOUND, 0]
    split = _repeated(pairs[common >= TWICE * area, 0])
    most = pairs[common >= FOUND * area]
    merged = most[np.isin(most[:, 1], _repeated(most[:, 1])), 0]

    def group(ids: Rows) -> Group:
        return Group(len(ids), *(int(np.isin(ids, some).sum()) for some in (found, split, merged)))

    crossed = on_lines(met, seams(plan))
    beside = np.unique(np.concatenate([on_lines(met, lines) for lines in lines_beside(plan)]))
    f1 = 2 * len(found) / max(1, len(truths) + len(labels))
    return Quality(f1, group(truths), group(crossed), group(np.setdiff1d(beside, crossed)))


def lines_beside(plan: Plan) -> list[tuple[Rows, Rows]]:
    """Return rows and columns that lie as the seams do, but elsewhere."""
    found = []
    for by in ELSEWHERE:
        rows, columns = (lines + by for lines in seams(plan))
        height, width = plan.plane_shape
        found.append(
            (rows[(rows > 0) & (rows < height)], columns[(columns > 0) & (columns < width)])
        )
    return found


def _sums(ids: Rows, pixels: Rows) -> tuple[Rows, Rows]:
    found, place = np.unique(ids[ids > 0], return_inverse=True)
    return found, np.bincount(place, pixels[ids > 0], len(found)).astype(np.int64)


def _repeated(ids: Rows) -> Rows:
    found, counts = np.unique(ids, return_counts=True)
    return found[counts > 1]


def straight(labels: Any, lines: tuple[Rows, Rows]) -> int:  # noqa: ANN401
    """Return how many labels have a long straight edge on one of the lines.

    Parameters
    ----------
    labels : array of int
        The result.
    lines : (ndarray, ndarray)
        Rows and columns; an edge lies between a line and the one before.
    """
    count = 0
    for y in lines[0].tolist():
        count += _cut(np.asarray(labels[y - 1 : y + 1, :]))
    for x in lines[1].tolist():
        count += _cut(np.asarray(labels[:, x - 1 : x + 1]).T)
    return count


def _cut(pair: NDArray[np.integer]) -> int:
    """Return how many labels end straight between two rows."""
    ends = [np.where(pair[0] != pair[1], side, 0) for side in pair]
    return sum(int((np.bincount(side)[1:] >= STRAIGHT).sum()) for side in ends)
