"""Pieces of the image that one core computes at a time: whole windows of attention."""

from __future__ import annotations

from itertools import pairwise, product

import torch  # noqa: TID253  # imported with a family's network

Piece = tuple[slice, slice]
"""Rows and columns of patches."""

STRIP = 8
"""Rows of patches in a piece where there are no windows."""

ACROSS = 2
"""Pieces beside each other: with five windows of 14, they have 224 to 504 patches."""

FEW = 4
"""With more threads than this, each window is a piece."""


def pieces_of(x: torch.Tensor, window: int) -> list[Piece]:
    """Return pieces that cover features (b, s, s, w), the largest first; a GPU takes all at once.

    Parameters
    ----------
    x : Tensor
    window : int
        Side of a window; 0 for none.
    """
    side = x.shape[1]
    if x.device.type != "cpu":
        return [(slice(0, side), slice(0, side))]
    if window == 0:
        rows, columns = _cut(side, STRIP), [slice(0, side)]
    else:
        across = ACROSS if torch.get_num_threads() <= FEW else side
        wide = max(1, side // window // across) * window
        rows, columns = _cut(side, window), _cut(side, wide, joins=True)
    return sorted(product(rows, columns), key=_area, reverse=True)


def heads_of(parts: torch.Tensor) -> list[slice]:
    """Return the heads of queries, keys and values (3, heads, ...) that one core attends to.

    It is one after the other; a GPU takes all at once.
    """
    count = parts.shape[1]
    step = 1 if parts.device.type == "cpu" else count
    return [slice(first, first + step) for first in range(0, count, step)]


def _cut(side: int, step: int, joins: bool = False) -> list[slice]:
    """Cut a side into steps; what is left over is one of them, or part of the last."""
    starts = range(0, side, step)
    if joins and side % step:
        starts = starts[: max(1, len(starts) - 1)]
    return [slice(first, last) for first, last in pairwise((*starts, side))]


def _area(piece: Piece) -> int:
    rows, columns = piece
    return int((rows.stop - rows.start) * (columns.stop - columns.start))
