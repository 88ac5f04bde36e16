"""Outlines with fewer vertices, nowhere further away than so many pixels, and still valid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.outlines import Outline, Ring, signed_area

ATTEMPTS = 4
"""How often the tolerance is halved where a simplified outline would cross itself."""

PAIRS = 1 << 20
"""Pairs of edges that are compared in one go."""


def simplify(outline: Outline, tolerance: float) -> Outline:
    """Return an outline whose vertices are some of the given ones.

    Parameters
    ----------
    outline : Outline
        An exact one.
    tolerance : float
        Pixels that a left-out vertex may lie from the new outline at most; from 1 on the stairs of
        a slanted edge go. 0 changes nothing.

    Returns
    -------
    Outline
        Simplified as Douglas and Peucker (1973) do; holes that get too small are left out. Where
        the result would cross itself the tolerance is halved, and in the end nothing is changed.
    """
    if tolerance <= 0:
        return outline
    for attempt in range(ATTEMPTS):
        rings = [_thinned(ring, tolerance / 2**attempt) for ring in outline.rings]
        if len(rings[0]) < 3:
            continue
        kept = [rings[0], *(ring for ring in rings[1:] if len(ring) >= 3)]
        if not _crosses(kept):
            return Outline(kept[0], tuple(kept[1:]))
    return outline


def _thinned(ring: Ring, tolerance: float) -> Ring:
    """Return the vertices that Douglas and Peucker keep, all spans of one depth at once."""
    count = len(ring)
    closed = np.concatenate([ring, ring[:1]])
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    ends = np.array([0, far, count])
    while True:
        lengths = np.diff(ends)
        span = np.repeat(np.arange(len(lengths)), lengths)
        away = _squared_distances(ring, closed[ends[:-1]][span], closed[ends[1:]][span])
        worst = np.maximum.reduceat(away, ends[:-1])
        at = np.flatnonzero((away == worst[span]) & (worst[span] > tolerance**2))
        if not len(at):
            break
        _, first = np.unique(span[at], return_index=True)
        ends = np.sort(np.concatenate([ends, at[first]]))
    thin: Ring = ring[ends[:-1]]
    return thin if len(thin) > 2 and signed_area(thin) else thin[:0]


def _squared_distances(points: Ring, a: Ring, b: Ring) -> NDArray[np.float64]:
    """Return how far points lie from the segments from `a` to `b`, squared."""
    along, off = b - a, points - a
    length = (along * along).sum(axis=1)
    share = (off * along).sum(axis=1) / np.where(length, length, 1)
    gap = off - np.minimum(np.maximum(share, 0), 1)[:, None] * along
    squared: NDArray[np.float64] = (gap * gap).sum(axis=1)
    return squared


def _crosses(rings: Sequence[Ring]) -> bool:
    """Whether two edges of these rings meet that are no neighbours."""
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    left = np.minimum(starts[:, 1], ends[:, 1])
    right = np.maximum(starts[:, 1], ends[:, 1])
    order = np.argsort(left)
    starts, ends, left, right = starts[order], ends[order], left[order], right[order]
    counts = np.searchsorted(left, right, side="right") - np.arange(len(left)) - 1
    chunks = np.searchsorted(np.cumsum(counts), np.arange(PAIRS, counts.sum() + 1, PAIRS))
    for part in np.split(np.arange(len(counts)), np.unique(chunks) + 1):
        first = np.repeat(part, counts[part])
        offset = np.arange(len(first)) - np.repeat(
            np.cumsum(counts[part]) - counts[part], counts[part]
        )
        second = first + 1 + offset
        if _meet(starts[first], ends[first], starts[second], ends[second]).any():
            return True
    return False


def _meet(a: Ring, b: Ring, c: Ring, d: Ring) -> NDArray[np.bool_]:
    """Whether segments a-b and c-d meet in more than a common end."""
    abc, abd = _turn(a, b, c), _turn(a, b, d)
    cda, cdb = _turn(c, d, a), _turn(c, d, b)
    cross = (abc * abd < 0) & (cda * cdb < 0)
    # An end of one inside the other, or both on one line and overlapping.
    for turn, point, low, high in ((abc, c, a, b), (abd, d, a, b), (cda, a, c, d), (cdb, b, c, d)):
        cross |= (turn == 0) & _inside(point, low, high)
    same = ((a == d).all(1) & (b == c).all(1)) | ((a == c).all(1) & (b == d).all(1))
    result: NDArray[np.bool_] = cross | same
    return result


def _turn(a: Ring, b: Ring, c: Ring) -> NDArray[np.float64]:
    first, second = b - a, c - a
    turn: NDArray[np.float64] = np.sign(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    return turn


def _inside(point: Ring, a: Ring, b: Ring) -> NDArray[np.bool_]:
    """Whether points on the lines through a and b lie between them, ends left out."""
    along = ((point - a) * (b - a)).sum(axis=1)
    inside: NDArray[np.bool_] = (along > 0) & (along < ((b - a) ** 2).sum(axis=1))
    return inside
