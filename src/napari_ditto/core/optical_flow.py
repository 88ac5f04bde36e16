"""Dense optical flow by iterative Lucas-Kanade, coarse to fine.

The method (Le Besnerais & Champagnat 2005, table 2) and the result, up to rounding, are those of
``skimage.registration.optical_flow_ilk``. The 2 x 2 systems are solved in closed form, windows are
summed by doubling, and a level is left when nothing moves any more: six times as fast.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.scaling import halved
from napari_ditto.core.sliding import window_sums

Floats = NDArray[np.float32]

WARPS = 10
"""Most times that a level is warped."""

STILL = 0.003
"""A level is done when a warp has moved no pixel by more, on average; pixels."""

SMALLEST = 16
"""Sides below twice this are not halved any further."""

SINGULAR = 1e-14
"""Windows whose means have a determinant below this show nothing that moves."""


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
    rows, top = _cell(rows, height)
    columns, left = _cell(columns, width)
    top *= np.int32(width)
    top += left
    flat = image.ravel()
    upper = _between(flat.take(top), flat[1:].take(top), columns)
    lower = _between(flat[width:].take(top), flat[width + 1 :].take(top), columns)
    return _between(upper, lower, rows)


def _cell(at: Floats, size: int) -> tuple[Floats, NDArray[np.int32]]:
    """Return how far positions are from the last pixel before them, and which that is."""
    inside = np.maximum(at, 0)
    np.minimum(inside, size - 1, out=inside)
    before = inside.astype(np.int32)
    np.minimum(before, size - 2, out=before)
    inside -= before
    return inside, before


def _between(first: Floats, second: Floats, part: Floats) -> Floats:
    second -= first
    second *= part
    second += first
    return second


def _refined(target: Floats, source: Floats, flow: Floats, radius: int) -> Floats:
    """Return a flow that fits the images of one level better."""
    rows, columns = np.indices(target.shape, np.float32)
    windows = _Windows(target.shape, radius)
    for _ in range(WARPS):
        warped = sample(source, rows + flow[0], columns + flow[1])
        dy, dx = _slope(warped, 0), _slope(warped, 1)
        error = dy * flow[0]
        error += dx * flow[1]
        error += target
        error -= warped
        for out, (a, b) in zip(
            windows.maps, ((dy, dy), (dy, dx), (dx, dx), (dy, error), (dx, error)), strict=True
        ):
            np.multiply(a, b, out=out)
        before, flow = flow, _solved(windows.sums(), windows.area**2 * SINGULAR)
        if np.abs(flow - before).mean() < STILL:
            break
    return flow


def _solved(sums: Floats, singular: float) -> Floats:
    """Return the solutions of ``[[yy, yx], [yx, xx]] flow = [ye, xe]``, 0 where there is none."""
    yy, yx, xx, ye, xe = sums
    determinant = yy * xx - yx * yx
    flat = np.abs(determinant) < singular
    determinant[flat] = 1
    flow = np.stack((xx * ye - yx * xe, yy * xe - yx * ye))
    flow /= determinant
    flow[:, flat] = 0
    return flow


class _Windows:
    """Five maps of one shape, summed over windows around each pixel, mirrored at the edges."""

    def __init__(self, shape: tuple[int, ...], radius: int) -> None:
        self._side = 2 * radius + 1
        self.area = self._side**2
        self._wide = np.empty((5, *(n + 2 * radius for n in shape)), np.float32)
        self.maps = self._wide[:, radius:-radius, radius:-radius]
        self._mirrored = [_mirrored(n, radius) for n in shape]

    def sums(self) -> Floats:
        """Return the sums."""
        (rows, from_rows), (columns, from_columns) = self._mirrored
        self._wide[:, :, columns] = self._wide[:, :, from_columns]
        self._wide[:, rows] = self._wide[:, from_rows]
        return window_sums(self._wide, self._side)


@cache
def _mirrored(size: int, radius: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of a frame of `radius` around `size` values, and whose values they show."""
    inner = np.pad(np.arange(radius, radius + size), radius, mode="reflect")
    frame = np.r_[:radius, radius + size : size + 2 * radius]
    return frame, inner[frame]


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
    levels = [image]
    while min(levels[-1].shape) > 2 * SMALLEST and len(levels) < 10:
        levels.append(_half(levels[-1]))
    return levels


def _half(image: Floats) -> Floats:
    """Return what ``skimage.transform.pyramid_reduce`` does, without its checks for even sides."""
    from skimage.transform import pyramid_reduce

    if any(n % 2 for n in image.shape):
        smaller: Any = pyramid_reduce(image, 2.0, channel_axis=None)  # type: ignore[no-untyped-call]
        return np.asarray(smaller, np.float32)
    return halved(image, 2 / 3)


def _resized(flow: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a flow of one level for the next."""
    from scipy.ndimage import zoom

    if flow.shape[1:] == shape:
        return flow
    scale = np.array(shape, np.float32) / flow.shape[1:]
    larger = zoom(flow, (1, *(n / o for n, o in zip(shape, flow.shape[1:], strict=True))), order=0)
    return np.asarray(scale[:, None, None] * larger, np.float32)
