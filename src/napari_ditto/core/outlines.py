"""Exact outlines of masks, along the edges of their pixels, and the way back.

Coordinates are ``(row, column)`` of pixel corners: the pixel with index ``i`` covers
``[i, i + 1)``, as in GeoJSON, COCO and ImageJ. Elsewhere in this package its centre is at ``i``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import Mask

Ring = NDArray[np.float64]
"""Vertices (n, 2), the first one not repeated at the end."""


CROSSINGS = 1 << 22
"""Crossings of rings and rows that are held in memory at once."""


@dataclass(frozen=True, eq=False)
class Outline:
    """One connected piece of an object: a polygon that is valid as OGC defines it.

    Attributes
    ----------
    shell : ndarray of float, shape (n, 2)
        The outer ring; the object is on its right hand as rows go down.
    holes : tuple of such arrays
        The inner rings, which run the other way round.
    """

    shell: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The shell and the holes."""
        return (self.shell, *self.holes)

    def moved(self, linear: NDArray[np.float64], shift: NDArray[np.float64]) -> Outline:
        """Return the outline with each vertex ``v`` at ``linear @ v + shift``."""
        shell, *holes = (ring @ linear.T + shift for ring in self.rings)
        return Outline(shell, tuple(holes))


def trace(mask: Mask, corner: tuple[int, int] = (0, 0)) -> list[Outline]:
    """Return the outlines of a mask, one for each piece that is connected by pixel edges.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        The object.
    corner : (int, int)
        Row and column of ``mask[0, 0]`` in the plane.

    Returns
    -------
    list of Outline
        Vertices are where the outline turns; they are whole numbers. Rings touch themselves
        nowhere and each other in single points at most, so that every polygon is valid.
    """
    rings = list(_rings(mask))
    areas = [signed_area(ring) for ring in rings]
    shells = [ring for ring, area in zip(rings, areas, strict=True) if area > 0]
    holes = [ring for ring, area in zip(rings, areas, strict=True) if area < 0]
    inside = _owners(mask, shells, holes)
    at = np.array(corner, dtype=np.float64)
    return [
        Outline(shell + at, tuple(h + at for h, n in zip(holes, inside, strict=True) if n == i))
        for i, shell in enumerate(shells)
    ]


def fill(rings: Iterable[Ring], box: Box) -> Mask:
    """Return which pixels of a box have their centres inside an odd number of rings.

    Parameters
    ----------
    rings : iterable of ndarray of float, shape (n, 2)
        Closed or not; holes may run either way.
    box : Box
        The window of the plane to be filled.

    Returns
    -------
    ndarray of bool, shape ``box.shape``
        Exactly the mask that :func:`trace` was given, for its own rings.
    """
    height, width = box.shape
    turns = np.zeros((height, width + 1), dtype=np.uint8)
    origin = np.array([box.y0, box.x0], dtype=np.float64)
    for ring in rings:
        if len(ring) > 2:
            _cross(np.asarray(ring, dtype=np.float64) - origin, turns)
    odd: Mask = (np.bitwise_xor.accumulate(turns[:, :width], axis=1)).view(np.bool_)
    return odd


def bounds(rings: Iterable[Ring]) -> tuple[float, float, float, float]:
    """Return ``(y0, x0, y1, x1)`` round all vertices; raises ValueError if there are none."""
    points = np.concatenate([np.asarray(ring, dtype=np.float64) for ring in rings])
    (y0, x0), (y1, x1) = points.min(axis=0), points.max(axis=0)
    return float(y0), float(x0), float(y1), float(x1)


def signed_area(ring: Ring) -> float:
    """Return the area, positive where the inside is on the right hand as rows go down."""
    y, x = ring.T
    around = x[-1] * y[0] - y[-1] * x[0]
    return float(x[:-1] @ y[1:] - y[:-1] @ x[1:] + around) / 2


# --- tracing -------------------------------------------------------------------------------------


def _rings(mask: Mask) -> Iterator[Ring]:
    """Yield simple rings with the object on the right hand.

    Vertices where the outline turns, sorted along rows, are in pairs the ends of its horizontal
    parts, and sorted along columns those of its vertical parts. Where two pixels touch by a corner
    the vertex counts twice, and is linked so that they stay apart.
    """
    y, x, first, below = _vertices(mask)
    count = len(y)
    if not count:
        return
    # Which of two copies goes up: with the object to the upper left, the one that ends on the left.
    columnwise = np.lexsort((first, y, x))
    partner = np.empty(count, dtype=np.intp)
    partner[columnwise] = columnwise[np.arange(count) ^ 1]
    left = np.arange(0, count, 2)
    start = np.where(below[left], left, left + 1)
    follows = (partner[start ^ 1] >> 1).tolist()
    points = np.stack([y, x], axis=1).astype(np.float64)
    touches = bool(((np.diff(y) == 0) & (np.diff(x) == 0)).any())
    for cycle in _cycles(follows):
        edges = start[cycle]
        ring = points[np.stack([edges, edges ^ 1], axis=1).ravel()]
        yield from _simple(ring) if touches else (ring,)


def _vertices(
    mask: Mask,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return rows, columns, order among copies, and whether the object is to the lower right."""
    padded = np.pad(mask.astype(bool, copy=False), 1).view(np.uint8)
    a, b = padded[:-1, :-1], padded[:-1, 1:]
    c, d = padded[1:, :-1], padded[1:, 1:]
    total = a + b + c + d
    twice = (total == 2) & (a == d)
    at = np.flatnonzero((total & 1).astype(bool) | twice)
    copies = twice.ravel()[at]
    at = np.repeat(at, copies + 1)
    y, x = np.divmod(at, total.shape[1])
    below = d[y, x].astype(bool)
    # The first copy ends the part on its left; it goes up if that side's object is above it.
    second = np.zeros(len(at), dtype=bool)
    second[1:] = at[1:] == at[:-1]
    doubled = np.repeat(copies, copies + 1)
    return y, x, doubled & (second == below), below


def _cycles(follows: list[int]) -> Iterator[list[int]]:
    """Yield the cycles of a permutation."""
    seen = bytearray(len(follows))
    for first in range(len(follows)):
        if not seen[first]:
            cycle, at = [], first
            while not seen[at]:
                seen[at] = 1
                cycle.append(at)
                at = follows[at]
            yield cycle


def _simple(ring: Ring) -> Iterator[Ring]:
    """Yield the loops of a ring that comes through some vertices more than once."""
    path: list[tuple[float, float]] = []
    places: dict[tuple[float, float], int] = {}
    for y, x in ring.tolist():
        vertex = (y, x)
        if vertex in places:
            begin = places[vertex]
            yield np.array(path[begin:])
            for gone in path[begin:]:
                del places[gone]
            del path[begin:]
        places[vertex] = len(path)
        path.append(vertex)
    yield np.array(path)


def _owners(mask: Mask, shells: Sequence[Ring], holes: Sequence[Ring]) -> list[int]:
    """Return for each hole the number of the shell it is in."""
    if len(shells) <= 1 or not holes:
        return [0] * len(holes)
    from scipy.ndimage import label

    numbered, _ = label(mask)
    owner = {int(numbered[_pixel_beside(shell)]): i for i, shell in enumerate(shells)}
    return [owner[int(numbered[_pixel_beside(hole)])] for hole in holes]


def _pixel_beside(ring: Ring) -> tuple[int, int]:
    """Return a pixel on the right hand of a ring's first edge."""
    (y0, x0), (y1, x1) = ring[:2].astype(np.intp).tolist()
    if y0 == y1:
        return (y0, x0) if x1 > x0 else (y0 - 1, x0 - 1)
    return (y0, x0 - 1) if y1 > y0 else (y0 - 1, x0)


# --- filling -------------------------------------------------------------------------------------


def _cross(ring: Ring, turns: NDArray[np.uint8]) -> None:
    """Flip, in each row, the first pixel whose centre is right of where the ring crosses it."""
    height, width = turns.shape
    (y0, x0), (y1, x1) = ring.T, np.roll(ring, -1, axis=0).T
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.intp)
    stop = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.intp)
    slope = (x1 - x0) / np.where(y0 == y1, 1.0, y1 - y0)
    for edges in _in_batches(stop - first):
        counts = (stop - first)[edges]
        edge = np.repeat(edges, counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        at = x0[edge] + (row + 0.5 - y0[edge]) * slope[edge]
        column = np.clip(np.ceil(at - 0.5), 0, width - 1).astype(np.intp)
        np.bitwise_xor.at(turns, (row, column), np.uint8(1))


def _in_batches(counts: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Part edges so that no part crosses many more than :data:`CROSSINGS` rows."""
    crossing = np.flatnonzero(counts)
    after = np.cumsum(counts[crossing]) // CROSSINGS
    return np.split(crossing, np.flatnonzero(np.diff(after)) + 1)
