"""Masks of tiles put together: which are one object, and which of them is painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.seams import Matches, TileObjects
from napari_ditto.core.tiling import Grid

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

NOT_PAINTED, WHOLE, IN_CORE = 0, 1, 2
"""What of a tile's mask is painted: nothing, all of it, or what lies in the tile's core."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which masks are one object, and which of them is painted.

    All arrays go over the objects of all tiles, tile by tile in rising order of their numbers.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        The object of each mask, counted from 1 in the order in which the painted masks come; 0
        where the object is left out.
    modes : ndarray of uint8, shape (n,)
        :data:`NOT_PAINTED`, :data:`WHOLE` or :data:`IN_CORE`.
    count : int
        Number of objects.
    """

    ids: Indices
    modes: NDArray[np.uint8]
    count: int


@dataclass(frozen=True, eq=False)
class Placed:
    """A tile with its objects, as grouping needs them.

    Attributes
    ----------
    number : int
        Of the tile; numbers rise from row to row and from plane to plane.
    window : Box
        Where it lies.
    objects : TileObjects
        What it shows.
    """

    number: int
    window: Box
    objects: TileObjects


class Grouping:
    """Makes groups of what tiles show.

    Parameters
    ----------
    tiles : sequence of Placed
        All finished tiles of any number of planes, by rising number.
    grid : Grid
        The tiles of each plane.
    """

    def __init__(self, tiles: Sequence[Placed], grid: Grid) -> None:
        self._grid = grid
        self._numbers = np.array([t.number for t in tiles], dtype=np.int64)
        counts = [len(t.objects) for t in tiles]
        self._first = np.cumsum([0, *counts])
        self._tile = np.repeat(np.arange(len(tiles)), counts)
        self._cut = _joined([t.objects.cut for t in tiles])
        self._wanted = _joined([t.objects.wanted for t in tiles])
        self._in_core = _joined([t.objects.in_core for t in tiles])
        centers = [t.objects.centers for t in tiles]
        self._centers = np.concatenate([np.zeros((0, 2)), *centers])
        self._depth = self._depths([t.window for t in tiles])
        self._owner = self._owners()
        self._root = np.arange(len(self._tile))
        self._complete: dict[int, set[int]] = {}

    def positions(self, number: int) -> slice:
        """Return where the objects of a tile are in all arrays."""
        at = int(np.searchsorted(self._numbers, number))
        return slice(int(self._first[at]), int(self._first[at + 1]))

    def join(self, pairs: Mapping[tuple[int, int], Matches]) -> Groups:
        """Return the groups.

        The surest pairs come first. Two masks that one tile shows complete are two objects, so a
        pair that would make them one is not believed.

        Parameters
        ----------
        pairs : mapping of (int, int) to Matches
            By the numbers of two tiles.
        """
        first, second, score = self._flat(pairs)
        for k in np.lexsort((second, first, -score)).tolist():
            self._unite(int(first[k]), int(second[k]))
        root = np.array([self._find(i) for i in range(len(self._root))], dtype=np.int64)
        return self._chosen(root)

    def _flat(self, pairs: Mapping[tuple[int, int], Matches]) -> tuple[Indices, Indices, Floats]:
        first, second, score = [], [], []
        for (one, two), found in pairs.items():
            first.append(self.positions(one).start + found.first - 1)
            second.append(self.positions(two).start + found.second - 1)
            score.append(found.scores)
        none = np.zeros(0, dtype=np.int64)
        return (
            np.concatenate([none, *first]),
            np.concatenate([none, *second]),
            np.concatenate([np.zeros(0), *score]),
        )

    def _find(self, at: int) -> int:
        root = self._root
        while root[at] != at:
            root[at] = root[root[at]]
            at = int(root[at])
        return at

    def _unite(self, one: int, two: int) -> None:
        one, two = sorted((self._find(one), self._find(two)))
        if one == two:
            return
        mine, other = self._tiles_of(one), self._tiles_of(two)
        if mine & other:
            return
        self._root[two] = one
        self._complete[one] = mine | other
        self._complete.pop(two, None)

    def _tiles_of(self, root: int) -> set[int]:
        """Return the tiles that show a member of a group complete."""
        known = self._complete.get(root)
        return known if known is not None else set() if self._cut[root] else {int(self._tile[root])}

    def _chosen(self, root: Indices) -> Groups:
        """Return what of each group is painted, and number what is."""
        n = len(root)
        best = self._deepest(root)
        whole = best >= 0
        wanted = _any(root, self._wanted) & (whole | _any(root, self._in_core))
        known = self._seen_by_owner(root, best)
        alone = np.bincount(root, minlength=n) == 1
        kept = wanted & np.where(whole | alone, known, True)
        modes = np.where(whole[root] | ~self._in_core, NOT_PAINTED, IN_CORE).astype(np.uint8)
        modes[best[np.flatnonzero(whole)]] = WHOLE
        modes[~kept[root]] = NOT_PAINTED
        ids = np.zeros(n, dtype=np.int64)
        painted = np.flatnonzero(modes)
        _, place, inverse = np.unique(root[painted], return_index=True, return_inverse=True)
        rank = np.empty(len(place), dtype=np.int64)
        rank[np.argsort(place, kind="stable")] = np.arange(1, len(place) + 1)
        number = np.zeros(n, dtype=np.int64)
        number[root[painted]] = rank[inverse]
        ids[kept[root]] = number[root[kept[root]]]
        return Groups(ids, modes, len(place))

    def _deepest(self, root: Indices) -> Indices:
        """Return for each root the complete member that lies deepest in its tile, -1 if none."""
        best = np.full(len(root), -1, dtype=np.int64)
        complete = np.flatnonzero(~self._cut)
        order = np.lexsort((-complete, self._depth[complete]))
        best[root[complete[order]]] = complete[order]
        return best

    def _seen_by_owner(self, root: Indices, best: Indices) -> NDArray[np.bool_]:
        """Return for each root whether the tile whose core holds its middle has a say in it.

        A tile that was not done has none; then what its neighbours show is taken.
        """
        chief = np.where(best >= 0, best, np.arange(len(root)))
        owner = self._owner[chief]
        at = np.searchsorted(self._numbers, owner)
        done = np.zeros(len(root), dtype=bool)
        inside = at < len(self._numbers)
        done[inside] = self._numbers[at[inside]] == owner[inside]
        has = np.unique(root * (1 + len(self._numbers)) + self._tile) if len(root) else root
        asked = np.arange(len(root)) * (1 + len(self._numbers)) + np.where(done, at, 0)
        return ~done | np.isin(asked, has)

    def _depths(self, windows: Sequence[Box]) -> Floats:
        """Return the distance of each object's middle to the nearest inner edge of its window."""
        height, width = self._grid.shape
        far = float(height + width)
        edges = np.array(
            [
                (
                    w.y0 if w.y0 > 0 else -far,
                    w.x0 if w.x0 > 0 else -far,
                    w.y1 if w.y1 < height else far + height,
                    w.x1 if w.x1 < width else far + width,
                )
                for w in windows
            ],
            dtype=np.float64,
        ).reshape(-1, 4)[self._tile]
        low, high = self._centers - edges[:, :2], edges[:, 2:] - self._centers
        depth: Floats = np.minimum(low, high).min(axis=1, initial=far)
        return depth

    def _owners(self) -> Indices:
        """Return the number of the tile whose core holds each object's middle."""
        rows, columns = self._grid.rows, self._grid.columns
        starts = [
            np.array([steps.core(k)[0] for k in range(steps.count)]) for steps in (rows, columns)
        ]
        pixel = np.floor(self._centers + 0.5)
        row = np.searchsorted(starts[0], pixel[:, 0], side="right") - 1
        column = np.searchsorted(starts[1], pixel[:, 1], side="right") - 1
        plane = self._numbers[self._tile] // self._grid.count if len(self._tile) else self._tile
        owner: Indices = plane * self._grid.count + row * columns.count + column
        return owner


def _any(root: Indices, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each root whether a member has a flag."""
    found: NDArray[np.bool_] = np.bincount(root, flags, len(root)) > 0
    return found


def _joined(parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return np.concatenate([np.zeros(0, dtype=bool), *parts])
