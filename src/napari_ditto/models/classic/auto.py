"""Prompts that the image itself suggests: the most object-like regions of the trees."""

from __future__ import annotations

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.models.classic.forest import Layer
from napari_ditto.models.classic.proposals import Scene
from napari_ditto.models.classic.scores import objectness

LIMIT = 400
LEAST_PRIOR, LEAST_CHANCE = 0.4, 0.4
LARGEST_PART = 0.25
"""Larger parts of a tile are left to a coarser level, or to the user."""


def suggest(scene: Scene) -> list[PromptSet]:
    """Return one prompt set per object, a point and a box, the surest first."""
    found = [item for layer in scene.layers for item in _regions(layer)]
    found.sort(key=lambda item: -item[0])
    taken = np.zeros(scene.shape, bool)
    prompts = []
    for _, layer, node in found:
        at = _inner_point(layer, node)
        if taken[at]:
            continue
        window = Box(*(layer.boxes[node] * layer.stride).tolist())
        window = window.intersect(Box.of_shape(scene.shape))
        taken[window.slices] |= layer.cut(node, window)
        prompts.append(PromptSet((PointPrompt(*at),), box=_frame(layer, node)))
    return prompts[:LIMIT]


def _regions(layer: Layer) -> list[tuple[float, Layer, int]]:
    """Return the regions that neither what is in them nor what is around them beats."""
    area, prior = layer.tree.gather(), layer.prior
    good = (prior >= LEAST_PRIOR) & (area <= LARGEST_PART * area[0])
    good &= prior >= prior[layer.tree.parent]
    nodes = np.flatnonzero(good)
    chance = objectness(layer.kind.name, layer.columns[nodes], prior[nodes])
    sure = chance >= LEAST_CHANCE
    return [(float(c), layer, int(n)) for c, n in zip(chance[sure], nodes[sure], strict=True)]


def _frame(layer: Layer, node: int) -> BoxPrompt:
    y0, x0, y1, x1 = (layer.boxes[node] * layer.stride).tolist()
    return BoxPrompt(y0 - 0.5, x0 - 0.5, y1 - 0.5, x1 - 0.5)


def _inner_point(layer: Layer, node: int) -> tuple[int, int]:
    from scipy.ndimage import distance_transform_edt

    y0, x0, y1, x1 = layer.boxes[node].tolist()
    part = layer.tree.image[y0:y1, x0:x1]
    mask = np.pad((part >= node) & (part < layer.tree.last[node]), 1)
    depth = distance_transform_edt(mask)
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return (y0 + int(y) - 1) * layer.stride, (x0 + int(x) - 1) * layer.stride
