"""Prompts that the image itself suggests: the most object-like regions of the trees."""

from __future__ import annotations

import numpy as np

from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.models.classic.forest import Layer
from napari_ditto.models.classic.proposals import Scene

LIMIT = 400
LEAST_SCORE = 0.5
LARGEST_PART = 0.25


def suggest(scene: Scene) -> list[PromptSet]:
    """Return one prompt set per object, best first."""
    found = [item for layer in scene.layers for item in _regions(layer)]
    found.sort(key=lambda item: -item[0])
    taken = np.zeros(scene.shape, bool)
    prompts = []
    for _, layer, node in found:
        at = _inner_point(layer, node)
        if taken[at]:
            continue
        y0, x0, y1, x1 = (layer.boxes[node] * layer.stride).tolist()
        taken[y0:y1, x0:x1] |= _full(layer, node, scene.shape)[y0:y1, x0:x1]
        prompts.append(PromptSet((PointPrompt(*at),), box=BoxPrompt(y0, x0, y1 - 1, x1 - 1)))
    return prompts[:LIMIT]


def _regions(layer: Layer) -> list[tuple[float, Layer, int]]:
    area = layer.tree.gather()
    good = (layer.prior >= LEAST_SCORE) & (area <= LARGEST_PART * layer.tree.image.size)
    # Of nested regions only those that no region inside or around them beats.
    good &= layer.prior >= layer.prior[layer.tree.parent]
    return [(float(layer.prior[n]), layer, int(n)) for n in np.flatnonzero(good)]


def _full(layer: Layer, node: int, shape: tuple[int, int]) -> np.ndarray:
    mask = layer.tree.mask(node).repeat(layer.stride, axis=0).repeat(layer.stride, axis=1)
    return mask[: shape[0], : shape[1]]


def _inner_point(layer: Layer, node: int) -> tuple[int, int]:
    from scipy.ndimage import distance_transform_edt

    y0, x0, y1, x1 = layer.boxes[node].tolist()
    part = layer.tree.image[y0:y1, x0:x1]
    mask = np.pad((part >= node) & (part < layer.tree.last[node]), 1)
    depth = distance_transform_edt(mask)
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return (y0 + int(y) - 1) * layer.stride, (x0 + int(x) - 1) * layer.stride
