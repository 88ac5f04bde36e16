"""What the prompt decoder is asked about a map of a class, and what its answers add to the map.

For each component of the map: points where it is deepest inside, points deep in what is surely
something else, and its box; each answer is asked for again with its own mask and box, as in PerSAM
(Zhang et al. 2023). Where a component holds several points, each is asked about alone too, and the
masks that are pure are joined, as in Matcher (Liu et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box, components, deepest_pixels
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.routing import translate
from napari_ditto.models.matching.dense import Floats
from napari_ditto.models.protocols import PromptModel

MOST = 16
"""Components of a tile that are asked about."""

ALONE = 16
"""Points of a tile that are asked about alone."""

POINTS = 4
"""Points of each sign in one prompt set."""

DEEP = 0.5
"""Least depth of a point, in parts of the deepest one's."""

FINE = 128
"""Pixels of a component's longer side that are enough to find points."""

SURELY_NOT = 0.25
"""Probability below which a pixel is an example of what is not meant."""

PURE = 0.5
"""Least mean probability inside a mask."""

AGREES = 0.4
"""Least overlap (soft Dice) of the masks with their component; else the decoder is not heard."""

AROUND = 0.5
"""What surrounds a component, in parts of its sides."""

DECODE_BYTES = 64 << 20
"""Memory for the logits of one decoder call, at three candidates per prompt."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Region:
    """A component of the map of a class.

    Attributes
    ----------
    label : int
        Which class.
    mask : ndarray of bool, shape (h, w)
        Its pixels in the tile.
    evidence : float
        Sum of the probabilities beyond one half.
    """

    label: int
    mask: Mask
    evidence: float


def regions(chances: Floats) -> list[Region]:
    """Return the components where a class is likelier than not, the most evident first."""
    found = []
    for label in np.flatnonzero((chances > 0.5).any(axis=(1, 2))).tolist():
        chance = chances[label]
        numbered, count = components(chance > 0.5)
        weights = np.bincount(numbered.ravel(), (chance - 0.5).ravel(), count + 1)[1:]
        found += [(float(w), label, n, numbered) for n, w in enumerate(weights, 1)]
    found.sort(key=lambda r: -r[0])
    return [Region(label, numbered == n, w) for w, label, n, numbered in found[:MOST]]


def ask(
    model: PromptModel, embedding: Embedding, chances: Floats
) -> Iterator[tuple[Region, Floats]]:
    """Yield the components on which the decoder agrees, and its probabilities, shape (h, w)."""
    alone = ALONE
    for region in regions(chances):
        chance = chances[region.label]
        whole, *single = _prompts(region, chance)
        asked = [whole, *single[:alone]]
        alone -= len(asked) - 1
        first = _decode(model, embedding, asked, chance)
        again = [_again(p, logits) for p, logits in zip(asked, first, strict=True)]
        joined = _join(_decode(model, embedding, again, chance), chance, region)
        if joined is not None:
            yield region, joined


def refine(chances: Floats, heard: Sequence[tuple[Region, Floats]], trust: float) -> Floats:
    """Return the map with the decoder's outlines in it, shape (c, h, w), sums at most 1.

    Parameters
    ----------
    chances : ndarray of float32, shape (c, h, w)
        By similarity.
    heard : sequence of (Region, ndarray)
        From :func:`ask`.
    trust : float
        The decoder's part where it is heard, the rest is similarity.
    """
    out = chances.copy()
    for region, drawn in heard:
        there = region.mask | (drawn > 0.5)
        own = out[region.label]
        own[there] = (1 - trust) * chances[region.label][there] + trust * drawn[there]
    return np.asarray(out / np.maximum(out.sum(axis=0), 1), np.float32)


def _prompts(region: Region, chance: Floats) -> Iterator[PromptSet]:
    """Yield what to ask about the whole component, then about each of its points."""
    box = bounding_box(region.mask)
    inside = _deep(region.mask, box, ALONE)
    outside = _deep(chance < SURELY_NOT, _around(box, chance.shape), POINTS)
    denied = tuple(replace(p, positive=False) for p in outside)
    yield PromptSet((*inside[:POINTS], *denied), box=_drawn(box), diameter=float(max(box.shape)))
    if len(inside) > 1:
        yield from (PromptSet((p, *denied)) for p in inside)


def _around(box: Box, shape: tuple[int, ...]) -> Box:
    height, width = (1 + int(AROUND * n) for n in box.shape)
    wide = Box(box.y0 - height, box.x0 - width, box.y1 + height, box.x1 + width)
    return wide.intersect(Box.of_shape(shape))


def _deep(mask: Mask, box: Box, count: int) -> tuple[PointPrompt, ...]:
    """Return points where a mask is deep, the deepest first, none in its thin ends."""
    from scipy.ndimage import distance_transform_edt

    step = 1 + max(box.shape) // FINE
    part = mask[box.slices][::step, ::step]
    picks = deepest_pixels(part, count)
    depth = distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    deep = [(y, x) for y, x in picks if depth[y, x] >= DEEP * depth[picks[0]]]
    return tuple(PointPrompt(float(step * y + box.y0), float(step * x + box.x0)) for y, x in deep)


def _drawn(box: Box) -> BoxPrompt:
    return BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)


def _again(prompts: PromptSet, logits: Floats) -> PromptSet:
    """Return the prompts with the answer's own mask and box."""
    mask = logits > 0
    if not mask.any():
        return prompts
    box = bounding_box(mask)
    return replace(
        prompts,
        box=_drawn(box),
        mask=MaskPrompt(box, mask[box.slices]),
        diameter=float(max(box.shape)),
    )


def _decode(
    model: PromptModel, embedding: Embedding, asked: Sequence[PromptSet], chance: Floats
) -> list[Floats]:
    """Return for each prompt set the answer with the most evidence in it, logits (h, w)."""
    height, width = embedding.tile_shape
    at_once = max(1, DECODE_BYTES // (12 * height * width))
    found: list[Floats] = []
    for start in range(0, len(asked), at_once):
        some = [translate(p, model.spec.capabilities) for p in asked[start : start + at_once]]
        for answers in model.decode(embedding, some).logits:
            evidence = [float((chance[z > 0] - 0.5).sum()) for z in answers]
            found.append(answers[int(np.argmax(evidence))].copy())
    return found


def _join(answers: Sequence[Floats], chance: Floats, region: Region) -> Floats | None:
    """Return the pure answers as one, or None if together they are not the component."""
    pure = [z for z in answers if (z > 0).any() and float(chance[z > 0].mean()) >= PURE]
    if not pure:
        return None
    # The whole component comes first; single points are for what it did not do.
    best = max((pure[:1], pure), key=lambda some: _overlap(some, chance, region))
    if _overlap(best, chance, region) < AGREES:
        return None
    top = np.clip(np.maximum.reduce(best), -30, 30)
    return np.asarray(1 / (1 + np.exp(-top)), np.float32)


def _overlap(answers: Sequence[Floats], chance: Floats, region: Region) -> float:
    drawn = np.logical_or.reduce([z > 0 for z in answers])
    own = chance * region.mask
    return float(2 * own[drawn].sum() / (own.sum() + drawn.sum()))
