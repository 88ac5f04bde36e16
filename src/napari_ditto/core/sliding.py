"""Sums over sliding windows by doubling: a few passes, each along whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray


def window_sums(maps: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the sums over all square windows of maps.

    Parameters
    ----------
    maps : ndarray, shape (n, h, w)
        Of any type, in which the sums must fit.
    side : int
        Of the windows, pixels.

    Returns
    -------
    ndarray, shape (n, h - side + 1, w - side + 1)
        Read-only, by the first pixel of each window.
    """
    count, height, width = maps.shape
    flat = np.ascontiguousarray(maps).reshape(count, -1)
    # Windows that run over the end of a row are summed as well, and not shown.
    sums = sliding_sum(sliding_sum(flat, side), side, width)
    shape, strides = (count, height - side + 1, width - side + 1), sums.strides
    steps = (strides[0], width * strides[1], strides[1])
    return as_strided(sums, shape, steps, writeable=False)


def sliding_sum(values: NDArray[Any], count: int, step: int = 1) -> NDArray[Any]:
    """Return the sums of `count` values at steps of `step` along the last axis.

    A window is put together from windows of 1, 2, 4, ... values. The result is shorter by
    ``(count - 1) * step``; the type stays as it is.
    """
    length = values.shape[-1] - (count - 1) * step
    part, width, start = values, 1, 0
    total: NDArray[Any] | None = None
    while True:
        if count & width:
            here = part[..., start * step : start * step + length]
            total = here if total is None else total + here
            start += width
        if 2 * width > count:
            assert total is not None  # noqa: S101 - for the type checker: a highest bit is set
            return total
        part = part[..., : -width * step] + part[..., width * step :]
        width *= 2
