"""Candidate masks for clicks: regions of the trees, and what can be made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.models.classic.forest import Layer
from napari_ditto.models.classic.seeds import Pixels, Seeds

Mask = NDArray[np.bool_]
Nodes = NDArray[np.integer]

PER_TREE, LIMIT = 6, 16
LEAST_AREA = 12.0
"""Smaller regions, in pixels, are noise unless nothing else holds the click."""
SAME_SIZE = 0.1
"""Nested regions nearer than this in log area are one candidate."""


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

    def holds(self, y: int, x: int) -> bool:
        """Whether a pixel is in the mask."""
        return self.box.contains(y, x) and bool(self.mask[y - self.box.y0, x - self.box.x0])

    def join(self, other: Candidate) -> Candidate:
        """Return the union of two masks with the lower of their scores."""
        box = self.box.union(other.box)
        mask = self.within(box) | other.within(box)
        return Candidate(box, mask, min(self.score, other.score))

    def within(self, window: Box) -> Mask:
        """Return the mask in another window, shape ``window.shape``."""
        full = np.zeros(window.shape, bool)
        common = self.box.intersect(window)
        if not common.is_empty:
            part = self.mask[common.shift(-self.box.y0, -self.box.x0).slices]
            full[common.shift(-window.y0, -window.x0).slices] = part
        return full


def click_candidates(layers: Sequence[Layer], seeds: Seeds) -> list[Candidate]:
    """Return candidates that hold the positive and avoid the negative seeds, best first."""
    shape = seeds.shape
    found = _regions(layers, seeds.positive, seeds.negative, shape)
    if len(seeds.negative):
        found += [
            _without(c, layers, seeds)
            for c in _regions(layers, seeds.positive, seeds.negative[:0], shape)[:3]
        ]
    if len(seeds.positive) > 1:
        found += _unions(layers, seeds)
    return agree(sorted(found, key=lambda c: -c.score)[:LIMIT])


def agree(found: list[Candidate]) -> list[Candidate]:
    """Weigh every candidate by how much the others, from other trees, look like it."""
    if not found:
        return found
    window = reduce(Box.union, [c.box for c in found])
    # Every fourth pixel of a large window is enough to compare.
    step = 2 if window.area > 10_000 else 1
    flat = np.stack([c.within(window)[::step, ::step].ravel() for c in found]).astype(np.float32)
    area, common = flat.sum(axis=1), flat @ flat.T
    iou = common / np.maximum(area[:, None] + area - common, 1)
    prior = np.array([c.score for c in found])
    support = iou @ prior / max(float(prior.sum()), 1e-9)
    scored = [
        replace(c, score=float(s)) for c, s in zip(found, prior * np.sqrt(support), strict=True)
    ]
    return sorted(scored, key=lambda c: -c.score)


def permitted(layer: Layer, positive: Pixels, negative: Pixels) -> Mask:
    """Return which regions hold all positive and no negative pixels, shape (n,)."""
    tree, nodes = layer.tree, np.arange(len(layer.tree))
    ok = np.ones(len(nodes), bool)
    for node in _leaves(layer, positive):
        ok &= (nodes <= node) & (node < tree.last)
    for node in _leaves(layer, negative):
        ok &= (nodes > node) | (node >= tree.last)
    return ok


def _leaves(layer: Layer, pixels: Pixels) -> list[int]:
    limit = np.array(layer.tree.image.shape) - 1
    rows, cols = np.minimum(pixels // layer.stride, limit).T
    return [int(n) for n in np.unique(layer.tree.image[rows, cols])]


def _regions(
    layers: Sequence[Layer], positive: Pixels, negative: Pixels, shape: tuple[int, int]
) -> list[Candidate]:
    """Return the best regions of all trees, unlike in size within one tree."""
    ranked = []
    for layer in layers:
        nodes = _chain(layer, positive, negative)
        ranked += [(float(layer.prior[n]), layer, int(n)) for n in _unlike(layer, nodes)]
    ranked.sort(key=lambda item: -item[0])
    return [_render(layer, node, score, shape) for score, layer, node in ranked[:LIMIT]]


def _chain(layer: Layer, positive: Pixels, negative: Pixels) -> Nodes:
    """Return the nested regions that hold all positive and no negative pixels."""
    tree = layer.tree
    first, *others = _leaves(layer, positive)
    nodes = tree.chain(first)[:-1]  # the whole tile is no object
    for node in others:
        nodes = nodes[(nodes <= node) & (node < tree.last[nodes])]
    for node in _leaves(layer, negative):
        nodes = nodes[(nodes > node) | (node >= tree.last[nodes])]
    return nodes


def _unlike(layer: Layer, nodes: Nodes) -> list[int]:
    size = layer.columns[nodes, 0]
    taken: list[int] = []
    for i in np.argsort(-layer.prior[nodes], kind="stable"):
        fresh = all(abs(size[i] - size[j]) > SAME_SIZE for j in taken)
        if fresh and size[i] >= np.log(LEAST_AREA):
            taken.append(int(i))
        if len(taken) == PER_TREE:
            break
    return [int(nodes[i]) for i in taken]


def _render(layer: Layer, node: int, score: float, shape: tuple[int, int]) -> Candidate:
    from scipy.ndimage import binary_fill_holes

    box = Box(*layer.boxes[node].tolist()).scale(layer.stride, layer.stride)
    tile = Box.of_shape(shape)
    box = box.intersect(tile)
    mask = binary_fill_holes(layer.cut(node, box))
    # What fills most of a tile is seldom meant; the fit has not seen planes so thin that much does.
    share = float(mask.sum()) / tile.area
    return Candidate(box, mask, score * (1 - share**2))


def _without(candidate: Candidate, layers: Sequence[Layer], seeds: Seeds) -> Candidate:
    """Return a region less the best regions that hold a negative but no positive seed."""
    mask = candidate.mask.copy()
    for seed in seeds.negative:
        if not candidate.box.contains(*seed):
            continue
        for part in _regions(layers, seed[None], seeds.positive, seeds.shape)[:1]:
            mask &= ~part.within(candidate.box)
    return Candidate(candidate.box, mask, 0.8 * candidate.score)


def _unions(layers: Sequence[Layer], seeds: Seeds) -> list[Candidate]:
    """Return the union of each positive seed's own best region."""
    parts = [
        _regions(layers, seed[None], seeds.negative, seeds.shape)[:1]
        for seed in spread(seeds.positive)
    ]
    chosen = [p[0] for p in parts if p]
    if not chosen:
        return []
    whole = reduce(Candidate.join, chosen)
    return [replace(whole, score=0.9 * whole.score)]


def spread(pixels: Pixels, count: int = 12) -> Pixels:
    """Return at most `count` pixels, evenly along a list: enough of a long scribble."""
    return pixels[:: max(1, -(-len(pixels) // count))]
