"""Patches of two planes compared: how much each pixel of one is like those near it in the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.sliding import sliding_sum

Floats = NDArray[np.float32]
Places = NDArray[np.intp]

REACH = 6
"""How far a pixel looks around, pixels."""

STEP = 2
"""Every second place within reach is looked at: patches overlap, so the others tell no more."""

NEAR = 3.6
"""Standard deviation of the vote's weight over the distance, pixels."""

PATCH = 3
"""Half side of a patch."""

SIDE = 2 * PATCH + 1

SHARPNESS = 5.0
"""A patch whose distance is twice the least counts ``exp(-SHARPNESS)``."""

NOISE = 2e-4
"""Squared distance of patches that show the same, by noise alone."""

BLUR = 2.0
"""Beside its pixels a patch compares the image blurred by this."""

AT_ONCE = 1 << 16
"""Values that are worked on at once, so that they stay in a core's cache."""


class Patches:
    """Patches of two images, compared.

    Parameters
    ----------
    before, now : ndarray of float32, shape (h, w, c)
        The same window of two planes, values in [0, 1].
    """

    def __init__(self, before: Floats, now: Floats) -> None:
        self._targets = [np.pad(m, PATCH, mode="edge") for m in features(now)]
        self._sources = [np.pad(m, PATCH + REACH, mode="edge") for m in features(before)]

    def weights(self, block: Box, rows: Places, columns: Places) -> Floats:
        """Return how much what is at each offset of `before` counts at some pixels of `now`.

        Parameters
        ----------
        block : Box
            A part of the window.
        rows, columns : ndarray of int, shape (n,)
            Pixels of the block.

        Returns
        -------
        ndarray of float32, shape (offsets, n)
            In any unit of a pixel's own, in the order of :func:`around_each`.
        """
        width = block.width + 2 * (PATCH + REACH)
        places = rows * width + columns
        weights = np.empty((len(AWAY), len(places)), np.float32)
        done = 0
        for squares in self._squares(block, width):
            sums = sliding_sum(sliding_sum(squares, SIDE, width), SIDE)
            sums.take(places, 1, out=weights[done : done + len(sums)], mode="clip")
            done += len(sums)
        weights *= -SHARPNESS / (weights.min(axis=0) + np.float32(NOISE * SIDE**2))
        weights -= AWAY[:, None]
        return np.exp(weights, out=weights)

    def _squares(self, block: Box, width: int) -> Iterator[Floats]:
        """Yield the squared differences of pixels for some offsets at a time, (offsets, pixels).

        The pixels of a block and `PATCH` round it, in rows of `width`, so that each offset is a
        shift of the flat images.
        """
        height = block.height + 2 * PATCH
        targets = [_flat(m, block, (height, block.width + 2 * PATCH), width) for m in self._targets]
        tall = height + 2 * REACH + 1
        sources = [_flat(m, block, (tall - 1, width), width, tall) for m in self._sources]
        size = height * width
        most = max(1, AT_ONCE // size)
        for dy, columns in ROWS:
            for first in range(0, len(columns), most):
                shape = min(most, len(columns) - first), size
                at = 4 * ((REACH + dy) * width + REACH + columns[first])
                total: Floats | None = None
                for target, source in zip(targets, sources, strict=True):
                    shifted: Floats = np.ndarray(shape, np.float32, source, at, (4 * STEP, 4))
                    difference = target - shifted
                    difference *= difference
                    total = difference if total is None else np.add(total, difference, out=total)
                if total is not None:
                    yield total


def around_each(values: NDArray[Any], rows: Places, columns: Places) -> NDArray[Any]:
    """Return what is within reach of some pixels, shape (offsets, n).

    Parameters
    ----------
    values : ndarray, shape (h + 2 REACH, w + 2 REACH)
        A plane with a frame of `REACH`.
    rows, columns : ndarray of int, shape (n,)
        Pixels of the plane without it.
    """
    width = values.shape[1]
    flat, places = values.ravel(), rows * width + columns
    found = np.empty((len(AWAY), len(places)), values.dtype)
    for (dy, dx), out in zip(OFFSETS, found, strict=True):
        flat[(REACH + dy) * width + REACH + dx :].take(places, out=out, mode="clip")
    return found


def features(image: Floats) -> list[Floats]:
    """Return the maps that patches are compared by, each (h, w); grey images have two."""
    from scipy.ndimage import gaussian_filter

    grey = bool((image[..., 1:] == image[..., :1]).all())
    channels = [image[..., k] for k in range(1 if grey else image.shape[2])]
    scale = np.float32(1 / np.sqrt(len(channels)))
    return [scale * m for c in channels for m in (c, gaussian_filter(c, BLUR))]


def _flat(image: Floats, block: Box, shape: tuple[int, int], width: int, height: int = 0) -> Floats:
    """Return a part of an image from a block's corner on, in so many rows of `width`, 0 beyond."""
    found = np.zeros((height or shape[0], width), np.float32)
    rows, columns = shape
    found[:rows, :columns] = image[block.y0 : block.y0 + rows, block.x0 : block.x0 + columns]
    return found.ravel()


def _rows() -> Iterator[tuple[int, range]]:
    """Yield the rows within reach, and the columns of each: a chessboard's fields of one colour."""
    for dy in range(-REACH, REACH + 1):
        reach = math.isqrt(REACH**2 + 1 - dy * dy)
        yield dy, range(-reach + (reach + dy) % STEP, reach + 1, STEP)


ROWS = tuple(_rows())
OFFSETS = [(dy, dx) for dy, columns in ROWS for dx in columns]
AWAY = np.array([(dy * dy + dx * dx) / (2 * NEAR**2) for dy, dx in OFFSETS], np.float32)
"""What each offset costs for being far off."""
