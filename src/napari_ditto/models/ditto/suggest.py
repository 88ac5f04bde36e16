"""Where the objects of a tile are, by the network's own maps of centres and borders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.models.ditto.network import DENSE

STRIDES = (4, 8, 16)
"""Pixels per cell of the maps of a tile, of its half and of its quarter.

Training showed objects of 3 to 32 cells: three maps reach from 13 pixels to the whole tile. One
more of the enlarged tile found a tenth more objects and as many more that are none.
"""

LEAST_CENTER, LEAST_FOREGROUND = 0.15, 0.4
"""On held-out training images .15 finds a sixth more objects than .3."""

LARGEST = 26
"""Cells: larger objects are left to the next map."""

SMALLEST = 4
"""Cells: smaller objects are left to the map before."""

SAME = 0.4
"""IoU of the boxes of two seeds from which they are one object."""

MOST = 300


@dataclass(frozen=True, slots=True)
class Seed:
    """An object as the maps show it.

    Attributes
    ----------
    score : float
        Height of its centre, times the mean foreground of its region.
    point : PointPrompt
        Its centre.
    box : BoxPrompt
        Round its region.
    """

    score: float
    point: PointPrompt
    box: BoxPrompt


def suggest(embedding: Embedding) -> list[PromptSet]:
    """Return one prompt set per object, a point and a diameter, the surest first."""
    seeds = [
        seed
        for stride in STRIDES
        for seed in _seeds(_maps(embedding, stride), stride, embedding.tile_shape)
    ]
    kept: list[Seed] = []
    for seed in sorted(seeds, key=lambda s: -s.score):
        if all(seed.box.iou(other.box) < SAME for other in kept):
            kept.append(seed)
    # A box would do with one look, but is too rough: it halves the precision on crowded images.
    return [PromptSet((s.point,), diameter=max(s.box.height, s.box.width)) for s in kept[:MOST]]


def _maps(embedding: Embedding, stride: int) -> NDArray[np.float32]:
    logits = embedding.arrays[f"context{stride}"][-len(DENSE) :].astype(np.float32)
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _seeds(maps: NDArray[np.float32], stride: int, shape: tuple[int, int]) -> Iterator[Seed]:
    """Yield the objects of one size: maxima of the centres, and the ground that drains there."""
    from scipy.ndimage import find_objects, gaussian_filter, label, maximum_filter
    from skimage.segmentation import watershed

    foreground, center, boundary = maps
    height = gaussian_filter(center, 1.0)
    peaks = (height == maximum_filter(height, 3)) & (height > LEAST_CENTER)
    markers, _ = label(peaks, np.ones((3, 3)))  # a plateau is one maximum
    inside = (foreground > LEAST_FOREGROUND) | peaks
    regions = watershed(boundary - height, markers, mask=inside)  # type: ignore[no-untyped-call]
    for number, (rows, columns) in enumerate(find_objects(regions), 1):
        if not _fits((rows, columns), stride):
            continue
        top = np.where(markers[rows, columns] == number, height[rows, columns], 0.0)
        y, x = np.unravel_index(int(np.argmax(top)), top.shape)
        at = [(p + 0.5) * stride - 0.5 for p in (int(y) + rows.start, int(x) + columns.start)]
        if Box.of_shape(shape).contains(*at):
            own = regions[rows, columns] == number
            score = float(top.max() * foreground[rows, columns][own].mean())
            yield Seed(score, PointPrompt(*at), _box((rows, columns), stride, shape))


def _fits(window: tuple[slice, slice], stride: int) -> bool:
    """Whether an object is of the size that a map is trusted with; the first takes all small."""
    size = max(part.stop - part.start for part in window)
    return size <= LARGEST and (stride == STRIDES[0] or size >= SMALLEST)


def _box(window: tuple[slice, slice], stride: int, shape: tuple[int, int]) -> BoxPrompt:
    low = [part.start * stride - 0.5 for part in window]
    high = [min(p.stop * stride, s) - 0.5 for p, s in zip(window, shape, strict=True)]
    return BoxPrompt(*low, *high)
