"""Images halved and doubled along both axes, by passes over whole rows."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def halved(image: Floats, blur: float) -> Floats:
    """Return the means of squares of 2 x 2 pixels of a blurred image, mirrored at its edges.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        A last odd row or column is in the blur alone.
    blur : float
        Standard deviation of a Gaussian, cut off at four of it; pixels.

    Returns
    -------
    ndarray of float32, shape (h // 2, w // 2)
    """
    taps = _taps(blur)
    return np.ascontiguousarray(_thinned(_thinned(image, taps).T, taps).T)


def doubled(maps: Floats, shape: tuple[int, ...]) -> Floats:
    """Return maps (c, h, w) at twice their size, linearly, shape (c, *shape).

    They are those of an image of that shape that was halved.
    """
    (near, far), found = (
        _nearest(maps.shape[1], shape[0]),
        np.empty((len(maps), *shape), np.float32),
    )
    tall = maps[:, near]
    tall += np.float32(0.25) * (maps[:, far] - tall)
    wide = np.pad(tall, ((0, 0), (0, 0), (1, 2)), mode="edge")
    for first in (0, 1):
        part = found[:, :, first::2]
        inner, outer = (
            wide[:, :, 1 : 1 + part.shape[2]],
            wide[:, :, 2 * first :][:, :, : part.shape[2]],
        )
        np.multiply(outer - inner, np.float32(0.25), out=part)
        part += inner
    return found


def _nearest(size: int, twice: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the nearest line and the next one, of lines half as dense."""
    at = np.arange(twice)
    return np.minimum(at // 2, size - 1), np.clip(at // 2 + at % 2 * 2 - 1, 0, size - 1)


@cache
def _taps(blur: float) -> tuple[np.float32, ...]:
    """Return one half of the weights of a Gaussian and a mean of two, from the outside in."""
    at = np.arange(-int(4 * blur + 0.5), int(4 * blur + 0.5) + 1)
    weights = np.exp(-0.5 * (at / blur) ** 2)
    taps = np.convolve(weights / weights.sum(), (0.5, 0.5))
    return tuple(taps[: len(taps) // 2].astype(np.float32))


def _thinned(image: Floats, taps: tuple[np.float32, ...]) -> Floats:
    """Return every second row of an image, each a sum of rows around it."""
    count, last = image.shape[0] // 2 * 2, 2 * len(taps) - 1
    wide = np.pad(np.ascontiguousarray(image), ((len(taps) - 1,) * 2, (0, 0)), mode="symmetric")
    total = np.zeros((count // 2, image.shape[1]), np.float32)
    for k, tap in enumerate(taps):
        pair = wide[k : k + count : 2] + wide[last - k : last - k + count : 2]
        pair *= tap
        total += pair
    return total
