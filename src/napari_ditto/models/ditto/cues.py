"""Prompts as tensors, and the maps that the decoder reads."""

from __future__ import annotations

from typing import NamedTuple

import torch  # noqa: TID253 - this module is imported when the network is
from torch import Tensor  # noqa: TID253

from napari_ditto.models.ditto.layers import pool

SIGMAS = (4.0, 20.0)
"""Radii of the bumps that mark a click, pixels: where it is, and what is near."""

RING = 0.2
"""How far the surroundings of a box reach, in sides of the box."""

MAP_CHANNELS = 9
FINE_CHANNELS = 2


class Cues(NamedTuple):
    """What is said about `p` objects, coordinates in pixels of the input.

    Attributes
    ----------
    points : Tensor, shape (p, k, 3)
        Row, column, and 1 (on the object), -1 (not on it) or 0 (no point here).
    boxes : Tensor, shape (p, 4)
        First row, first column, last row, last column, as edges; any value without a box.
    has_box : Tensor, shape (p,)
        1 where there is a box.
    previous : Tensor, shape (p, 1, h / 2, w / 2)
        Probability of the object so far.
    has_previous : Tensor, shape (p,)
        1 where there is a mask to start from.
    """

    points: Tensor
    boxes: Tensor
    has_box: Tensor
    previous: Tensor
    has_previous: Tensor


def draw(cues: Cues) -> tuple[Tensor, Tensor]:
    """Return maps at stride 4, (p, 9, h / 4, w / 4), and at stride 2, (p, 2, h / 2, w / 2)."""
    height, width = cues.previous.shape[-2:]
    y4, x4 = _axis(height // 2, 4, cues.points), _axis(width // 2, 4, cues.points)
    fill4, ring4 = _boxes(cues, y4, x4, 4)
    fill2, _ = _boxes(cues, _axis(height, 2, y4), _axis(width, 2, x4), 2)
    previous4 = pool(cues.previous, 2)
    flags = torch.stack((cues.has_previous, cues.has_box), 1)[..., None, None]
    bumps = _bumps(cues.points, y4, x4)
    maps = (bumps, fill4, ring4, previous4, flags.expand(-1, -1, height // 2, width // 2))
    return torch.cat(maps, 1), torch.cat((fill2, cues.previous), 1)


def _axis(count: int, stride: int, like: Tensor) -> Tensor:
    """Return the input coordinates of `count` cells' centres."""
    cells = torch.arange(count, device=like.device, dtype=like.dtype)
    return cells * stride + (stride - 1) / 2


def _bumps(points: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return Gaussians at positive and negative points, shape (p, 4, h, w): sharp, then wide."""
    dy = (y - points[..., 0, None]) ** 2
    dx = (x - points[..., 1, None]) ** 2
    maps = []
    for sigma in SIGMAS:
        rows, columns = torch.exp(-dy / (2 * sigma**2)), torch.exp(-dx / (2 * sigma**2))
        for sign in (1, -1):
            chosen = rows * (points[..., 2, None] == sign)
            maps.append((chosen[..., :, None] * columns[..., None, :]).amax(1))
    return torch.stack(maps, 1)


def _boxes(cues: Cues, y: Tensor, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return how much of each cell lies in the box, and in the ring round it, (p, 1, h, w)."""
    inner = _cover(cues.boxes, y, x, stride)
    sides = cues.boxes[:, 2:] - cues.boxes[:, :2]
    grown = cues.boxes + torch.cat((-RING * sides, RING * sides), 1)
    has = cues.has_box.view(-1, 1, 1, 1)
    return inner * has, (_cover(grown, y, x, stride) - inner) * has


def _cover(boxes: Tensor, y: Tensor, x: Tensor, stride: int) -> Tensor:
    rows = _overlap(boxes[:, 0, None], boxes[:, 2, None], y, stride)
    columns = _overlap(boxes[:, 1, None], boxes[:, 3, None], x, stride)
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def _overlap(low: Tensor, high: Tensor, at: Tensor, stride: int) -> Tensor:
    """Return the share of each cell between two edges."""
    first = torch.maximum(low, at - stride / 2)
    last = torch.minimum(high, at + stride / 2)
    return (last - first).clamp_min(0) / stride
