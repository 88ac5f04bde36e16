"""A mask as a two-tone contour in cells that suit the screen: pure functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

DARK, BRIGHT = 1, 2

CELL_SCREEN_PX, LINE_SCREEN_PX = 2.0, 3.0
FINEST = 8
"""Cells per pixel of the image at most."""

LARGEST = 2048
"""Cells per side at most, of what is drawn and of the window that it is drawn in."""

Mask = NDArray[np.bool_]


def cell_size(screen: float, box: Box) -> float:
    """Return how many pixels of the image a cell is wide: a whole number, or one over it.

    Parameters
    ----------
    screen : float
        Screen pixels per pixel of the image.
    box : Box
        What is to be drawn.
    """
    longest = max(box.height, box.width, 1)
    finest = min(FINEST, int(screen // CELL_SCREEN_PX), LARGEST // longest)
    if finest >= 1:
        return 1 / finest
    return float(max(1, int(CELL_SCREEN_PX // screen), math.ceil(longest / LARGEST)))


def line_width(screen: float, step: float) -> int:
    """Return how many cells make a line that is well seen."""
    return min(3, math.ceil(LINE_SCREEN_PX / (screen * step)))


def sampled(mask: Mask, box: Box, step: float) -> tuple[Mask, Box]:
    """Return a mask in cells of `step` pixels, and the box of cells from the plane's corner."""
    if step <= 1:
        k = round(1 / step)
        cells = np.repeat(np.repeat(mask, k, axis=0), k, axis=1)
        return cells, Box(box.y0 * k, box.x0 * k, box.y1 * k, box.x1 * k)
    s = round(step)
    (top, bottom), (left, right) = (
        (math.ceil((low - s // 2) / s), math.ceil((high - s // 2) / s))
        for low, high in ((box.y0, box.y1), (box.x0, box.x1))
    )
    rows = np.arange(top, bottom) * s + s // 2 - box.y0
    columns = np.arange(left, right) * s + s // 2 - box.x0
    return mask[np.ix_(rows, columns)], Box(top, left, bottom, right)


def two_tones(cells: Mask, width: int = 1) -> NDArray[np.uint8]:
    """Return `BRIGHT` on the outermost cells of a mask and `DARK` just outside, one cell more.

    Parameters
    ----------
    cells : ndarray of bool, shape (h, w)
        The mask.
    width : int
        Of the bright line, in cells; the dark one takes one.

    Returns
    -------
    ndarray of uint8, shape (h + 2, w + 2)
    """
    padded = np.pad(cells, 1)
    outside = ~padded
    drawn = np.zeros(padded.shape, np.uint8)
    drawn[_grown(padded) & outside] = DARK
    for _ in range(width):
        outside = _grown(outside)
    drawn[padded & outside] = BRIGHT
    return drawn


def _grown(cells: Mask) -> Mask:
    """Return cells and what touches one of their sides."""
    grown = cells.copy()
    grown[1:] |= cells[:-1]
    grown[:-1] |= cells[1:]
    grown[:, 1:] |= cells[:, :-1]
    grown[:, :-1] |= cells[:, 1:]
    return grown


def window_around(cells: Box, side: int, room: Box) -> Box:
    """Return the window to draw a box of cells in.

    Parameters
    ----------
    cells : Box
        Lies in `room`.
    side : int
        Of the window, twice as many until the box fits.
    room : Box
        All cells of the plane: a window that reached out of it would widen what napari shows.
    """
    while side < max(cells.height, cells.width):
        side *= 2
    height, width = min(side, room.height), min(side, room.width)
    y0, x0 = (cells.y0 + cells.y1 - height) // 2, (cells.x0 + cells.x1 - width) // 2
    y0, x0 = min(max(y0, 0), room.height - height), min(max(x0, 0), room.width - width)
    return Box(y0, x0, y0 + height, x0 + width)
