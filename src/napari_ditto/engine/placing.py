"""From logits on a level to masks on the plane at level 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.logits import MAX_PIXELS, Factor, PlacedLogits, Shape, check_size
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.patchwork import CEILING, Patchwork

__all__ = ["MAX_PIXELS", "place_logits", "place_patchwork", "placed_patchwork"]


def place_logits(
    logits: NDArray[np.float32], box: Box, factor: Factor, plane_shape: Shape
) -> PlacedMask:
    """Return the mask at level 0 of logits on a level; see :class:`PlacedLogits`."""
    return PlacedLogits(logits, box, factor, plane_shape).mask()


def place_patchwork(work: Patchwork, factor: Factor, plane_shape: Shape) -> PlacedMask:
    """Return the mask at level 0 of an object that was decoded tile by tile."""
    return placed_patchwork(work, factor, plane_shape).mask()


def placed_patchwork(
    work: Patchwork, factor: Factor, plane_shape: Shape, margin: int = 1
) -> PlacedLogits:
    """Return the joined logits of an object that was decoded tile by tile, with a margin."""
    around = work.extent.grow(margin).intersect(Box.of_shape(work.shape))
    check_size(around)
    values = work.blend(around)
    values[~work.seen(around)] = -CEILING  # no threshold may find the object where nobody looked
    return PlacedLogits(values, around, factor, plane_shape)
