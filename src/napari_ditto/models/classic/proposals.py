"""From seeds to three proposals: part, whole and group, by size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.models.classic import boxes
from napari_ditto.models.classic.features import upsample
from napari_ditto.models.classic.forest import Layer, unpack
from napari_ditto.models.classic.pool import Candidate, Mask, click_candidates, permitted, spread
from napari_ditto.models.classic.seeds import Seeds

DEPTH = 6.0
"""Logits are signed distances to the border, cut off here."""
COLOR_CHANNELS = (0, 1, 2, 5, 6, 11)
"""Coarse channels that the box's classifier reads: blurred colour and texture, not shape."""
SMOOTH = 1.0
CLICK_RADIUS = 4


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
    found = _framed(scene, seeds) if seeds.frame else _clicked(scene, seeds)
    chosen = [_obey(c, seeds) for c in found]
    order = np.argsort([c.area for c in chosen], kind="stable")
    for i, place in enumerate(order):
        scores[i] = chosen[place].score
        _draw(logits[i], chosen[place])
    return int(np.flatnonzero(order == 0)[0])


def _clicked(scene: Scene, seeds: Seeds) -> list[Candidate]:
    """Return the best candidate, then a clearly smaller and a clearly larger one."""
    ranked = click_candidates(scene.layers, seeds) or [_disc(seeds)]
    whole = ranked[0]
    part = next((c for c in ranked if c.area < 0.6 * whole.area), whole)
    group = next((c for c in ranked if c.area > 1.6 * whole.area), whole)
    return [whole, part, group]


def _framed(scene: Scene, seeds: Seeds) -> list[Candidate]:
    """Return the vote in a box or rough mask, then the best region and the bare shape."""
    box = seeds.frame
    assert box is not None
    window = boxes.neighbourhood(box, scene.shape)
    if seeds.mask is None:
        radius = boxes.ellipse_radius(box, window)
    else:
        radius = boxes.mask_radius(seeds.mask[window.slices])
    negative, positive = seeds.negative, spread(seeds.positive)
    allowed = [permitted(layer, positive, negative) for layer in scene.layers]
    maps = boxes.opinions(scene.layers, scene.features(window), radius, box, window, allowed)
    vote = np.tensordot(boxes.WEIGHTS, maps, axes=1)
    return [_voted(window, vote), _voted(window, maps[3]), _voted(window, maps[1])]


def _voted(window: Box, vote: NDArray[np.float64]) -> Candidate:
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
    _mark(mask, seeds.positive - [box.y0, box.x0], value=True)
    _mark(mask, seeds.negative - [box.y0, box.x0], value=False)
    return Candidate(box, _connected(mask, seeds.positive - [box.y0, box.x0]), candidate.score)


def _mark(mask: Mask, pixels: NDArray[np.int64], *, value: bool) -> None:
    inside = pixels[((pixels >= 0) & (pixels < mask.shape)).all(axis=1)]
    mask[inside[:, 0], inside[:, 1]] = value


def _connected(mask: Mask, clicks: NDArray[np.int64]) -> Mask:
    """Return the components under the clicks, or the largest one without clicks."""
    from scipy.ndimage import label

    parts, count = label(mask)
    if count <= 1:
        return mask
    if len(clicks):
        kept = parts[clicks[:, 0], clicks[:, 1]]
    else:
        kept = np.bincount(parts.ravel())[1:].argmax() + 1
    return np.asarray(np.isin(parts, kept) & mask)


def _draw(plane: NDArray[np.float32], candidate: Candidate) -> None:
    from scipy.ndimage import distance_transform_edt

    wide = np.pad(candidate.mask, 1)
    depth = distance_transform_edt(wide) - distance_transform_edt(~wide)
    plane.fill(-DEPTH)
    plane[candidate.box.slices] = np.clip(depth[1:-1, 1:-1], -DEPTH, DEPTH)
