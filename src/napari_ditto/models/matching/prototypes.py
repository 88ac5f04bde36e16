"""What the labelled cells of the examples look like: a few prototypes per class.

A prototype is the mean direction of a cluster of cells (spherical k-means: Dhillon & Modha 2001),
started from cells far from each other (Gonzalez 1985), so that rare looks are kept. Nothing here
is random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.matching.dense import Floats, unit

ROUNDS = 5

Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Cells:
    """Labelled cells of the examples.

    Attributes
    ----------
    features : ndarray of float32, shape (n, d)
        Unit vectors.
    shares : ndarray of float32, shape (n, 1 + c)
        How much of each cell is background and each class, times the example's weight.
    group : ndarray of int, shape (n,)
        Left out together; cells side by side say little new about each other.
    """

    features: Floats
    shares: Floats
    group: Ints


@dataclass(frozen=True, eq=False)
class Bank:
    """Prototypes of all classes, the background first.

    Attributes
    ----------
    directions : ndarray of float32, shape (k, d)
        Unit vectors.
    weights : ndarray of float32, shape (k,)
        They add up to 1 in each class; 0 for places that are not used.
    sizes : tuple of int
        Places of each class.
    """

    directions: Floats
    weights: Floats
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Coreset:
    """Cells by the place of their prototype; what a cell added can be taken out again.

    Attributes
    ----------
    cells : Cells
        What was clustered.
    sizes : tuple of int
        Most prototypes of each class.
    """

    cells: Cells
    sizes: tuple[int, ...]
    member: Ints = field(init=False)
    place: Ints = field(init=False)

    def __post_init__(self) -> None:
        found = [_cluster(self.cells, c, size) for c, size in enumerate(self.sizes)]
        start = starts(self.sizes)
        object.__setattr__(self, "member", np.concatenate([m for m, _ in found]))
        place = np.concatenate([at + s for (_, at), s in zip(found, start, strict=True)])
        object.__setattr__(self, "place", place)

    def total(self, group: int | None = None) -> tuple[Floats, Floats]:
        """Return the weighted sum (k, d) and the weight (k,) of each place, of one group or all."""
        chosen = np.ones(len(self.member), bool)
        if group is not None:
            chosen = self.cells.group[self.member] == group
        member, place = self.member[chosen], self.place[chosen]
        column = np.searchsorted(np.cumsum(self.sizes), place, side="right")
        weight = self.cells.shares[member, column]
        sums = np.zeros((sum(self.sizes), self.cells.features.shape[1]), np.float32)
        np.add.at(sums, place, weight[:, None] * self.cells.features[member])
        return sums, np.bincount(place, weight, len(sums)).astype(np.float32)

    def bank(self) -> Bank:
        """Return the prototypes."""
        return _bank(*self.total(), self.sizes)

    def left_out(self) -> Iterator[tuple[Ints, Bank]]:
        """Yield the cells of each group, and the prototypes had they not been seen.

        The partition into clusters stays, and so does a class that would be left with nothing.
        """
        everything = self.total()
        order = np.argsort(self.cells.group, kind="stable")
        numbers, first = np.unique(self.cells.group[order], return_index=True)
        for number, chosen in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            yield chosen, self._without(number, everything)

    def _without(self, group: int, everything: tuple[Floats, Floats]) -> Bank:
        (sums, weights), (less, lighter) = everything, self.total(group)
        left = weights - lighter
        left[left < 1e-4 * weights] = 0
        bare = np.add.reduceat(left, starts(self.sizes)) <= 0
        kept = np.repeat(bare, self.sizes)[:, None]
        return _bank(
            np.where(kept, sums, sums - less), np.where(kept[:, 0], weights, left), self.sizes
        )


def starts(sizes: tuple[int, ...]) -> Ints:
    """Return where the places of each class begin."""
    return np.cumsum([0, *sizes[:-1]])


def _bank(sums: Floats, weights: Floats, sizes: tuple[int, ...]) -> Bank:
    mass = np.add.reduceat(weights, starts(sizes))
    share = weights / np.repeat(np.maximum(mass, 1e-9), sizes)
    return Bank(unit(sums), share.astype(np.float32), sizes)


def _cluster(cells: Cells, column: int, limit: int) -> tuple[Ints, Ints]:
    """Return the cells of a class, and the cluster of each."""
    member = np.flatnonzero(cells.shares[:, column] > 0)
    weight = cells.shares[member, column]
    if not len(member):
        return member, member
    features = cells.features[member]
    centers = features[_spread(features, weight, limit)]
    for _ in range(ROUNDS):
        nearest = (features @ centers.T).argmax(axis=1)
        sums = np.zeros_like(centers)
        np.add.at(sums, nearest, weight[:, None] * features)
        centers = unit(sums)
    return member, nearest


def _spread(features: Floats, weight: Floats, limit: int) -> list[int]:
    """Return cells far from each other, the first one in the middle of all."""
    chosen = [int((features @ (weight @ features)).argmax())]
    away = 1 - features @ features[chosen[0]]
    while len(chosen) < min(limit, len(features)):
        ahead = int((away * np.sqrt(weight)).argmax())
        if away[ahead] <= 1e-6:
            break
        chosen.append(ahead)
        away = np.minimum(away, 1 - features @ features[ahead])
    return chosen
