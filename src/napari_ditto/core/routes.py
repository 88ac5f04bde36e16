"""Which plane comes after which when labels are carried away from labelled planes.

Planes are points of a lattice, one coordinate for each axis walked. Distance is the number of
single steps (Manhattan). A plane at distance *d* from its nearest anchor reads only planes that
are nearer to theirs, so the order among equals, and the direction, decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Index = tuple[int, ...]

MOST_BEFORE = 6
"""Planes that one step may read on the ways that lead to it."""

MOST_AXES = 3
"""More axes would have more than six neighbours."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One plane of a route and what it may read.

    Attributes
    ----------
    index : tuple of int
        Which plane, one number for each axis.
    distance : int
        Steps to the nearest anchor, 0 for an anchor.
    before : tuple of tuple of int
        The neighbours nearer to an anchor, then those that led to them, and so on: whole levels of
        equal distance, at most :data:`MOST_BEFORE` planes.
    anchors : tuple of tuple of int
        The nearest anchor on each side of each axis.
    """

    index: Index
    distance: int
    before: tuple[Index, ...]
    anchors: tuple[Index, ...]


class Route:
    """All planes within bounds, the nearest to an anchor first, equals by index.

    Parameters
    ----------
    bounds : sequence of range
        First and last plane along each axis.
    anchors : mapping of index to str
        Labelled planes inside the bounds. The text, such as a digest of the plane, decides between
        two anchors equally far on one side, so that no direction does.
    """

    def __init__(self, bounds: Sequence[range], anchors: Mapping[Index, str]) -> None:
        self.bounds, self.anchors = tuple(bounds), dict(anchors)
        self._start = tuple(b.start for b in bounds)
        shape = tuple(len(b) for b in bounds)
        flat = (-1, *(1,) * len(shape))
        grid = np.indices(shape) + np.reshape(self._start, flat)
        self._distance = np.full(shape, np.iinfo(np.int64).max)
        for anchor in self.anchors:
            steps = np.abs(grid - np.reshape(anchor, flat)).sum(axis=0)
            np.minimum(self._distance, steps, out=self._distance)

    def __len__(self) -> int:
        return int(self._distance.size)

    def __iter__(self) -> Iterator[Visit]:
        for flat in np.argsort(self._distance, axis=None, kind="stable"):
            at = np.unravel_index(flat, self._distance.shape)
            yield self.visit(tuple(int(i) + s for i, s in zip(at, self._start, strict=True)))

    def visit(self, index: Index) -> Visit:
        """Return one plane with what it may read."""
        anchors = () if index in self.anchors else self._sides(index)
        return Visit(index, self.distance(index), self._before(index), anchors)

    def distance(self, index: Index) -> int:
        """Return the steps to the nearest anchor."""
        return int(self._distance[tuple(i - s for i, s in zip(index, self._start, strict=True))])

    def neighbours(self, index: Index, distance: int) -> list[Index]:
        """Return the neighbours within bounds that are so far from an anchor."""
        found = []
        for axis, step in product(range(len(index)), (-1, 1)):
            near = (*index[:axis], index[axis] + step, *index[axis + 1 :])
            if near[axis] in self.bounds[axis] and self.distance(near) == distance:
                found.append(near)
        return found

    def _before(self, index: Index) -> tuple[Index, ...]:
        found: list[Index] = []
        level = [index]
        for distance in range(self.distance(index) - 1, -1, -1):
            level = sorted({n for i in level for n in self.neighbours(i, distance)})
            if len(found) + len(level) > MOST_BEFORE:
                break
            found += level
        return tuple(found)

    def _sides(self, index: Index) -> tuple[Index, ...]:
        """Return the nearest anchor on each side of each axis."""
        found = set()
        for axis, sign in product(range(len(index)), (-1, 1)):
            side = [a for a in self.anchors if (a[axis] - index[axis]) * sign > 0]
            if side:
                found.add(min(side, key=lambda a: (steps_between(a, index), self.anchors[a], a)))
        return tuple(sorted(found))


def steps_between(a: Index, b: Index) -> int:
    """Return the Manhattan distance of two planes."""
    return sum(abs(i - j) for i, j in zip(a, b, strict=True))


def are_opposite(a: Index, b: Index, middle: Index) -> bool:
    """Whether two planes lie the same way off `middle`, on opposite sides."""
    return all(i + j == 2 * m for i, j, m in zip(a, b, middle, strict=True))
