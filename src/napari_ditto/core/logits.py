"""Logits where they were decoded, and the mask that they make of a plane at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask, bounding_box, place, upsample
from napari_ditto.errors import PromptError

MAX_PIXELS = 1 << 28
"""Largest mask in memory, level-0 pixels (256 MiB); a plane of 16,384 x 16,384."""

Shape = tuple[int, int]
Factor = tuple[float, float]


@dataclass(frozen=True, eq=False)
class PlacedLogits:
    """One object's logits on a level; brought to level 0 only as far as the mask reaches.

    Attributes
    ----------
    values : ndarray of float32, shape ``box.shape``
        Above 0 is the object.
    box : Box
        Where they lie, pixels of the level.
    factor : (float, float)
        Level-0 pixels per pixel of the level.
    plane_shape : (int, int)
        The plane at level 0.
    """

    values: NDArray[np.float32]
    box: Box
    factor: Factor
    plane_shape: Shape

    def mask(self) -> PlacedMask:
        """Return the mask at level 0, cropped to the object.

        Raises
        ------
        PromptError
            If the object is too large to be held in memory at full resolution.
        """
        found = self.values > 0
        inner = bounding_box(found)
        where = inner.shift(self.box.y0, self.box.x0)
        if self.factor == (1.0, 1.0) or inner.is_empty:
            return PlacedMask(where, found[inner.slices])
        # One pixel more on each side: there the bilinear ramp crosses zero.
        near = self.cropped(where.grow(1))
        target = near.box.scale(*self.factor).intersect(Box.of_shape(self.plane_shape))
        check_size(target)
        fine = upsample(near.values, near.box, self.factor, target)
        return PlacedMask(target, fine > 0).cropped()

    def cropped(self, box: Box) -> PlacedLogits:
        """Return the part that lies in a box of the level."""
        common = box.intersect(self.box)
        inside = common.shift(-self.box.y0, -self.box.x0)
        return PlacedLogits(self.values[inside.slices], common, self.factor, self.plane_shape)


def stack(masks: Sequence[PlacedMask]) -> tuple[NDArray[np.bool_], Box]:
    """Return all masks in the smallest box around them, shape (m, h, w), and the box."""
    box = Box(0, 0, 0, 0)
    for mask in masks:
        box = box.union(mask.box)
    check_size(box, len(masks))
    stacked = np.zeros((len(masks), *box.shape), dtype=bool)
    for layer, mask in zip(stacked, masks, strict=True):
        layer[...] = place(mask.mask, mask.box, box)
    return stacked, box


def check_size(box: Box, count: int = 1) -> None:
    """Refuse masks that would not fit into memory.

    Raises
    ------
    PromptError
        With the size in it.
    """
    if box.area * count > MAX_PIXELS:
        raise PromptError(
            f"the object of {box.height} x {box.width} pixels is too large for one mask in memory",
            todo="Give a smaller box, or work on a coarser copy of the image",
        )
