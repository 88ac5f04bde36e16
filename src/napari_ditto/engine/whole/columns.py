"""A stack of large planes cut into columns: windows of the planes that are followed on their own.

An object belongs to the column whose core holds the centroid of its examples. A column's window
covers its own objects with a margin for them to move in; what else is seen there is followed too,
as what its objects may not take, and thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.tiling import Grid

LEAST_HALO = 64
SIDE = 4096
"""Side of a column's core, in pixels."""

BAND = 1 << 24
"""Pixels of an example that are looked at at once."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the examples show one object, all together.

    Attributes
    ----------
    area : int
        Pixels.
    row, column : int
        Sums of the pixels' coordinates.
    box : Box
        Around all of them.
    size : int
        Longest side of its box in a single example.
    """

    area: int
    row: int
    column: int
    box: Box
    size: int

    @property
    def center(self) -> tuple[float, float]:
        """The centroid (y, x)."""
        return self.row / self.area, self.column / self.area

    def join(self, other: Extent) -> Extent:
        """Return both extents as one; the longer size counts."""
        return Extent(
            self.area + other.area,
            self.row + other.row,
            self.column + other.column,
            self.box.union(other.box),
            max(self.size, other.size),
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A window that is followed through all planes.

    Attributes
    ----------
    number : int
        Rises with the place; where two columns claim a pixel, the lower one has it.
    window : Box
        What is seen.
    ids : tuple of int
        The objects that are its own, rising.
    """

    number: int
    window: Box
    ids: tuple[int, ...]


def extents(labels: NDArray[np.integer], top: int = 0) -> dict[int, Extent]:
    """Return the extent of each object of a plane, or of a band of it that starts at row `top`."""
    rows, columns = np.nonzero(labels)
    ids, place, counts = np.unique(labels[rows, columns], return_inverse=True, return_counts=True)
    if not ids.size:
        return {}
    rows = rows + top
    order = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums, least, most = (
        [ufunc.reduceat(axis[order], starts).tolist() for axis in (rows, columns)]
        for ufunc in (np.add, np.minimum, np.maximum)
    )
    found = {}
    for i, (label, count) in enumerate(zip(ids.tolist(), counts.tolist(), strict=True)):
        box = Box(least[0][i], least[1][i], most[0][i] + 1, most[1][i] + 1)
        found[label] = Extent(count, sums[0][i], sums[1][i], box, max(box.shape))
    return found


def joined(parts: Sequence[Mapping[int, Extent]], *, same_plane: bool = False) -> dict[int, Extent]:
    """Return the extents of several planes, or of several bands of one plane, by object."""
    found: dict[int, Extent] = {}
    for label, extent in ((n, e) for part in parts for n, e in part.items()):
        found[label] = found[label].join(extent) if label in found else extent
    if not same_plane:
        return found
    return {n: Extent(e.area, e.row, e.column, e.box, max(e.box.shape)) for n, e in found.items()}


def cut(
    found: Mapping[int, Extent],
    shape: tuple[int, int],
    *,
    region: Box | None = None,
    side: int = SIDE,
    halo: int | None = None,
) -> tuple[Column, ...]:
    """Return the columns in which there are objects.

    Parameters
    ----------
    found : mapping of int to Extent
        All objects that the examples show.
    shape : (int, int)
        Of the planes.
    region : Box, optional
        Objects that touch it are followed; all by default.
    side : int
        Of a core.
    halo : int, optional
        Margin around a column's own objects; by default twice the longest of them, at least 64.
    """
    grid = Grid(shape, side, 0)
    owned: dict[tuple[int, int], list[int]] = {}
    for label, extent in sorted(found.items()):
        if region is None or not extent.box.intersect(region).is_empty:
            y, x = extent.center
            place = grid.rows.nearest(round(y)), grid.columns.nearest(round(x))
            owned.setdefault(place, []).append(label)
    columns = []
    for number, (_, ids) in enumerate(sorted(owned.items())):
        own = [found[n] for n in ids]
        margin = max(LEAST_HALO, 2 * max(e.size for e in own)) if halo is None else halo
        window = own[0].box
        for extent in own[1:]:
            window = window.union(extent.box)
        columns.append(
            Column(number, window.grow(margin).intersect(Box.of_shape(shape)), tuple(ids))
        )
    return tuple(columns)


def leaves(labels: NDArray[np.integer], window: Box, shape: tuple[int, int]) -> list[int]:
    """Return the objects that touch an edge of the window beyond which the plane goes on."""
    sides = [
        (window.y0 > 0, labels[0]),
        (window.y1 < shape[0], labels[-1]),
        (window.x0 > 0, labels[:, 0]),
        (window.x1 < shape[1], labels[:, -1]),
    ]
    found = {int(n) for inner, line in sides if inner for n in np.unique(line)}
    return sorted(found - {0})
