"""The object in a box, or under a rough mask: four opinions, one weighted vote.

Opinions, each a map over the neighbourhood: two on shape (the inscribed ellipse, or the rough
mask), the regions of the trees that fill the box best, and a ridge classifier trained on the
spot, inside against the ring outside (the idea of GrabCut, Rother et al. 2004, with one
refinement). Their weights are a logistic regression fitted by ``benchmarks/classic_fit.py``;
fitted with any one image set left out they hardly change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.models.classic.forest import Layer

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]

BOX_WEIGHTS = (0.19, 1.58, -3.05, 1.91, 1.12)
MASK_WEIGHTS = (0.39, 3.17, 0.96, 0.37, 1.39)
"""Constant, depth inside the shape, distance outside it, trees, classifier."""

RIDGE = 1e-2
REGIONS = 24
MARGIN = 0.25


def neighbourhood(box: Box, shape: tuple[int, int]) -> Box:
    """Return the window that a box is judged in: the box and a ring around it."""
    margin = max(3, round(MARGIN * max(box.height, box.width)))
    return box.grow(margin).intersect(Box.of_shape(shape))


def opinions(
    layers: list[Layer],
    features: NDArray[np.float32],
    radius: Map,
    box: Box,
    window: Box,
    allowed: list[Mask] | None = None,
) -> Map:
    """Return one map per weight, constant first, shape (5, h, w) of `window`.

    Parameters
    ----------
    layers : list of Layer
        Trees of the tile.
    features : ndarray of float32, shape (d, h, w)
        Filter responses in `window`.
    radius : ndarray, shape (h, w)
        0 in the middle of the expected shape, 1 on its outline, more outside.
    box, window : Box
        The prompt and the neighbourhood it is judged in.
    allowed : list of ndarray of bool, one per layer, optional
        Regions that the clicks permit.
    """
    inside = np.zeros(window.shape, bool)
    inside[box.shift(-window.y0, -window.x0).slices] = True
    guess = _classify(features, (radius < 0.8) & inside, ~inside)
    guess = _classify(features, inside & (guess + 1 - radius > 0), ~inside)
    trees = _regions(layers, box, window, allowed)
    return np.stack(
        [np.ones(window.shape), 1 - radius, np.maximum(radius - 1, 0), 2 * trees - 1, guess]
    )


def ellipse_radius(box: Box, window: Box) -> Map:
    """Return the squared radius in units of the inscribed ellipse's, at most 4."""
    cy, cx = box.center
    y, x = np.ogrid[window.y0 : window.y1, window.x0 : window.x1]
    squared = ((y - cy) / (box.height / 2)) ** 2 + ((x - cx) / (box.width / 2)) ** 2
    return np.minimum(squared, 4.0)


def mask_radius(mask: Mask) -> Map:
    """Return 0 to 1 inside a rough mask and 1 to 4 outside, by distance to its outline."""
    from scipy.ndimage import distance_transform_edt

    wide = np.pad(mask, 1)
    depth, away = distance_transform_edt(wide), distance_transform_edt(~wide)
    radius = 1 + (away - depth) / depth.max()
    return np.asarray(np.minimum(radius, 4.0)[1:-1, 1:-1])


def fit(layer: Layer, box: Box) -> Map:
    """Return the IoU of every region's box with `box`, shape (n,)."""
    boxes = layer.boxes * layer.stride
    high = np.minimum(boxes[:, 2:], [box.y1, box.x1])
    low = np.maximum(boxes[:, :2], [box.y0, box.x0])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    return np.asarray(common / (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + box.area - common))


def _regions(layers: list[Layer], box: Box, window: Box, allowed: list[Mask] | None) -> Map:
    """Return the mean of the regions that fill the box best, weighted by how well."""
    found = []
    for i, layer in enumerate(layers):
        weight = fit(layer, box) ** 4 * layer.prior
        if allowed is not None:
            weight = weight * allowed[i]
        first = np.argsort(-weight, kind="stable")[: REGIONS // 4]
        found += [(float(weight[node]), layer, int(node)) for node in first]
    found.sort(key=lambda item: -item[0])
    total, mass = np.zeros(window.shape), 1e-3
    for trust, layer, node in found[:REGIONS]:
        total += trust * layer.cut(node, window)
        mass += trust
    return total / mass


def _classify(
    features: NDArray[np.float32], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> Map:
    """Return a class-balanced ridge score, about -1 outside and 1 inside, shape (h, w)."""
    if not inside.any() or not outside.any():
        return np.zeros(inside.shape)
    x = np.concatenate([features, np.ones((1, *inside.shape), np.float32)]).astype(np.float64)
    sides = [x[:, inside], x[:, outside]]
    gram = sum(s @ s.T / s.shape[1] for s in sides)
    target = sides[0].mean(axis=1) - sides[1].mean(axis=1)
    penalty = RIDGE * np.var(np.concatenate(sides, axis=1), axis=1) + 1e-6
    solution = np.linalg.solve(gram + np.diag(penalty), target)
    return np.asarray(np.clip(np.tensordot(solution, x, axes=1), -1.5, 1.5))
