"""Objects across the seams of tiles: measured in each tile, matched in the halo, made one.

Neighbouring tiles see the same strip twice, the halo of one and the core of the other. Two masks
are one object where they agree there. Of all masks of one object the best is taken whole: one that
is complete in its tile, and lies deepest inside. An object that no tile sees whole is put together
from what each tile shows in its own core.

Pixels near the inner edges of a window are not trusted: a network lacks what lies beyond. So a
mask that reaches into this margin is not complete, and nothing is compared there. The labels of
tiles are then those of the whole image wherever the model looks no farther than the margin, and
objects are at most ``2 * (halo - margin)`` long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.tiling import Grid

Labels = NDArray[np.integer]
Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

SAME = 0.5
"""Least IoU in the halo of two masks of one object; more than one such partner cannot be."""

CONTAINED, SHARED = 0.8, 0.25
"""Least containment and IoU of two masks that both lead out of their tiles."""


def margin(halo: int) -> int:
    """Return how far from a window's inner edge nothing is believed."""
    return halo // 4


def trusted(window: Box, plane: tuple[int, int], distance: int) -> Box:
    """Return a window without a margin at those of its edges beyond which the plane goes on."""
    return Box(
        window.y0 + distance * (window.y0 > 0),
        window.x0 + distance * (window.x0 > 0),
        window.y1 - distance * (window.y1 < plane[0]),
        window.x1 - distance * (window.x1 < plane[1]),
    )


@dataclass(frozen=True, eq=False)
class TileObjects:
    """The objects of one tile, those with ids 1 to n.

    Attributes
    ----------
    areas : ndarray of int64, shape (n,)
        Pixels in the window.
    centers : ndarray of float64, shape (n, 2)
        Mean position, pixels of the plane.
    cut : ndarray of bool, shape (n,)
        Whether the mask may go on outside of the window.
    wanted : ndarray of bool, shape (n,)
        Whether it touches the region that is to be labelled.
    in_core : ndarray of bool, shape (n,)
        Whether any of its pixels lies in the tile's core.
    """

    areas: Indices
    centers: Floats
    cut: NDArray[np.bool_]
    wanted: NDArray[np.bool_]
    in_core: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.areas)


def measure(
    labels: Labels,
    count: int,
    window: Box,
    core: Box,
    plane: tuple[int, int],
    distance: int,
    region: NDArray[np.bool_] | None = None,
) -> TileObjects:
    """Return the objects of a tile.

    Parameters
    ----------
    labels : ndarray of int, shape ``window.shape``
        Ids 1 to `count`.
    count : int
        How many there may be.
    window, core, plane : Box, Box, (int, int)
        Where the tile lies, what it decides about, and the size of its plane.
    distance : int
        The margin.
    region : ndarray of bool, shape ``window.shape``, optional
        What is to be labelled; everything by default.
    """
    inner = trusted(window, plane, distance).shift(-window.y0, -window.x0)
    edge = np.ones(window.shape, dtype=bool)
    edge[inner.slices] = False
    ids = labels.ravel()
    areas = np.bincount(ids, minlength=count + 1)[1:]
    here = np.flatnonzero(ids)
    sums = [
        np.bincount(ids[here], at, minlength=count + 1)[1:] for at in np.divmod(here, window.width)
    ]
    corner = np.array([window.y0, window.x0], dtype=np.float64)
    centers = np.stack(sums, axis=1) / np.maximum(areas, 1)[:, None] + corner
    own = labels[core.shift(-window.y0, -window.x0).slices]
    return TileObjects(
        areas.astype(np.int64),
        centers,
        _present(labels[edge], count),
        _present(labels if region is None else labels[region], count),
        _present(own, count),
    )


def _present(labels: Labels, count: int) -> NDArray[np.bool_]:
    """Return for each of the ids 1 to `count` whether it occurs."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:] > 0


@dataclass(frozen=True, eq=False)
class Matches:
    """Masks of two tiles that are one object.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n,)
        Ids in the one and the other tile.
    scores : ndarray of float64, shape (n,)
        Their IoU where both tiles look.
    """

    first: Indices
    second: Indices
    scores: Floats


def match(
    first: Labels,
    second: Labels,
    windows: tuple[Box, Box],
    cut: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    plane: tuple[int, int],
    distance: int,
) -> Matches:
    """Return who is who in the strip that two tiles share.

    Parameters
    ----------
    first, second : ndarray of int
        Labels of two tiles, of the shapes of their windows.
    windows : (Box, Box)
        Where the tiles lie.
    cut : (ndarray of bool, ndarray of bool)
        ``TileObjects.cut`` of both.
    plane : (int, int)
        Size of the plane.
    distance : int
        The margin.
    """
    a, b = windows
    strip = trusted(a, plane, distance).intersect(trusted(b, plane, distance))
    one = first[strip.shift(-a.y0, -a.x0).slices].ravel().astype(np.int64)
    two = second[strip.shift(-b.y0, -b.x0).slices].ravel().astype(np.int64)
    size_one = np.bincount(one, minlength=len(cut[0]) + 1)
    size_two = np.bincount(two, minlength=len(cut[1]) + 1)
    both = (one > 0) & (two > 0)
    met, shared = np.unique(one[both] * (len(cut[1]) + 1) + two[both], return_counts=True)
    i, j = np.divmod(met, len(cut[1]) + 1)
    iou = shared / (size_one[i] + size_two[j] - shared)
    contained = shared / np.minimum(size_one[i], size_two[j])
    long = np.concatenate([[False], cut[0]])[i] & np.concatenate([[False], cut[1]])[j]
    same = (iou > SAME) | (long & (contained >= CONTAINED) & (iou >= SHARED))
    return Matches(i[same], j[same], iou[same])


def neighbours(grid: Grid, row: int, column: int) -> Iterator[tuple[int, int]]:
    """Yield the tiles after this one, row by row, whose windows share pixels with its own."""
    rows, columns = grid.rows, grid.columns
    window = grid.tile(row, column).box
    for r in range(row, rows.count):
        if rows.start(r) >= window.y1:
            break
        for c in range(0 if r > row else column + 1, columns.count):
            box = grid.tile(r, c).box
            if not box.intersect(window).is_empty:
                yield r, c
            elif box.x0 >= window.x1:
                break
