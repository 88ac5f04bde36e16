"""Square windows of a tile, resampled to what the network sees, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import Frame

OUTSIDE = -12.0
"""Logit of what no view has seen: surely not the object."""


@dataclass(frozen=True, slots=True)
class View:
    """A square window, and how many pixels the network sees of it.

    Attributes
    ----------
    y0, x0 : float
        Its first edges: pixel ``i`` of the tile covers ``[i, i + 1)``.
    side : float
        Its length, pixels of the tile.
    pixels : int
        Side of the picture that is made of it.
    """

    y0: float
    x0: float
    side: float
    pixels: int

    @property
    def frame(self) -> Frame:
        """The frame of its picture, for prompts."""
        factor = self.side / self.pixels
        return Frame((factor, factor), (self.y0 / factor, self.x0 / factor))

    @property
    def cells(self) -> int:
        """Side of the masks that the network answers with: one cell is 2 x 2 pixels."""
        return self.pixels // 2

    def cell(self, y: float, x: float) -> tuple[int, int]:
        """Return the cell at a position of the tile, the nearest one from outside."""
        at = [(p + 0.5 - q) * self.cells / self.side for p, q in ((y, self.y0), (x, self.x0))]
        row, column = (min(max(math.floor(a), 0), self.cells - 1) for a in at)
        return row, column


def view_around(
    center: tuple[float, float], side: float, shape: tuple[int, int], pixels: int
) -> View:
    """Return a view round a position, moved into the tile as far as it fits."""
    starts = []
    for at, extent in zip(center, shape, strict=True):
        start = at + 0.5 - side / 2
        room = extent - side
        starts.append(min(max(start, 0.0), room) if room >= 0 else room / 2)
    return View(starts[0], starts[1], side, pixels)


def render(image: Tensor, view: View) -> Tensor:
    """Return what the network sees of an image (3, h, w), shape (1, 3, pixels, pixels).

    A grey image may have one channel.
    """
    rows = _taps(view.y0, view.side, view.pixels, image.shape[1], reflect=True)
    columns = _taps(view.x0, view.side, view.pixels, image.shape[2], reflect=True)
    picture = _apply(image, rows, columns).expand(3, -1, -1)
    return picture[None].contiguous(memory_format=torch.channels_last)


def carry(maps: Tensor, seen: View, view: View) -> Tensor:
    """Return maps (m, cells, cells) of one view as another sees them; 0 where they end."""
    scale = seen.cells / seen.side
    spans = [
        _taps((new - old) * scale, view.side * scale, view.cells, seen.cells, reflect=False)
        for new, old in ((view.y0, seen.y0), (view.x0, seen.x0))
    ]
    return _apply(maps, *spans)


def cover(mask: NDArray[np.bool_], view: View, device: torch.device) -> Tensor:
    """Return which part of each cell of a view a mask of the tile covers, (1, cells, cells)."""
    rows = _taps(view.y0, view.side, view.cells, mask.shape[0], reflect=False)
    columns = _taps(view.x0, view.side, view.cells, mask.shape[1], reflect=False)
    return _apply(torch.from_numpy(mask.astype(np.float32)).to(device)[None], rows, columns)


def paste(logits: Tensor, view: View, out: NDArray[np.float32]) -> None:
    """Write logits (m, cells, cells) of a view into tiles (m, h, w), bilinearly.

    What the view has not seen stays as it is.
    """
    box = shown(view, out.shape[1:])
    if not box.is_empty:
        out[(slice(None), *box.slices)] = develop(logits, view, box)


def develop(logits: Tensor, view: View, box: Box) -> NDArray[np.float32]:
    """Return logits (m, cells, cells) of a view in the pixels of a box, (m, h, w), bilinearly."""
    scale = view.cells / view.side
    spans = ((box.y0, box.y1, view.y0), (box.x0, box.x1, view.x0))
    taps = [
        _taps((low - start) * scale, (high - low) * scale, high - low, view.cells, reflect=True)
        for low, high, start in spans
    ]
    return np.asarray(_apply(logits, *taps).cpu().numpy())


def shown(view: View, shape: Sequence[int]) -> Box:
    """Return the pixels of a tile whose centres a view shows."""
    (top, bottom), (left, right) = (
        _inside(view.y0, view.side, shape[0]),
        _inside(view.x0, view.side, shape[1]),
    )
    return Box(top, left, max(top, bottom), max(left, right))


def _inside(start: float, side: float, extent: int) -> tuple[int, int]:
    """Return the pixels whose centres lie in a span."""
    return max(0, math.ceil(start - 0.5)), min(extent, math.ceil(start + side - 0.5))


def _apply(
    maps: Tensor,
    rows: tuple[slice, NDArray[np.float32]],
    columns: tuple[slice, NDArray[np.float32]],
) -> Tensor:
    part = maps[:, rows[0], columns[0]]
    down = torch.from_numpy(rows[1]).to(maps.device)
    across = torch.from_numpy(columns[1]).to(maps.device)
    return down @ part @ across.T


@lru_cache(maxsize=256)  # one click asks for the same spans several times
def _taps(
    start: float, length: float, count: int, extent: int, *, reflect: bool
) -> tuple[slice, NDArray[np.float32]]:
    """Return the source pixels of a span, and a triangle filter's weights (count, pixels).

    The filter is as wide as a step of the result: linear interpolation where the picture is
    enlarged, and no aliasing where it shrinks. Beyond its end the source is reflected, or 0.
    """
    step = length / count
    centres = start + (np.arange(count) + 0.5) * step - 0.5
    reach = max(1.0, step)
    at = np.arange(math.floor(centres[0] - reach), math.ceil(centres[-1] + reach) + 1)
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - at) / reach)
    weights /= weights.sum(1, keepdims=True)
    inside = (at >= 0) & (at < extent)
    if reflect and not inside.all():
        return _folded(weights, at, extent)
    if not inside.any():
        return slice(0, 1), np.zeros((count, 1), np.float32)
    low, high = int(at[inside][0]), int(at[inside][-1]) + 1
    return slice(low, high), np.ascontiguousarray(weights[:, inside], np.float32)


def _folded(
    weights: NDArray[np.float64], at: NDArray[np.intp], extent: int
) -> tuple[slice, NDArray[np.float32]]:
    """Return weights (count, taps) at source pixels, those beyond its ends reflected into it."""
    stretch = at // extent
    at = at % (2 * extent)
    at = np.minimum(at, 2 * extent - 1 - at)
    low, high = int(at.min()), int(at.max()) + 1
    gathered = np.zeros((len(weights), high - low))
    for one in range(int(stretch[0]), int(stretch[-1]) + 1):  # in each no pixel comes twice
        part = stretch == one
        gathered[:, at[part] - low] += weights[:, part]
    return slice(low, high), np.ascontiguousarray(gathered, np.float32)
