"""Where a simulated user clicks and how they draw a box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.masks import bounding_box, components
from napari_ditto.core.prompts import BoxPrompt, PointPrompt

Mask = NDArray[np.bool_]

EDGE = 2
"""A random click keeps so many pixels from the object's edge, where the object is thick enough."""


def depth(mask: Mask) -> NDArray[np.float64]:
    """Return the distance of each pixel of a mask to the nearest pixel outside of it.

    What lies beyond the array counts as outside.
    """
    from scipy.ndimage import distance_transform_edt

    deep: NDArray[np.float64] = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return deep


def centre_click(mask: Mask) -> PointPrompt:
    """Return a click on the most interior pixel, the first of equals."""
    box = bounding_box(mask)
    deep = depth(mask[box.slices])
    y, x = np.unravel_index(int(np.argmax(deep)), deep.shape)
    return PointPrompt(float(box.y0 + y), float(box.x0 + x))


def random_click(mask: Mask, rng: np.random.Generator) -> PointPrompt:
    """Return a click on any pixel at least :data:`EDGE` inside, uniformly."""
    box = bounding_box(mask)
    deep = depth(mask[box.slices])
    rows, columns = np.nonzero(deep >= min(EDGE, deep.max()))
    k = int(rng.integers(len(rows)))
    return PointPrompt(float(box.y0 + rows[k]), float(box.x0 + columns[k]))


def next_click(mask: Mask, truth: Mask, before: Sequence[PointPrompt]) -> PointPrompt | None:
    """Return the correction of the largest connected error, None if nothing is wrong.

    Positive where the object was missed, negative where it was overdone; at the error's most
    interior pixel. No pixel is clicked twice.
    """
    wrong = mask != truth
    for click in before:
        wrong[int(click.y), int(click.x)] = False
    box = bounding_box(wrong)
    if box.is_empty:
        return None
    inside, true = wrong[box.slices], truth[box.slices]
    missed, false = (largest_component(kind) for kind in (inside & true, inside & ~true))
    positive = bool(np.count_nonzero(missed) >= np.count_nonzero(false))
    at = centre_click(missed if positive else false)
    return PointPrompt(box.y0 + at.y, box.x0 + at.x, positive)


def largest_component(mask: Mask) -> Mask:
    """Return the largest connected part, the first of equals; empty if there is none."""
    numbered, count = components(mask)
    sizes = np.bincount(numbered.ravel(), minlength=2)[1:]
    largest: Mask = numbered == int(sizes.argmax()) + 1
    return largest if count else np.zeros_like(mask)


def exact_box(mask: Mask) -> BoxPrompt:
    """Return the tight box, its edges between pixels."""
    inside = bounding_box(mask)
    return BoxPrompt(inside.y0 - 0.5, inside.x0 - 0.5, inside.y1 - 0.5, inside.x1 - 0.5)


def noisy_box(mask: Mask, noise: float, rng: np.random.Generator) -> BoxPrompt:
    """Return the tight box with each edge moved by up to `noise` of the side, inside the image.

    It stays at least a pixel high and wide.
    """
    box = exact_box(mask)
    off = rng.uniform(-noise, noise, 4) * np.array([box.height, box.width] * 2)
    y0, x0, y1, x1 = np.array([box.y0, box.x0, box.y1, box.x1]) + off
    rows = _span(y0, y1, mask.shape[0])
    columns = _span(x0, x1, mask.shape[1])
    return BoxPrompt(rows[0], columns[0], rows[1], columns[1])


def _span(low: float, high: float, length: int) -> tuple[float, float]:
    low, high = max(float(low), -0.5), min(float(high), length - 0.5)
    if high - low < 1:
        low = min(max((low + high) / 2 - 0.5, -0.5), length - 1.5)
        high = low + 1
    return low, high
