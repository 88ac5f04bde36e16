"""Coarse masks at the size of a tile, or of a part of it.

The library interpolates bilinearly once (SAM 2) or twice (SAM: to the canvas, and after its
padding is cut off to the tile). Both are linear and separable, so both together are one matrix for
rows and one for columns, each with two or three numbers a row. Pixels are gathered, weighed and
added; where a tile has twice, four times or eight times the pixels, every so many rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch  # noqa: TID253  # imported with a family
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

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
    period : int
        From one pixel to the next that is made likewise, of the next coarse ones; 0 if there is no
        such order.
    inner : (int, int)
        The pixels for which that holds: all but a few at the borders.
    """

    weights: torch.Tensor
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    taps: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    period: int
    inner: tuple[int, int]

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """Return the pixels (start, stop) that some of the coarse ones from first to last make."""
        stop = int(np.searchsorted(self.first, last, "right"))
        return int(np.searchsorted(self.last, first)), stop

    def spread(self, coarse: torch.Tensor, low: int, start: int, out: torch.Tensor) -> None:
        """Fill `out` (m, n) with the pixels from `start` on, made of the coarse from `low` on."""
        chosen = slice(start, start + out.shape[1])
        for row in range(0, len(out), _ROWS):
            rows = slice(row, row + _ROWS)
            self._gather(1, coarse[rows], low, chosen, out[rows])

    def blend(self, coarse: torch.Tensor, low: int, start: int, out: torch.Tensor) -> None:
        """Fill `out` (n, m) with lines from `start` on, made of the coarse lines from `low` on."""
        stop = start + len(out)
        first, last = (min(max(i, start), stop) for i in self.inner)
        for line in range(first, min(first + self.period, last)):  # none without a period
            made, top = out[line - start : last - start : self.period], int(self.first[line]) - low
            upper, lower = (coarse[top + i : top + i + len(made)] for i in range(2))
            torch.lerp(upper, lower, self._second(line), out=made)
        for begin, end in ((start, first), (last, stop)):
            for line in range(begin, end, _ROWS):
                chosen = slice(line, min(line + _ROWS, end))
                made = out[chosen.start - start : chosen.stop - start]
                self._gather(0, coarse, low, chosen, made)

    def _second(self, line: int) -> float:
        """Return the weight of a line's second coarse one, the same wherever one begins."""
        same = self.inner[0] + (line - self.inner[0]) % self.period
        return float(self.taps[1][1][same, 0])

    def _gather(
        self, along: int, coarse: torch.Tensor, low: int, chosen: slice, out: torch.Tensor
    ) -> None:
        """Fill `out` with some pixels along one of its two axes, whatever they are made of."""
        other = torch.empty_like(out)
        for i, (place, weight) in enumerate(self.taps):
            pixels = other if i else out
            torch.index_select(coarse, along, place[chosen] - low, out=pixels)
            share = weight[chosen] if along == 0 else weight[chosen, 0]
            if i == 0:
                out *= share
            else:
                out.addcmul_(other, share)


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
    taps, order = _taps(weights, first, last, device), _order(weights, first, last)
    return Axis(weights.contiguous().to(device), first, last, taps, *order)


def _order(
    weights: torch.Tensor, first: NDArray[np.intp], last: NDArray[np.intp]
) -> tuple[int, tuple[int, int]]:
    """Return the period of pixels that are made of two coarse ones each, and where it holds."""
    two = np.flatnonzero(last > first)
    if not len(two):
        return 0, (0, 0)
    inner = slice(int(two[0]), int(two[-1]) + 1)
    begin, shares = first[inner], weights.numpy()[np.arange(len(last)), last][inner]
    period = int((begin == begin[len(begin) // 2]).sum())
    regular = (
        (last[inner] == begin + 1).all()
        and (begin[period:] == begin[:-period] + 1).all()
        and np.allclose(shares[period:], shares[:-period], rtol=0, atol=1e-6)
    )
    return (period, (inner.start, inner.stop)) if regular else (0, (0, 0))


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
    _, height, width = out.shape
    top, bottom = int(rows.first[corner[0]]), int(rows.last[corner[0] + height - 1]) + 1
    left, right = int(columns.first[corner[1]]), int(columns.last[corner[1] + width - 1]) + 1
    wide = masks.new_empty(bottom - top, width)
    for mask, made in zip(masks, out, strict=True):
        columns.spread(mask[top:bottom, left:right], left, corner[1], wide)
        rows.blend(wide, top, corner[0], made)
