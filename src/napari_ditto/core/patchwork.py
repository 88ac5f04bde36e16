"""One object decoded in several overlapping tiles, joined without a seam.

Each tile's logits count most in its middle and not at all at its inner edges (a tent), so that
where two tiles disagree a little the outline runs smoothly from one to the other, and no mask
ends square at a tile's edge.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import Mask, bounding_box, components, components_meeting
from napari_ditto.core.tiling import Tile

CEILING = 16.0
"""Logits are cut at this size: one over-sure tile must not outvote a neighbour's middle."""


@dataclass(frozen=True, eq=False)
class Patch:
    """What one tile says about the object.

    Attributes
    ----------
    box : Box
        The tile, pixels of its level.
    logits : ndarray of float16, shape ``box.shape``
        Above 0 is the object.
    """

    box: Box
    logits: NDArray[np.float16]

    @property
    def mask(self) -> Mask:
        """The object in this tile."""
        return self.logits > 0


@dataclass(eq=False)
class Patchwork:
    """The object so far, tile by tile.

    Attributes
    ----------
    shape : (int, int)
        The plane at the level, whose border is no tile edge.
    patches : dict of Tile to Patch
        The tiles decoded so far.
    """

    shape: tuple[int, int]
    patches: dict[Tile, Patch] = field(default_factory=dict)

    def add(self, tile: Tile, logits: NDArray[np.float32], keep: Mask) -> Mask:
        """Take a tile's answer in, only where `keep`; return the tile's mask.

        A tile that was asked before has seen more of the object by now: the answers are joined.
        """
        cut = np.clip(logits, -CEILING, CEILING)
        answer = np.where((cut > 0) & ~keep, -cut, cut).astype(np.float16)
        if tile in self.patches:
            answer = np.maximum(answer, self.patches[tile].logits)
        self.patches[tile] = Patch(tile.box, answer)
        return answer > 0

    def known(self, box: Box) -> Mask:
        """Return the object as any tile has seen it, inside a box."""
        found = np.zeros(box.shape, dtype=bool)
        for patch in self._meeting(box):
            common = patch.box.intersect(box)
            inside = patch.logits[common.shift(-patch.box.y0, -patch.box.x0).slices] > 0
            found[common.shift(-box.y0, -box.x0).slices] |= inside
        return found

    def seen(self, box: Box) -> Mask:
        """Return which pixels of a box lie in a decoded tile."""
        found = np.zeros(box.shape, dtype=bool)
        for patch in self._meeting(box):
            found[patch.box.intersect(box).shift(-box.y0, -box.x0).slices] = True
        return found

    @property
    def extent(self) -> Box:
        """Smallest box around the object."""
        total = Box(0, 0, 0, 0)
        for patch in self.patches.values():
            total = total.union(bounding_box(patch.mask).shift(patch.box.y0, patch.box.x0))
        return total

    def blend(self, box: Box) -> NDArray[np.float32]:
        """Return the joined logits of a box, float32; outside of all tiles they are negative."""
        patches = self._meeting(box)
        if len(patches) == 1 and patches[0].box.covers(box):
            patch = patches[0]
            return patch.logits[box.shift(-patch.box.y0, -patch.box.x0).slices].astype(np.float32)
        total = np.full(box.shape, -1e-6, dtype=np.float32)
        weight = np.full(box.shape, 1e-6, dtype=np.float32)
        for patch in patches:
            common = patch.box.intersect(box)
            inner = common.shift(-patch.box.y0, -patch.box.x0).slices
            trust = self._trust(patch)[inner]
            total[common.shift(-box.y0, -box.x0).slices] += trust * patch.logits[inner]
            weight[common.shift(-box.y0, -box.x0).slices] += trust
        return total / weight

    def _meeting(self, box: Box) -> list[Patch]:
        return [p for p in self.patches.values() if not p.box.intersect(box).is_empty]

    def _trust(self, patch: Patch) -> NDArray[np.float32]:
        """Return the weight of a tile's pixels.

        Where an object leaves a tile and returns, the tile has never been asked about the piece
        that returns. Its silence is no vote against it.
        """
        known = self.known(patch.box)
        numbered, count = components(known)
        asked = np.zeros(count + 1, dtype=bool)
        asked[numbered[patch.mask]] = True
        asked[0] = True
        return np.where(asked[numbered], tent(patch.box, self.shape), np.float32(0))


def connected(mask: Mask, known: Mask, wanted: NDArray[np.intp]) -> Mask:
    """Return the components of a tile's mask that belong to the object.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        A tile's answer.
    known : ndarray of bool, shape (h, w)
        The object as its neighbours have seen it.
    wanted : ndarray of int, shape (n, 2)
        Pixels of the tile that the user said are on the object.
    """
    marker = known.copy()
    marker[tuple(wanted.T)] = True
    return components_meeting(mask, marker)


def tent(box: Box, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the weight of a tile's pixels: highest in its middle, lowest at its inner edges.

    Parameters
    ----------
    box : Box
        The tile.
    shape : (int, int)
        The plane, whose own border is no edge.
    """
    rows = _slope(box.y0, box.y1, shape[0])
    columns = _slope(box.x0, box.x1, shape[1])
    return np.outer(rows, columns)


def _slope(start: int, stop: int, length: int) -> NDArray[np.float32]:
    """Return the distance to the nearer inner edge, flat towards the image's border."""
    size = stop - start
    rising = np.arange(size, dtype=np.float32) + 0.5
    slope = np.full(size, size / 2, np.float32)
    if start > 0:
        slope = np.minimum(slope, rising)
    return np.minimum(slope, rising[::-1]) if stop < length else slope
