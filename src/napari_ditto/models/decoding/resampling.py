"""Coarse masks at the size of a tile, or of a part of it.

The library interpolates bilinearly once (SAM 2) or twice (SAM: to the canvas, and after its
padding is cut off to the tile). Both are linear and separable, so both together are one matrix for
rows and one for columns, each with two or three numbers a row, applied where they are not zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch  # noqa: TID253  # imported with a family
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

_BLOCK = 32
"""Pixels that are made at once, of about ten coarse ones."""


@dataclass(frozen=True, eq=False)
class Axis:
    """How the pixels of a tile along one axis are made of those of a coarse mask.

    Attributes
    ----------
    weights : Tensor, shape (n, k)
        Of k coarse pixels, for each of n.
    first, last : ndarray of int, shape (n,)
        The coarse pixels that each one needs; none goes back.
    """

    weights: torch.Tensor
    first: NDArray[np.intp]
    last: NDArray[np.intp]

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """Return the pixels (start, stop) that some of the coarse ones from first to last make."""
        stop = int(np.searchsorted(self.first, last, "right"))
        return int(np.searchsorted(self.last, first)), stop

    def apply(self, coarse: torch.Tensor, low: int, start: int, out: torch.Tensor) -> None:
        """Fill `out` (n, m) with the pixels from `start` on, made of the coarse from `low` on."""
        for row in range(0, len(out), _BLOCK):
            a, b = start + row, start + min(row + _BLOCK, len(out))
            first, stop = int(self.first[a]), int(self.last[b - 1]) + 1
            part = coarse[first - low : stop - low]
            torch.mm(self.weights[a:b, first:stop], part, out=out[row : row + _BLOCK])


@lru_cache(maxsize=64)
def axis(coarse: int, canvas: int, kept: int, size: int, device: torch.device) -> Axis:
    """Return how `size` pixels are made of `coarse` ones by way of a canvas.

    Parameters
    ----------
    coarse, canvas : int
        Pixels of the mask, and what it is interpolated to.
    kept : int
        How many of these belong to the tile.
    size : int
        What they are interpolated to.
    """
    full = interpolate(torch.eye(coarse)[None], canvas, mode="linear", align_corners=False)
    weights = interpolate(full[..., :kept], size, mode="linear", align_corners=False)[0].T
    used = weights.numpy() != 0
    last = coarse - 1 - used[:, ::-1].argmax(1)
    return Axis(weights.contiguous().to(device), used.argmax(1), last)


def upsample(
    masks: torch.Tensor, rows: Axis, columns: Axis, corner: tuple[int, int], out: torch.Tensor
) -> None:
    """Fill `out` (m, h, w) with coarse masks (m, y, x) at tile size, from a corner of it on."""
    count, height, width = out.shape
    top, bottom = int(rows.first[corner[0]]), int(rows.last[corner[0] + height - 1]) + 1
    left, right = int(columns.first[corner[1]]), int(columns.last[corner[1] + width - 1]) + 1
    needed = masks[:, top:bottom, left:right]
    wide = masks.new_empty(width, count * (bottom - top))
    columns.apply(needed.flatten(0, 1).T, left, corner[1], wide)
    for one, made in zip(wide.reshape(width, count, -1).unbind(1), out, strict=True):
        rows.apply(one.T, top, corner[0], made)
