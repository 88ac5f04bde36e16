"""One mask into several: along a line, or between clicks.

The parts of a split hold exactly the pixels of the mask, each pixel in one part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.masks import Mask

Parts = NDArray[np.intp]
Position = tuple[int, ...]
Line = NDArray[np.float64]

SLIVER = 0.01
"""A piece smaller than this part of the mask, or than 4 pixels, is debris of the cut."""

REACH = 0.15
"""A line may end this part of the mask's mean diameter before its border: hands are not exact."""

ROUND = 0.8
"""Part of the largest disk round a click that a cut does not enter, for as long as one is found."""

BORDER_POINTS, CHORDS, LARGEST_SIDE = 120, 150, 192

MOST_COSTED = 1 << 17
"""Pixels between which ways are looked for: a second of work in a volume."""


def cut_along(mask: Mask, path: Line) -> Parts:
    """Return the pieces that a mask falls into when it is cut along a line.

    What the line does not touch stays with the largest piece. A mask of more than two axes is cut
    along the same line on each of its planes.

    Parameters
    ----------
    mask : ndarray of bool, shape (..., h, w)
        The object.
    path : ndarray of float, shape (n, 2)
        Vertices (row, column) of the line, pixel centres at whole numbers.

    Returns
    -------
    ndarray of int, shape of `mask`
        0 outside, then 1, 2, ... from the largest piece down; only 1 if nothing was cut off.
    """
    size = math.sqrt(np.count_nonzero(mask.any(axis=tuple(range(mask.ndim - 2)))))
    for reach in (0.0, 3.0, REACH * size):
        parts = _pieces(mask, _drawn(_longer(path, reach), mask.shape[-2:]))
        if parts.max(initial=0) > 1:
            break
    return parts


def split_at(
    mask: Mask, seeds: Sequence[Position], spacing: Sequence[float] | None = None
) -> Parts:
    """Return as many parts of a mask as there are clicks on it, part ``i + 1`` round click ``i``.

    On a plane two clicks are parted by the straight cut that is short for the area on its smaller
    side (length over the root of that area), and that leaves the disks round both clicks whole.
    Where there is none, as in a ring or in a volume, each pixel goes to the click from which a
    way through thick parts of the mask is cheapest (a step costs one over the depth).

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w) or (d, h, w)
        The object.
    seeds : sequence of tuple of int
        At least one position in the mask, all different.
    spacing : sequence of float, optional
        Size of a pixel along each axis.

    Raises
    ------
    ValueError
        If a click lies outside, or on another one.
    """
    if len(set(seeds)) != len(seeds) or not all(mask[seed] for seed in seeds):
        raise ValueError("clicks must lie on the mask, on different pixels")
    if len(seeds) == 1:
        return mask.astype(np.intp)
    sides = _part_two(mask, seeds[0], seeds[1]) if mask.ndim == 2 else None
    if sides is None:
        return _by_cost(mask, seeds, spacing)
    parts = np.zeros(mask.shape, dtype=np.intp)
    for side in sides:
        inside = [i for i, seed in enumerate(seeds) if side[seed]]
        numbers = np.array([0, *(i + 1 for i in inside)])
        parts[side] = numbers[split_at(side, [seeds[i] for i in inside])[side]]
    return parts


# --- along a line ------------------------------------------------------------------------------


def _longer(path: Line, reach: float) -> Line:
    """Return a line whose ends go on straight."""
    if reach == 0 or len(path) < 2:
        return path
    first, last = path[0] - path[1], path[-1] - path[-2]
    ends = [v / max(1e-9, float(np.hypot(*v))) * reach for v in (first, last)]
    return np.concatenate([[path[0] + ends[0]], path, [path[-1] + ends[1]]])


def _drawn(path: Line, shape: tuple[int, ...]) -> Mask:
    """Return the pixels under a line; they join by their sides, so that nothing slips through."""
    drawn = np.zeros(shape, dtype=bool)
    for a, b in itertools.pairwise(path):
        steps = 2 * math.ceil(float(np.abs(b - a).max())) + 1
        at = np.floor(np.linspace(a, b, steps + 1) + 0.5).astype(np.intp)
        corners = np.stack([at[1:, 0], at[:-1, 1]], axis=1)
        at = np.concatenate([at, corners])
        at = at[((at >= 0) & (at < shape)).all(axis=1)]
        drawn[tuple(at.T)] = True
    return drawn


def _pieces(mask: Mask, line: Mask) -> Parts:
    """Return the pieces of a mask beside a line, the pixels under it given to the nearest."""
    whole, _ = _components(mask)
    touched = np.isin(whole, whole[mask & line]) & mask
    found, count = _components(touched & ~line)
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    sizes[0] = 0
    least = max(4, SLIVER * np.count_nonzero(mask))
    order = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] >= least]
    numbers = np.zeros(count + 1, dtype=np.intp)
    numbers[order] = np.arange(1, len(order) + 1)
    parts = _spread(numbers[found], touched)
    parts[mask & (parts == 0)] = 1
    return _largest_first(parts)


def _largest_first(parts: Parts) -> Parts:
    sizes = np.bincount(parts.ravel())
    sizes[0] = np.iinfo(sizes.dtype).max
    ranks = np.empty_like(sizes)
    ranks[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return ranks[parts]


def _components(mask: Mask) -> tuple[Parts, int]:
    from scipy.ndimage import label

    numbered, count = label(mask, structure=np.ones((3,) * mask.ndim))
    return numbered.astype(np.intp, copy=False), int(count)


def _spread(markers: Parts, mask: Mask) -> Parts:
    """Let markers grow over a mask, step by step, until they meet."""
    from skimage.segmentation import watershed

    flat = np.zeros(mask.shape, dtype=np.uint8)
    grown = watershed(flat, markers, mask=mask, connectivity=mask.ndim)  # type: ignore[no-untyped-call]
    return np.asarray(grown, dtype=np.intp)


# --- between clicks ----------------------------------------------------------------------------


def _depth(mask: Mask, spacing: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Return the distance of each pixel to the outside, which begins at the array's edge."""
    from scipy.ndimage import distance_transform_edt

    inner = (slice(1, -1),) * mask.ndim
    depth: NDArray[np.float64] = distance_transform_edt(np.pad(mask, 1), sampling=spacing)[inner]
    return depth


def _by_cost(mask: Mask, seeds: Sequence[Position], spacing: Sequence[float] | None) -> Parts:
    step = math.ceil((mask.size / MOST_COSTED) ** (1 / mask.ndim))
    if step == 1:
        return _by_ways(mask, seeds, spacing)
    # A larger mask is looked at roughly, which leaves the border between parts as wide a step.
    coarse = (slice(None, None, step),) * mask.ndim
    rough = mask[coarse].copy()
    at = [tuple(min(p // step, n - 1) for p, n in zip(s, rough.shape, strict=True)) for s in seeds]
    if len(set(at)) < len(at):
        return _by_ways(mask, seeds, spacing)
    for position in at:
        rough[position] = True
    markers = np.zeros(mask.shape, dtype=np.intp)
    markers[coarse] = np.where(mask[coarse], _by_ways(rough, at, spacing), 0)
    for number, seed in enumerate(seeds, 1):
        markers[seed] = number
    parts = _spread(markers, mask)
    parts[mask & (parts == 0)] = 1
    return parts


def _by_ways(mask: Mask, seeds: Sequence[Position], spacing: Sequence[float] | None) -> Parts:
    """Return for each pixel the click with the cheapest way to it."""
    from skimage.graph import MCP_Geometric

    pixel = min(spacing) if spacing is not None else 1.0
    costs = np.where(mask, 1 / (_depth(mask, spacing) + pixel / 2), -1.0)
    ways = MCP_Geometric(costs, sampling=spacing)
    # It hands out the array that it goes on to work in.
    reached = np.stack([ways.find_costs([seed])[0].copy() for seed in seeds])
    parts = reached.argmin(axis=0) + 1
    # A piece that no way leads to goes to the click that is nearest as the crow flies.
    for at in np.argwhere(mask & np.isinf(reached.min(axis=0))):
        parts[tuple(at)] = 1 + np.argmin([math.dist(at, seed) for seed in seeds])
    return np.where(mask, parts, 0)


def _part_two(mask: Mask, a: Position, b: Position) -> tuple[Mask, Mask] | None:
    """Return the two sides of the best straight cut between two clicks, None if there is none."""
    step = math.ceil(max(mask.shape) / LARGEST_SIDE)
    rough = mask[::step, ::step]
    ends = tuple((min(p[0] // step, rough.shape[0] - 1), p[1] // step) for p in (a, b))
    for free in (ROUND, ROUND / 2):
        chord = _best_chord(rough, ends[0], ends[1], free)
        if chord is None:
            continue
        parts = _pieces(mask, _drawn(_longer(chord * step, 2.0 * step), mask.shape))
        if parts[a] != parts[b]:
            side = _spread(np.where(parts == parts[a], 1, np.where(parts == parts[b], 2, 0)), mask)
            return (side == 1) | (mask & (side == 0)), side == 2
    return None


def _best_chord(mask: Mask, a: Position, b: Position, free: float) -> Line | None:
    if not (mask[a] and mask[b]):
        return None
    depth = _depth(mask)
    for between in (True, False):
        best, least = None, math.inf
        for chord, length in _chords(mask, depth, a, b, free, between=between):
            found, _ = _components(mask & ~_drawn(chord, mask.shape))
            if 0 != found[a] != found[b] != 0:
                area = min(np.count_nonzero(found == found[p]) for p in (a, b))
                if length / math.sqrt(area) < least:
                    best, least = chord, length / math.sqrt(area)
        if best is not None:
            return best
    return None


def _chords(
    mask: Mask,
    depth: NDArray[np.float64],
    a: Position,
    b: Position,
    free: float,
    *,
    between: bool,
) -> Iterator[tuple[Line, float]]:
    """Yield straight ways through a mask, the shortest first, that leave two disks alone.

    They cross the straight way from one click to the other if `between`; in a bent mask none of
    these may part them, and the others are worth a look.
    """
    border = np.argwhere(mask & (depth <= 1)).astype(np.float64)
    if len(border) > BORDER_POINTS:
        border = border[np.linspace(0, len(border) - 1, BORDER_POINTS).astype(np.intp)]
    i, j = np.triu_indices(len(border), 1)
    start, way = border[i], border[j] - border[i]
    length = np.hypot(way[:, 0], way[:, 1])
    fits = _turn(way, a - start) * _turn(way, b - start) < 0
    fits &= (_away(start, way, a) >= free * depth[a]) & (_away(start, way, b) >= free * depth[b])
    ends = _turn(np.subtract(b, a), border - a)
    fits &= (ends[i] * ends[j] < 0) == between
    chosen = np.flatnonzero(fits)
    for k in chosen[np.argsort(length[chosen], kind="stable")][:CHORDS]:
        steps = np.linspace(0, 1, 2 * math.ceil(length[k]) + 2)[:, None]
        at = np.floor(start[k] + steps * way[k] + 0.5).astype(np.intp)
        if mask[tuple(at.T)].all():
            yield np.stack([start[k], start[k] + way[k]]), float(length[k])


def _turn(way: NDArray[Any], offset: Line) -> NDArray[np.float64]:
    """Return on which side of a way something lies, as a sign."""
    turn: NDArray[np.float64] = way[..., 0] * offset[..., 1] - way[..., 1] * offset[..., 0]
    return turn


def _away(start: Line, way: Line, point: Position) -> NDArray[np.float64]:
    """Return how far a point is from each way."""
    offset = np.asarray(point, dtype=np.float64) - start
    along = (offset * way).sum(axis=1) / np.maximum(1e-9, (way * way).sum(axis=1))
    nearest = np.clip(along, 0, 1)[:, None] * way
    return np.asarray(np.hypot(*(offset - nearest).T), dtype=np.float64)
