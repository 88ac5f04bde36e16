"""Coarse masks at the size of a tile, or of a part of it.

The library interpolates bilinearly once (SAM 2) or twice (SAM: to the canvas, and after its
padding is cut off to the tile). Both are linear and separable, so both together are one matrix for
rows and one for columns, each with two or three numbers a row. Columns are few: small products do.
Rows are whole lines of pixels, weighed and added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch  # noqa: TID253  # imported with a family
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

_COLUMNS = 64
"""Columns that are made at once, of about 18 coarse ones."""

_ROWS = 128
"""Rows that are made at once: half a megabyte of 1,024 columns."""


@dataclass(frozen=True, eq=False)
class Axis:
    """How the pixels of a tile along one axis are made of those of a coarse mask.

    Attributes
    ----------
    weights : Tensor, shape (n, k)
        Of k coarse pixels, for each of n.
    first, last : ndarray of int, shape (n,)
        The coarse pixels that each one needs; none goes back.
    taps : tuple of (Tensor of shape (n,), Tensor of shape (n, 1))
        The same, one by one: which coarse pixels, and their weights.
    """

    weights: torch.Tensor
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    taps: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """Return the pixels (start, stop) that some of the coarse ones from first to last make."""
        stop = int(np.searchsorted(self.first, last, "right"))
        return int(np.searchsorted(self.last, first)), stop

    def spread(self, coarse: torch.Tensor, low: int, start: int, out: torch.Tensor) -> None:
        """Fill `out` (m, n) with the pixels from `start` on, made of the coarse from `low` on."""
        for column in range(0, out.shape[1], _COLUMNS):
            made = out[:, column : column + _COLUMNS]
            a, b = start + column, start + column + made.shape[1]
            first, stop = int(self.first[a]), int(self.last[b - 1]) + 1
            part = coarse[:, first - low : stop - low]
            torch.mm(part, self.weights[a:b, first:stop].T, out=made)

    def blend(self, coarse: torch.Tensor, low: int, start: int, out: torch.Tensor) -> None:
        """Fill `out` (n, m) with lines from `start` on, made of the coarse lines from `low` on."""
        other = out.new_empty(min(_ROWS, len(out)), out.shape[1])
        for row in range(0, len(out), _ROWS):
            made = out[row : row + _ROWS]
            chosen = slice(start + row, start + row + len(made))
            for i, (line, weight) in enumerate(self.taps):
                lines = made if i == 0 else other[: len(made)]
                torch.index_select(coarse, 0, line[chosen] - low, out=lines)
                if i == 0:
                    made *= weight[chosen]
                else:
                    made.addcmul_(lines, weight[chosen])


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
    first = used.argmax(1)
    return Axis(weights.contiguous().to(device), first, last, _taps(weights, first, last, device))


def _taps(
    weights: torch.Tensor,
    first: NDArray[np.intp],
    last: NDArray[np.intp],
    device: torch.device,
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    found = []
    for i in range(int((last - first).max()) + 1):
        line = torch.from_numpy(np.minimum(first + i, last))[:, None]
        weight = weights.gather(1, line) * torch.from_numpy(first + i <= last)[:, None]
        found.append((line[:, 0].to(device), weight.to(device)))
    return tuple(found)


def upsample(
    masks: torch.Tensor, rows: Axis, columns: Axis, corner: tuple[int, int], out: torch.Tensor
) -> None:
    """Fill `out` (m, h, w) with coarse masks (m, y, x) at tile size, from a corner of it on."""
    count, height, width = out.shape
    top, bottom = int(rows.first[corner[0]]), int(rows.last[corner[0] + height - 1]) + 1
    left, right = int(columns.first[corner[1]]), int(columns.last[corner[1] + width - 1]) + 1
    needed = masks[:, top:bottom, left:right]
    wide = masks.new_empty(count, bottom - top, width)
    columns.spread(needed.flatten(0, 1), left, corner[1], wide.flatten(0, 1))
    for one, made in zip(wide, out, strict=True):
        rows.blend(one, top, corner[0], made)
