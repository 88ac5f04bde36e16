"""From logits on a level to proposals on the plane at level 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask, bounding_box, place, upsample
from napari_ditto.core.patchwork import Patchwork
from napari_ditto.errors import PromptError

MAX_PIXELS = 1 << 28
"""Largest mask in memory, level-0 pixels (256 MiB); a plane of 16,384 x 16,384."""

Shape = tuple[int, int]
Factor = tuple[float, float]


def place_logits(
    logits: NDArray[np.float32], box: Box, factor: Factor, plane_shape: Shape
) -> PlacedMask:
    """Return the mask at level 0 of logits on a level.

    Parameters
    ----------
    logits : ndarray of float32, shape ``box.shape``
        Above 0 is the object.
    box : Box
        Where they lie, pixels of the level.
    factor : (float, float)
        Level-0 pixels per pixel of the level.
    plane_shape : (int, int)
        The plane at level 0.

    Raises
    ------
    PromptError
        If the object is too large to be held in memory at full resolution.
    """
    mask = logits > 0
    inner = bounding_box(mask)
    where = inner.shift(box.y0, box.x0)
    if factor == (1.0, 1.0) or inner.is_empty:
        return PlacedMask(where, mask[inner.slices])
    # One pixel more on each side: there the bilinear ramp crosses zero.
    around = where.grow(1).intersect(box)
    target = around.scale(*factor).intersect(Box.of_shape(plane_shape))
    check_size(target)
    crop = logits[around.shift(-box.y0, -box.x0).slices]
    return PlacedMask(target, upsample(crop, around, factor, target) > 0).cropped()


def place_patchwork(work: Patchwork, factor: Factor, plane_shape: Shape) -> PlacedMask:
    """Return the mask at level 0 of an object that was decoded tile by tile."""
    around = work.extent.grow(1).intersect(Box.of_shape(work.shape))
    check_size(around)
    return place_logits(work.blend(around), around, factor, plane_shape)


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
