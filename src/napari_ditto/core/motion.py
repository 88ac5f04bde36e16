"""How the image has moved from one plane to the next.

A shift of the whole (phase correlation) and, on top of it, a smooth flow (iterative Lucas-Kanade,
Le Besnerais & Champagnat 2005). Nearly still stacks are not moved at all: there the flow would only
add noise, and :mod:`.transfer` finds small motions itself.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.optical_flow import lucas_kanade, sample
from napari_ditto.core.scaling import doubled, halved

Floats = NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

RADIUS = 7
"""Half side of the flow's windows, pixels at half size."""

BLUR = 1.0
"""Of the planes before they are halved, pixels."""

LARGEST_SHIFT = 0.25
"""A shift by more than this part of the image is taken as a false match."""

FARTHEST = 6.0
"""Pixels that the flow may add to the shift of the whole: farther off it finds other objects."""

GAIN = 0.8
"""A flow is used if it leaves less than this part of the squared difference."""

SMALLEST = 32
"""Sides of less than so many pixels show too little to find a flow."""


def estimate_flow(before: Floats, now: Floats) -> Floats:
    """Return where each pixel has come from.

    Parameters
    ----------
    before, now : ndarray of float32, shape (h, w)
        The same window of two planes, values in [0, 1].

    Returns
    -------
    ndarray of float32, shape (2, h, w)
        Pixel ``p`` of `now` shows what was at ``p + flow[:, p]`` in `before`; all zeros where
        nothing is gained.
    """
    still = np.zeros((2, *now.shape), np.float32)
    if min(now.shape) < SMALLEST:
        return still
    small, target = halved(before, BLUR), halved(now, BLUR)
    flow = _flow(small, target)
    left, moved = _difference(small, target), _difference(move(small, flow, order=1), target)
    return doubled(2 * flow, now.shape) if moved < GAIN * left else still


def move(values: NDArray[Value], flow: Floats, order: Literal[0, 1] = 0) -> NDArray[Value]:
    """Return `values`, shape (h, w), where a flow has brought them; `order` 0 is for labels."""
    if not flow.any():
        return values
    rows, columns = np.indices(values.shape, np.float32)
    rows += flow[0]
    columns += flow[1]
    if order:
        return np.asarray(sample(values.astype(np.float32), rows, columns), values.dtype)
    height, width = values.shape
    return values[_nearest(rows, height), _nearest(columns, width)]


def _nearest(at: Floats, size: int) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.clip(np.floor(at + np.float32(0.5)), 0, size - 1).astype(np.intp)
    return found


def _flow(before: Floats, now: Floats) -> Floats:
    from scipy.ndimage import shift

    offset = _whole_shift(before, now)
    found = lucas_kanade(now, shift(before, offset, order=1, mode="nearest"), RADIUS)
    away = np.maximum(np.hypot(*found), 1e-6)
    found *= np.minimum(1, FARTHEST / 2 / away)
    found -= offset[:, None, None].astype(np.float32)
    return found


def _whole_shift(before: Floats, now: Floats) -> NDArray[np.float64]:
    """Return the shift (rows, columns) that brings `before` onto `now`."""
    from skimage.registration import phase_cross_correlation

    pair = now - now.mean(), before - before.mean()
    if not (pair[0].any() and pair[1].any()):
        return np.zeros(2)  # an empty plane says nothing about motion
    found: Any = phase_cross_correlation(*pair, normalization=None)  # type: ignore[no-untyped-call]
    offset = np.asarray(found[0], np.float64)
    if (np.abs(offset) > LARGEST_SHIFT * np.array(now.shape)).any():
        return np.zeros(2)
    return offset


def _difference(before: Floats, now: Floats) -> float:
    return float(np.mean((before - now) ** 2))
