"""The filter bank: what `classic` knows about every pixel of a tile.

Fine channels are kept at full resolution, coarse ones at a quarter of it. Every filter is
cut off at a fixed radius, so a pixel's features depend on at most ``RECEPTIVE_RADIUS`` pixels
around it and are the same in every tile that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

Plane = NDArray[np.float32]

FINE_SIGMA = 1.0
COARSE_STRIDE = 4
COARSE_SIGMAS = (2.0, 4.0, 8.0)
TRUNCATE = 3.0
RECEPTIVE_RADIUS = int(2 * TRUNCATE * max(COARSE_SIGMAS)) + 2 * COARSE_STRIDE


@dataclass(frozen=True, eq=False)
class Filters:
    """Filter responses of one tile.

    Attributes
    ----------
    color : ndarray of float32, shape (3, h, w)
        Lightness and two opponent channels, lightly smoothed.
    fine : ndarray of float32, shape (f, h, w)
        Responses at full resolution.
    coarse : ndarray of float32, shape (c, ceil(h / 4), ceil(w / 4))
        Responses at a quarter of the resolution.
    """

    color: Plane
    fine: Plane
    coarse: Plane


def opponent(tile: Plane) -> Plane:
    """Return square-root lightness and the Ohta channels, shape (3, h, w).

    The square root evens out the variance of photon noise (Anscombe 1948) and gives dim objects
    as many levels as bright ones; the other two are I2 and I3 of Ohta et al. (1980).
    """
    r, g, b = np.moveaxis(tile.astype(np.float32), -1, 0)
    return np.stack([np.sqrt((r + g + b) / 3), (r - b) / 2, (2 * g - r - b) / 4])


def compute_filters(tile: Plane) -> Filters:
    """Return the filter bank of a tile, shape (h, w, 3), values in [0, 1]."""
    raw = opponent(tile)
    color = np.stack([smooth(c, FINE_SIGMA) for c in raw])
    light = color[0]
    fine = np.stack([gradient(color), *hessian(light)])
    small = color[:, ::COARSE_STRIDE, ::COARSE_STRIDE]
    energy = smooth(fine[0], 2.0)[::COARSE_STRIDE, ::COARSE_STRIDE]
    coarse: list[Plane] = []
    for sigma in COARSE_SIGMAS:
        blurred = [smooth(c, sigma / COARSE_STRIDE) for c in small]
        coarse += [*blurred, *hessian(blurred[0]), smooth(energy, sigma / COARSE_STRIDE)]
    return Filters(color, fine, np.stack(coarse))


def smooth(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur with reflected edges; a plane of any size."""
    from scipy.ndimage import gaussian_filter

    if not plane.any():  # the colours of a grey image
        return plane
    return np.asarray(gaussian_filter(plane, sigma, truncate=TRUNCATE), dtype=np.float32)


def gradient(color: Plane) -> Plane:
    """Return the length of the colour gradient, shape (h, w) of (c, h, w)."""
    total = np.zeros(color.shape[1:], np.float32)
    for axis in (1, 2):
        total += (_difference(color, axis) ** 2).sum(axis=0)
    return np.sqrt(total)


def hessian(plane: Plane) -> tuple[Plane, Plane]:
    """Return the larger and the smaller eigenvalue of the second derivatives."""
    dy, dx = _difference(plane, 0), _difference(plane, 1)
    yy, xx, xy = _difference(dy, 0), _difference(dx, 1), _difference(dy, 1)
    mean = (yy + xx) / 2
    root = np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    return (mean + root).astype(np.float32), (mean - root).astype(np.float32)


def upsample(planes: Plane, window: Box, stride: int = COARSE_STRIDE) -> Plane:
    """Return planes (c, h', w') that were taken every `stride` pixels, linearly in a window."""
    at = np.arange(window.y0, window.y1, dtype=np.float32) / np.float32(stride)
    low = at.astype(np.intp)
    part = (at - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, planes.shape[1] - 1)
    tall = planes[:, low] * (1 - part) + planes[:, high] * part
    tall = np.concatenate([tall, tall[:, :, -1:]], axis=2)
    found = np.empty((*tall.shape[:2], window.width), np.float32)
    for k in range(stride):
        first, rest = divmod(window.x0 + k, stride)
        out, weight = found[:, :, k::stride], np.float32(rest / stride)
        stop = first + out.shape[2]
        np.multiply(tall[:, :, first:stop], 1 - weight, out=out)
        out += tall[:, :, first + 1 : stop + 1] * weight
    return found


def _difference(plane: Plane, axis: int) -> Plane:
    """Central difference with repeated edges; zero along an axis of one pixel."""
    along = np.moveaxis(plane, axis, 0)
    found = np.empty_like(plane)
    out = np.moveaxis(found, axis, 0)
    np.subtract(along[2:], along[:-2], out=out[1:-1])
    if len(along) > 1:
        out[0], out[-1] = along[1] - along[0], along[-1] - along[-2]
    else:
        out[0] = 0
    found /= 2
    return found
