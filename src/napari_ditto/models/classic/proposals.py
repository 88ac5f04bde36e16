"""From seeds to three proposals: part, whole and group, by size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.models.classic import boxes
from napari_ditto.models.classic.features import upsample
from napari_ditto.models.classic.forest import Layer, unpack
from napari_ditto.models.classic.pool import Candidate, Mask, click_candidates, permitted, spread
from napari_ditto.models.classic.seeds import Pixels, Seeds
from napari_ditto.models.protocols import Crop

DEPTH = 6.0
"""Logits are signed distances to the border, cut off here."""
COLOR_CHANNELS = (0, 1, 2, 5, 6, 11)
"""Coarse channels that the box's classifier reads: blurred colour and texture, not shape."""
SMOOTH = 1.0
CLICK_RADIUS = 4
FAITH = 2.0
"""Log odds that the first guess is worth if its score is 1."""
LARGEST_ADDITION = 2.0
"""A later click adds a region at most so many times the first guess's area."""
BUMP, NEAR, FAR, MOST_HILLS = 4.0, 4.0, 30.0, 40
"""Log odds at a click, reach of a hill in pixels, farthest reach of a pit, most of them."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An embedding made ready for decoding."""

    embedding: Embedding

    @cached_property
    def layers(self) -> list[Layer]:
        """The trees."""
        return unpack(self.embedding.arrays, self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Tile height and width."""
        return self.embedding.tile_shape

    def features(self, window: Box) -> NDArray[np.float32]:
        """Return what the box's classifier reads, shape (9, h, w)."""
        arrays = self.embedding.arrays
        color = arrays["color"][(slice(None), *window.slices)].astype(np.float32)
        coarse = arrays["coarse"][list(COLOR_CHANNELS)].astype(np.float32)
        return np.concatenate([color, upsample(coarse, window)])


def propose(
    scene: Scene, seeds: Seeds, logits: NDArray[np.float32], scores: NDArray[np.float32]
) -> int:
    """Fill logits (3, h, w) and scores (3,) for one object; return the best index."""
    logits.fill(-DEPTH)
    ordered, best = _ordered(scene, seeds)
    for i, candidate in enumerate(ordered):
        scores[i] = candidate.score
        logits[(i, *candidate.box.slices)] = _depth(candidate)
    return best


def propose_crop(scene: Scene, seeds: Seeds) -> Crop:
    """Return the best of the proposals for one object, where it lies."""
    ordered, best = _ordered(scene, seeds)
    whole = ordered[best]
    return Crop(whole.box, _depth(whole), float(np.float32(whole.score)), best)


def _ordered(scene: Scene, seeds: Seeds) -> tuple[list[Candidate], int]:
    """Return the proposals, the smallest first, and which one is the best."""
    found = _framed(scene, seeds) if seeds.frame else _clicked(scene, seeds)
    chosen = [_obey(c, seeds) for c in found]
    order = np.argsort([c.area for c in chosen], kind="stable").tolist()
    return [chosen[place] for place in order], order.index(0)


def _clicked(scene: Scene, seeds: Seeds) -> list[Candidate]:
    """Return the refined best candidate, a clearly smaller and a clearly larger one."""
    ranked = click_candidates(scene.layers, seeds) or [_disc(seeds)]
    guess = _first_guess(scene, seeds)
    mask = guess.within(Box.of_shape(seeds.shape))
    mask[seeds.positive[:, 0], seeds.positive[:, 1]] = True
    whole = _vote(scene, replace(seeds, mask=mask), FAITH * guess.score**2)[0]
    whole = replace(whole, score=guess.score)
    part = next((c for c in ranked if c.area < 0.6 * whole.area), whole)
    group = next((c for c in ranked if c.area > 1.6 * whole.area), whole)
    return [whole, part, group]


def _first_guess(scene: Scene, seeds: Seeds) -> Candidate:
    """Return the best region of the first click, with those of the clicks it does not hold.

    Later clicks correct a mask that is mostly right, so they may add and cut, but not begin anew.
    """
    alone = replace(seeds, positive=seeds.positive[:1], negative=seeds.negative[:0])
    guess = (click_candidates(scene.layers, alone) or [_disc(seeds)])[0]
    for seed in spread(seeds.positive):
        if not guess.holds(*seed.tolist()):
            parts = click_candidates(scene.layers, replace(seeds, positive=seed[None]))
            if parts and parts[0].area <= LARGEST_ADDITION * guess.area:
                guess = guess.join(parts[0])
    return guess


def _framed(scene: Scene, seeds: Seeds) -> list[Candidate]:
    """Return the vote in a box or rough mask, then the best regions and the bare shape."""
    whole, regions, shape = _vote(scene, seeds)
    return [whole, regions, _around(scene, seeds) or shape]


def _vote(scene: Scene, seeds: Seeds, faith: float | None = None) -> list[Candidate]:
    """Return what all opinions, the regions alone and the shape alone make of a frame.

    With `faith`, the mask is a guess of ours that is worth so many log odds.
    """
    box = seeds.frame or Box.of_shape(scene.shape)
    window = boxes.neighbourhood(box, scene.shape)
    if seeds.mask is None:
        radius = boxes.ellipse_radius(box, window)
    else:
        radius = boxes.mask_radius(seeds.mask[window.slices])
    negative, positive = seeds.negative, spread(seeds.positive)
    allowed = [permitted(layer, positive, negative) for layer in scene.layers]
    maps = boxes.opinions(scene.layers, scene.features(window), radius, box, window, allowed)
    weights = boxes.BOX_WEIGHTS if faith is None else boxes.MASK_WEIGHTS
    vote = np.tensordot(weights, maps, axes=1) + _bumps(seeds, window)
    if faith is not None:
        vote += faith * np.sign(maps[1])
    return [_voted(window, v) for v in (vote, maps[3], maps[1])]


def _around(scene: Scene, seeds: Seeds) -> Candidate | None:
    """Return the region under the clicks that holds most of a rough mask.

    A mask that ends at a tile's edge goes on here: this proposal may be much larger than it.
    """
    if seeds.mask is None or not len(seeds.positive):
        return None
    tile, size = Box.of_shape(seeds.shape), seeds.mask.sum()
    found = click_candidates(scene.layers, seeds)
    shares = [float((c.within(tile) & seeds.mask).sum() / size) for c in found]
    scored = [replace(c, score=c.score * s) for c, s in zip(found, shares, strict=True)]
    return max(scored, key=lambda c: c.score, default=None)


def _bumps(seeds: Seeds, window: Box) -> NDArray[np.floating]:
    """Return a small hill at the positive clicks and pits round the negative ones.

    A pit reaches a third of the way to the nearest positive click: its area is to be cut. A
    positive click is answered by regions, so its hill only makes sure of the click itself.
    """
    gaps = [
        np.sqrt(((seeds.positive - s) ** 2).sum(axis=1)).min(initial=FAR) for s in seeds.negative
    ]
    hills = _hills(spread(seeds.positive), np.full(len(seeds.positive), NEAR), window)
    return BUMP * (hills - _hills(seeds.negative, np.array(gaps), window))


def _hills(spots: Pixels, gaps: NDArray[np.floating], window: Box) -> NDArray[np.floating]:
    """Return the upper envelope of bell curves of height 1."""
    total = np.zeros(window.shape)
    y, x = np.ogrid[window.y0 : window.y1, window.x0 : window.x1]
    for (sy, sx), gap in zip(spots[:MOST_HILLS], gaps, strict=False):
        bell = np.exp(-((y - sy) ** 2 + (x - sx) ** 2) / (2 * (gap / 3) ** 2 + 1))
        np.maximum(total, bell, out=total)
    return total


def _voted(window: Box, vote: NDArray[np.floating]) -> Candidate:
    """Return the mask of a vote with the IoU that its own probabilities promise."""
    from scipy.ndimage import binary_fill_holes, gaussian_filter

    vote = gaussian_filter(vote, SMOOTH)
    mask = binary_fill_holes(vote > 0)
    chance = 1 / (1 + np.exp(-vote))
    expected = chance[mask].sum() / max(mask.sum() + chance[~mask].sum(), 1e-9)
    return Candidate(window, mask, float(expected))


def _disc(seeds: Seeds) -> Candidate:
    """Return a small disc round the first click: nothing in the image answers it."""
    y, x = (int(v) for v in seeds.positive[0])
    disc = Box(y, x, y + 1, x + 1).grow(CLICK_RADIUS)
    inside = disc.intersect(Box.of_shape(seeds.shape))
    return Candidate(inside, boxes.ellipse_radius(disc, inside) <= 1, 0.05)


def _obey(candidate: Candidate, seeds: Seeds) -> Candidate:
    """Clip to the box, keep the components under the clicks, and the clicks themselves."""
    box = candidate.box
    for y, x in seeds.positive.tolist():
        box = box.union(Box(y, x, y + 1, x + 1))
    mask = candidate.within(box)
    if seeds.box is not None:
        mask &= Candidate(seeds.box, np.ones(seeds.box.shape, bool), 1).within(box)
    corner = np.array([box.y0, box.x0])
    _mark(mask, seeds.positive - corner, value=True)
    _mark(mask, seeds.negative - corner, value=False)
    return Candidate(box, _connected(mask, seeds.positive - corner), candidate.score)


def _mark(mask: Mask, pixels: NDArray[np.integer], *, value: bool) -> None:
    inside = pixels[((pixels >= 0) & (pixels < mask.shape)).all(axis=1)]
    mask[inside[:, 0], inside[:, 1]] = value


def _connected(mask: Mask, clicks: NDArray[np.integer]) -> Mask:
    """Return the components under the clicks, or the largest one without clicks."""
    from scipy.ndimage import label

    parts, count = label(mask)
    if count <= 1:
        return mask
    if len(clicks):
        kept = parts[clicks[:, 0], clicks[:, 1]]
    else:
        kept = [int(np.bincount(parts.ravel())[1:].argmax()) + 1]
    return np.asarray(np.isin(parts, kept) & mask)


def _depth(candidate: Candidate) -> NDArray[np.float32]:
    """Return the signed distances to the border inside the candidate's box."""
    from scipy.ndimage import distance_transform_edt

    wide = np.pad(candidate.mask, 1)
    depth = distance_transform_edt(wide) - distance_transform_edt(~wide)
    return np.clip(depth[1:-1, 1:-1], -DEPTH, DEPTH).astype(np.float32)
