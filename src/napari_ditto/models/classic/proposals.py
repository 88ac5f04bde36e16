"""From seeds to three nested proposals: part, whole and group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.models.classic.forest import Layer, unpack
from napari_ditto.models.classic.seeds import Seeds

Mask = NDArray[np.bool_]
DEPTH = 6.0
"""Logits are signed distances to the border, cut off here."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An embedding made ready for decoding."""

    layers: list[Layer]
    light: NDArray[np.float32]
    edges: NDArray[np.float32]

    @classmethod
    def of(cls, embedding: Embedding) -> Scene:
        """Unpack an embedding."""
        arrays = embedding.arrays
        light = arrays["color"][0].astype(np.float32)
        edges = arrays["fine"][0].astype(np.float32)
        return cls(unpack(arrays, embedding.tile_shape), light, edges)

    @property
    def shape(self) -> tuple[int, int]:
        """Tile height and width."""
        return self.light.shape[0], self.light.shape[1]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask inside its box with its expected IoU."""

    box: Box
    mask: Mask
    score: float

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())


def propose(
    scene: Scene, seeds: Seeds, logits: NDArray[np.float32], scores: NDArray[np.float32]
) -> int:
    """Fill logits (3, h, w) and scores (3,) for one object; return the best index."""
    pool = [_obey(c, seeds) for c in _candidates(scene, seeds)]
    chosen = _three(pool)
    for i, candidate in enumerate(chosen):
        logits[i] = -DEPTH
        _draw(logits[i], candidate)
        scores[i] = candidate.score
    return int(np.argmax(scores))


def _candidates(scene: Scene, seeds: Seeds) -> list[Candidate]:
    found = [c for layer in scene.layers for c in _from_tree(layer, seeds)]
    found.append(_fallback(seeds))
    return found


def _from_tree(layer: Layer, seeds: Seeds, keep: int = 6) -> list[Candidate]:
    """Return the best regions of a tree that hold all positive and no negative seeds."""
    nodes = _nodes(layer, seeds)
    if not len(nodes):
        return []
    score = layer.prior[nodes] * _fit(layer, nodes, seeds)
    order = np.argsort(-score, kind="stable")[:keep]
    return [_candidate(layer, int(nodes[i]), float(score[i]), seeds.shape) for i in order]


def _nodes(layer: Layer, seeds: Seeds) -> NDArray[np.int64]:
    tree = layer.tree
    if not len(seeds.positive):
        return np.arange(len(tree))
    first, *others = _places(layer, seeds.positive)
    nodes = tree.chain(*first)
    for y, x in others:
        node = tree.image[y, x]
        nodes = nodes[(nodes <= node) & (node < tree.last[nodes])]
    for y, x in _places(layer, seeds.negative):
        node = tree.image[y, x]
        nodes = nodes[(nodes > node) | (node >= tree.last[nodes])]
    return nodes


def _places(layer: Layer, pixels: NDArray[np.int64]) -> list[tuple[int, int]]:
    limit = np.array(layer.tree.image.shape) - 1
    return [(int(y), int(x)) for y, x in np.minimum(pixels // layer.stride, limit)]


def _fit(layer: Layer, nodes: NDArray[np.int64], seeds: Seeds) -> NDArray[np.float64]:
    """Return how well the regions fill the box, or the rough mask's box."""
    goal = seeds.box
    if goal is None and seeds.mask is not None:
        rows, cols = np.nonzero(seeds.mask)
        goal = Box(rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
    if goal is None:
        return np.ones(len(nodes))
    boxes = layer.boxes[nodes] * layer.stride
    high = np.minimum(boxes[:, 2:], [goal.y1, goal.x1])
    low = np.maximum(boxes[:, :2], [goal.y0, goal.x0])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    return common / (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + goal.area - common)


def _candidate(layer: Layer, node: int, score: float, shape: tuple[int, int]) -> Candidate:
    from scipy.ndimage import binary_fill_holes

    small = Box(*layer.boxes[node].tolist())
    part = layer.tree.image[small.slices]
    mask = (part >= node) & (part < layer.tree.last[node])
    if layer.stride > 1:
        mask = mask.repeat(layer.stride, axis=0).repeat(layer.stride, axis=1)
    box = small.scale(layer.stride, layer.stride).intersect(Box.of_shape(shape))
    return Candidate(box, binary_fill_holes(mask[: box.height, : box.width]), score)


def _fallback(seeds: Seeds) -> Candidate:
    """Return what the prompts alone say: the mask, the box's ellipse or a small disc."""
    if seeds.mask is not None:
        return Candidate(Box.of_shape(seeds.shape), seeds.mask, 0.1)
    if seeds.box is not None and not seeds.box.is_empty:
        return Candidate(seeds.box, ellipse(seeds.box), 0.1)
    y, x = (int(v) for v in seeds.positive[0])
    disc = Box(y, x, y + 1, x + 1).grow(4)
    inside = disc.intersect(Box.of_shape(seeds.shape))
    return Candidate(inside, ellipse(disc)[inside.shift(-disc.y0, -disc.x0).slices], 0.05)


def ellipse(box: Box) -> Mask:
    """Return the ellipse inscribed in a box, shape ``box.shape``."""
    y, x = np.ogrid[: box.height, : box.width]
    v = (y + 0.5) / box.height * 2 - 1
    u = (x + 0.5) / box.width * 2 - 1
    return np.asarray(u * u + v * v <= 1)


def _obey(candidate: Candidate, seeds: Seeds) -> Candidate:
    """Clip to the box, keep the component under the clicks, mark the clicks themselves."""
    from scipy.ndimage import label

    box = candidate.box
    for y, x in seeds.positive.tolist():
        box = box.union(Box(y, x, y + 1, x + 1))
    mask = np.zeros(box.shape, bool)
    mask[candidate.box.shift(-box.y0, -box.x0).slices] = candidate.mask
    if seeds.box is not None and not seeds.box.is_empty:
        inside = np.zeros(box.shape, bool)
        inside[seeds.box.intersect(box).shift(-box.y0, -box.x0).slices] = True
        mask &= inside
    for pixels, value in ((seeds.positive, True), (seeds.negative, False)):
        here = pixels - [box.y0, box.x0]
        here = here[((here >= 0) & (here < box.shape)).all(axis=1)]
        mask[here[:, 0], here[:, 1]] = value
    parts, count = label(mask)
    if count > 1:
        here = seeds.positive - [box.y0, box.x0]
        names = (
            parts[here[:, 0], here[:, 1]]
            if len(here)
            else [np.bincount(parts.ravel())[1:].argmax() + 1]
        )
        mask = np.isin(parts, names) & mask
    return Candidate(box, mask, candidate.score)


def _three(pool: list[Candidate]) -> list[Candidate]:
    """Return the best candidate, a clearly smaller and a clearly larger one, by size."""
    ranked = sorted(pool, key=lambda c: -c.score)
    whole = ranked[0]
    part = next((c for c in ranked if c.area < 0.6 * whole.area), None)
    group = next((c for c in ranked if c.area > 1.6 * whole.area), None)
    return sorted([part or whole, whole, group or whole], key=lambda c: c.area)


def _draw(plane: NDArray[np.float32], candidate: Candidate) -> None:
    from scipy.ndimage import distance_transform_edt

    wide = np.pad(candidate.mask, 1)
    depth = distance_transform_edt(wide) - distance_transform_edt(~wide)
    plane[candidate.box.slices] = np.clip(depth[1:-1, 1:-1], -DEPTH, DEPTH)
