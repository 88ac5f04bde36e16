"""Links from frame to frame: which object is which in the next one.

The cost of a pair is its distance after motion, by the reach of the movie, plus what the masks do
not share, plus the change of size. The reach follows from how far overlapping objects move, so
that nobody needs to know a distance in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.engine.assignment import assign
from napari_ditto.engine.observation import Floats, FrameObjects, Indices, Shared

AREA_WEIGHT = 0.5
"""Cost of a change of size by the factor e, in reaches."""

MOST_CHANGE = 5.0
"""Greatest ratio of two areas that are one object."""

LIMIT = 2 + AREA_WEIGHT * float(np.log(MOST_CHANGE)) + 1e-6
"""Cost of the worst pair that is possible: any is better than a track that ends."""

REACH = (0.5, 1.5)
"""Bounds of the reach in typical diameters."""

SPREAD = 3.0
"""The reach in 95th percentiles of the motion of objects that overlap."""


@dataclass(frozen=True)
class Rules:
    """What may be linked.

    Attributes
    ----------
    max_distance : float or None
        Farthest that an object moves from frame to frame beyond the common motion, in units of
        `spacing`; None derives it from the movie.
    gap : int
        In how many frames on end an object may be missing.
    divisions : bool
        Whether an object may become two.
    spacing : tuple of float or None
        Size of a pixel on each axis of a frame; None: all 1.
    """

    max_distance: float | None = None
    gap: int = 2
    divisions: bool = True
    spacing: tuple[float, ...] | None = None


class Nodes:
    """The objects of all frames in one table, in units of the spacing.

    Parameters
    ----------
    tables : sequence of FrameObjects
        One for each frame.
    meetings : sequence of sequence of Shared
        For each frame, what it shares with the one before, the one before that, ...
    rules : Rules
        Spacing and distance.
    """

    def __init__(
        self,
        tables: Sequence[FrameObjects],
        meetings: Sequence[Sequence[Shared]],
        rules: Rules,
    ) -> None:
        axes = tables[0].centers.shape[1] if tables else 2
        self.spacing = np.ones(axes) if rules.spacing is None else np.array(rules.spacing, float)
        self.first = np.cumsum([0, *(len(t.ids) for t in tables)])
        self.frame = np.repeat(np.arange(len(tables)), np.diff(self.first))
        self.ids = np.concatenate([np.zeros(0, np.int64), *(t.ids for t in tables)])
        self.centers = np.concatenate([np.zeros((0, axes)), *(t.centers for t in tables)])
        self.places = self.centers * self.spacing
        self.areas = np.concatenate([np.zeros(0), *(t.areas for t in tables)])
        self.at_border = np.concatenate([np.zeros(0, bool), *(t.at_border for t in tables)])
        self.diameters = 2 * (self.areas * self.spacing.prod() / np.pi) ** (1 / axes)
        self._meetings = meetings
        self._rules = rules

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.first) - 1

    def of_frame(self, frame: int) -> slice:
        """Return where the objects of a frame are."""
        return slice(int(self.first[frame]), int(self.first[frame + 1]))

    def met(self, frame: int, lag: int = 1) -> tuple[Indices, Indices, Floats]:
        """Return the pairs that overlap in a frame and `lag` frames before, and their IoU."""
        if not 0 < lag <= len(self._meetings[frame]):
            none = np.zeros(0, np.int64)
            return none, none, np.zeros(0)
        met = self._meetings[frame][lag - 1]
        before, after = self.first[frame - lag] + met.before, self.first[frame] + met.after
        return before, after, met.pixels / (self.areas[before] + self.areas[after] - met.pixels)

    def drift(self, frame: int, lag: int = 1) -> Floats:
        """Return the common motion since `lag` frames before."""
        drift: Floats = self._meetings[frame][lag - 1].drift * self.spacing
        return drift

    @cached_property
    def reach(self) -> float:
        """Farthest that an object moves in one frame beyond the common motion."""
        if self._rules.max_distance is not None:
            return float(self._rules.max_distance)
        if not len(self):
            return 1.0
        typical = float(np.median(self.diameters))
        moves = self._moves()
        if not moves.size:
            return REACH[1] * typical
        far = SPREAD * float(np.quantile(moves, 0.95))
        return float(np.clip(far, REACH[0] * typical, REACH[1] * typical))

    def _moves(self) -> Floats:
        """Return how far objects move that overlap nothing else more."""
        found = [np.zeros(0)]
        for frame in range(1, self.frames):
            before, after, iou = self.met(frame)
            best = (iou >= _greatest(iou, before)) & (iou >= _greatest(iou, after))
            moved = self.places[after[best]] - self.places[before[best]] - self.drift(frame)
            found.append(np.linalg.norm(moved, axis=1))
        return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Links:
    """Who goes on as whom; one entry for each node, -1 where there is none.

    Attributes
    ----------
    previous, following : ndarray of int64, shape (n,)
        The same object in an earlier and a later frame.
    mother : ndarray of int64, shape (n,)
        Of the first node of each daughter.
    score : ndarray of float32, shape (n,)
        Of the link that leads to a node, in [0, 1]; NaN where there is none.
    """

    previous: Indices
    following: Indices
    mother: Indices
    score: NDArray[np.float32]

    @classmethod
    def none(cls, count: int) -> Links:
        """Return no links between so many nodes."""
        empty = np.full(count, -1, dtype=np.int64)
        return cls(empty, empty.copy(), empty.copy(), np.full(count, np.nan, dtype=np.float32))

    def add(self, before: Indices, after: Indices, score: Floats) -> None:
        """Add links between nodes that have none on that side."""
        self.previous[after], self.following[before] = before, after
        self.score[after] = score

    def divide(self, mother: int, daughters: tuple[int, int], score: float) -> None:
        """End a node's track in two others."""
        self.following[mother] = -1
        for daughter in daughters:
            self.previous[daughter], self.mother[daughter] = -1, mother
            self.score[daughter] = score


@dataclass(frozen=True, eq=False)
class Pairs:
    """Nodes that may be one object in two frames.

    Attributes
    ----------
    before, after : ndarray of int64, shape (n,)
        The nodes.
    cost : ndarray of float64, shape (n,)
        At least 0; the possible ones lie below :data:`LIMIT`.
    settled : ndarray of bool, shape (n,)
        Whether they share more than half of their union, as no other pair of theirs can.
    """

    before: Indices
    after: Indices
    cost: Floats
    settled: NDArray[np.bool_]

    def where(self, kept: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.before[kept], self.after[kept], self.cost[kept], self.settled[kept])

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """Return all pairs of several."""
        whole = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool)]
        columns = zip(whole, *((p.before, p.after, p.cost, p.settled) for p in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def link_frames(nodes: Nodes) -> Links:
    """Return the links between neighbouring frames."""
    links = Links.none(len(nodes))
    for frame in range(1, nodes.frames):
        pairs = candidates(nodes, frame, 1)
        chosen = assign(pairs.before, pairs.after, pairs.cost, LIMIT, pairs.settled)
        sure = scores(pairs.before, pairs.after, pairs.cost)
        links.add(pairs.before[chosen], pairs.after[chosen], sure[chosen])
    return links


def candidates(nodes: Nodes, frame: int, lag: int) -> Pairs:
    """Return the pairs of a frame and `lag` frames before that may be one object.

    They overlap or are within reach, which grows with the root of the time, as in diffusion.
    """
    reach = nodes.reach * float(np.sqrt(lag))
    old, new = nodes.of_frame(frame - lag), nodes.of_frame(frame)
    expected = nodes.places[old] + nodes.drift(frame, lag)
    width = max(1, new.stop - new.start)
    met_before, met_after, met_iou = nodes.met(frame, lag)
    met = (met_before - old.start) * width + met_after - new.start
    pairs = np.union1d(near(expected, nodes.places[new], reach), met)
    iou = np.zeros(pairs.size)
    iou[np.searchsorted(pairs, met)] = met_iou
    row, column = np.divmod(pairs, width)
    before, after = old.start + row, new.start + column
    away = np.linalg.norm(expected[row] - nodes.places[after], axis=1) / reach
    change = np.abs(np.log(nodes.areas[after] / nodes.areas[before]))
    cost = np.minimum(away, 1) + 1 - iou + AREA_WEIGHT * change
    return Pairs(before, after, cost, iou > 0.5).where(change <= np.log(MOST_CHANGE))


def scores(before: Indices, after: Indices, cost: Floats) -> Floats:
    """Return how sure each pair is in [0, 1]: less if it fits badly, or a rival fits as well."""
    fit = 1 - np.clip(cost / LIMIT, 0, 1) ** 2
    rival = np.minimum(_runner_up(cost, before), _runner_up(cost, after))
    return fit * np.clip(0.5 + (rival - cost), 0.1, 1)


def near(expected: Floats, places: Floats, reach: float) -> Indices:
    """Return the pairs within reach, ascending, each as row times number of columns plus column."""
    from scipy.spatial import cKDTree

    if not len(expected) or not len(places):
        return np.zeros(0, dtype=np.int64)
    found = cKDTree(expected).query_ball_tree(cKDTree(places), reach)
    sizes = [len(f) for f in found]
    columns = np.array([c for f in found for c in sorted(f)], dtype=np.int64)
    return np.repeat(np.arange(len(found)), sizes) * len(places) + columns


def _greatest(values: Floats, group: Indices) -> Floats:
    """Return for each value the greatest of its group."""
    if not values.size:
        return values
    numbers = np.unique(group, return_inverse=True)[1]
    most = np.zeros(numbers.max() + 1)
    np.maximum.at(most, numbers, values)
    return most[numbers]


def _runner_up(cost: Floats, group: Indices) -> Floats:
    """Return for each pair the least cost among the others of its group, infinite if alone."""
    order = np.lexsort((cost, group))
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(begins, append=order.size)
    ranked = np.append(cost[order], np.inf)
    second = np.where(sizes > 1, ranked[begins + 1], np.inf)
    rival = np.repeat(ranked[begins], sizes)
    rival[begins] = second
    found = np.empty(order.size)
    found[order] = rival
    return found
