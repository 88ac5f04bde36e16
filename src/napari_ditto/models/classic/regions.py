"""What can be said about every region of a tree without looking at its pixels again.

All columns come from additive sums (area, moments, light, gradient along the border), so a tree
of some thousand regions costs a few cumulative sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.classic.tree import Floats, Ints, Tree

COLUMNS = (
    "log_area",
    "log_edge",
    "edge_evenness",
    "edge_ratio",
    "compactness",
    "ellipse_fit",
    "elongation",
    "growth",
    "growth_far",
    "swell",
    "rim",
    "spread",
    "contrast",
)
"""Names of the columns of :func:`describe`, in order."""

_TINY = 1e-6


def describe(
    tree: Tree, light: NDArray[np.float32], edges: NDArray[np.float32], step: float
) -> Floats:
    """Return one row per region, columns as in `COLUMNS`.

    Parameters
    ----------
    tree : Tree
        Over a grid of shape (h, w).
    light, edges : ndarray of float32, shape (h, w)
        Lightness and gradient length on that grid.
    step : float
        Change of level over which stability is judged.
    """
    area = tree.gather()
    total, total2 = tree.gather(light), tree.gather(light.astype(np.float64) ** 2)
    inner = tree.gather(edges) / area
    length, edge, edge2 = border_sums(tree, edges)
    mean, mean2 = edge / length, edge2 / length
    fit, elongation = _ellipse(tree, area)
    ring = _ancestor(tree, area, 2.0)
    outside = (total[ring] - total) / np.maximum(area[ring] - area, 1)
    spread = np.sqrt(np.maximum(total2 / area - (total / area) ** 2, 0))
    contrast = np.abs(total / area - outside) * (ring != np.arange(len(tree)))
    wider = _lower(tree, step)
    columns = [
        np.log(area),
        np.log(mean + 1e-3),
        mean / np.sqrt(mean2 + _TINY),
        np.log((mean + 1e-3) / (inner + 1e-3)),
        4 * np.pi * area / length**2,
        fit,
        elongation,
        np.log(area[wider] / area),
        np.log(area[_lower(tree, 4 * step)] / area),
        np.log(area / _largest_child(tree, area)),
        _rim(tree, length),
        np.log(spread + 1e-2),
        np.log(contrast + 1e-2),
    ]
    return np.stack(columns, axis=1)


def bounds(tree: Tree) -> Ints:
    """Return the box of every region, shape (n, 4): y0, x0, y1, x1, half-open."""
    h, w = tree.image.shape
    yy, xx = np.indices((h, w))
    low = np.full((len(tree), 4), max(h, w), np.int64)
    flat = tree.image.ravel()
    for column, value in enumerate((yy, xx, -yy - 1, -xx - 1)):
        np.minimum.at(low[:, column], flat, value.ravel())
    return np.asarray(_run_minima(low, tree.last) * np.array([1, 1, -1, -1]))


def _run_minima(values: Ints, last: Ints) -> Ints:
    """Return column minima over the runs ``n .. last[n]``, by minima over powers of two."""
    first = np.arange(len(values))
    reach = np.frexp(last - first)[1] - 1
    result, table = values.copy(), values
    for power in range(int(reach.max()) + 1):
        here = np.flatnonzero(reach == power)
        result[here] = np.minimum(table[here], table[last[here] - 2**power])
        table = np.minimum(table[: -(2**power)], table[2**power :])
    return result


def border_sums(tree: Tree, edges: NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
    """Return border length, and sums of edge strength and of its square along it.

    The image's own rim counts as border of strength zero.
    """
    a, b, strength = _pairs(tree, edges)
    above = common_ancestor(tree, a, b)
    rim = _rim_nodes(tree)
    sums = []
    for weights in (np.ones_like(strength), strength, strength**2):
        own = sum(np.bincount(n, weights, len(tree)) for n in (a, b))
        own = own - 2 * np.bincount(above, weights, len(tree))
        sums.append(own)
    sums[0] = sums[0] + np.bincount(rim, minlength=len(tree))
    length, total, squares = (tree.total(np.asarray(own, np.float64)) for own in sums)
    return np.maximum(length, 1), np.maximum(total, 0), np.maximum(squares, 0)


def common_ancestor(tree: Tree, a: Ints, b: Ints) -> Ints:
    """Return the smallest region that holds both nodes of each pair."""
    found = a.copy()
    open_ = np.flatnonzero((b < found) | (b >= tree.last[found]))
    while open_.size:
        found[open_] = tree.parent[found[open_]]
        up = found[open_]
        open_ = open_[(b[open_] < up) | (b[open_] >= tree.last[up])]
    return found


def _pairs(tree: Tree, edges: NDArray[np.float32]) -> tuple[Ints, Ints, Floats]:
    image, strong = tree.image, edges.astype(np.float64)
    a = np.concatenate([image[1:].ravel(), image[:, 1:].ravel()])
    b = np.concatenate([image[:-1].ravel(), image[:, :-1].ravel()])
    down, right = (strong[1:] + strong[:-1]) / 2, (strong[:, 1:] + strong[:, :-1]) / 2
    strength = np.concatenate([down.ravel(), right.ravel()])
    cut = a != b
    return a[cut], b[cut], strength[cut]


def _rim_nodes(tree: Tree) -> Ints:
    image = tree.image
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _rim(tree: Tree, length: Floats) -> Floats:
    own = np.bincount(_rim_nodes(tree), minlength=len(tree)).astype(np.float64)
    return tree.total(own) / length


def _ellipse(tree: Tree, area: Floats) -> tuple[Floats, Floats]:
    """Return area over that of the ellipse with the same moments, and the axis ratio."""
    y, x = np.indices(tree.image.shape).astype(np.float64)[:2]
    sy, sx = tree.gather(y) / area, tree.gather(x) / area
    # A pixel is a unit square: its own second moment is 1/12.
    yy = tree.gather(y * y) / area - sy**2 + 1 / 12
    xx = tree.gather(x * x) / area - sx**2 + 1 / 12
    xy = tree.gather(x * y) / area - sy * sx
    det = np.maximum(yy * xx - xy**2, _TINY)
    root = np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    small, large = np.maximum((yy + xx) / 2 - root, _TINY), (yy + xx) / 2 + root
    return np.minimum(area / (4 * np.pi * np.sqrt(det)), 1.5), np.sqrt(small / large)


def _ancestor(tree: Tree, area: Floats, factor: float) -> Ints:
    """Return the smallest region at least `factor` times as large (or the root)."""
    found = tree.parent.copy()
    while (small := (area[found] < factor * area) & (found > 0)).any():
        found[small] = tree.parent[found[small]]
    return found


def _lower(tree: Tree, step: float) -> Ints:
    """Return the region that this one has become `step` levels further out."""
    found = np.arange(len(tree))
    goal = tree.level - step
    while (rise := (tree.level[tree.parent[found]] >= goal) & (found > 0)).any():
        found[rise] = tree.parent[found[rise]]
    return found


def _largest_child(tree: Tree, area: Floats) -> Floats:
    kept = np.ones(len(tree))
    np.maximum.at(kept, tree.parent[1:], area[1:])
    return kept
