"""From one click to an object of unknown size: look at several zooms, and judge what is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253

from napari_ditto.models.ditto.looks import Look
from napari_ditto.models.ditto.views import View, carry, view_around

SMALLEST_VIEW = 40.0
"""Pixels: the smallest window seen in training; more magnified, there is only blur."""

LADDER = (48.0, 96.0, 192.0, 384.0)
"""Sides of the views round a click, pixels; then comes the whole tile."""

LOOK_PIXELS = 128
ROOM = 1.5
"""A view is at least so many times what positive prompts span."""

AROUND = 1.7
"""Side of a near look in sides of the object, which then spans some 75 of 128 pixels.

On held-out training images 1.5 at 128 pixels and 2.2 at 192 are equally good, and 2.2 at 128 and
1.5 at 192 less: what counts is how large the object is shown.
"""

SUPPORT, CUT = 0.5, 0.2
"""Weights of agreement and of cut masks. Rank changes little between .5 and 1, or .2 and .5."""


def ladder(
    center: tuple[float, float],
    span: float,
    shape: tuple[int, int],
    diameter: float | None = None,
) -> list[View]:
    """Return the views of a first look, the finest first.

    Parameters
    ----------
    center : (float, float)
        Middle of the positive prompts.
    span : float
        The longer side of the box around them.
    shape : (int, int)
        Of the tile.
    diameter : float, optional
        How large objects are, pixels; one view that suits it instead of all.
    """
    whole = float(max(shape))
    sides = [HINTED * diameter] if diameter else [*LADDER, whole]
    least, most = max(SMALLEST_VIEW, ROOM * span), max(SMALLEST_VIEW, whole)
    fit = sorted({min(max(side, least), most) for side in sides})
    apart = [s for s, after in zip(fit, [*fit[1:], math.inf], strict=True) if after > 1.2 * s]
    return [view_around(center, side, shape, LOOK_PIXELS) for side in apart]


HINTED = 2.0
"""Side of the view in diameters, where a diameter is given: objects of half to twice it fit.

At 2.4 the object is mostly shown too small for the second look, which then needs a view of its own.
"""


def judge(looks: Sequence[Look], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the worth of every mask of several looks, the finest first, shape (looks, heads).

    The network's own estimate, less where a side of the view inside the tile cuts the mask, and
    more where the other zooms have seen the same. In the order of the expected IoU, not its value.
    """
    masks = torch.stack([look.logits for look in looks]) > 0
    score = torch.sigmoid(torch.stack([look.scores for look in looks])).double().cpu().numpy()
    cut = [_cut(m, k.view, shape) for m, k in zip(masks, looks, strict=True)]
    support = _support(looks, masks, score)
    agreed = score if len(looks) == 1 else (score + SUPPORT * support) / (1 + SUPPORT)
    return np.asarray(agreed - CUT * torch.stack(cut).double().cpu().numpy())


def _cut(masks: Tensor, view: View, shape: tuple[int, int]) -> Tensor:
    """Return how much of a side of the view masks (m, c, c) touch; image borders do not count."""
    touched = masks.float()
    sides = [torch.zeros(len(masks), device=masks.device)]
    for start, extent, rows in (
        (view.y0, shape[0], touched),
        (view.x0, shape[1], touched.transpose(1, 2)),
    ):
        if start > 0:
            sides.append(rows[:, 0].mean(1))
        if start + view.side < extent:
            sides.append(rows[:, -1].mean(1))
    return torch.stack(sides).amax(0)


def _support(
    looks: Sequence[Look], masks: Tensor, score: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how well the other zooms agree: the mean of their best IoU times its score."""
    total = np.zeros_like(score)
    for (i, fine), (j, coarse) in combinations(enumerate(looks), 2):
        table = overlap(masks[i], fine.view, masks[j], coarse.view)
        total[i] += (table * score[j]).max(1)
        total[j] += (table * score[i][:, None]).max(0)
    return total / max(1, len(looks) - 1)


def overlap(fine: Tensor, view: View, coarse: Tensor, wide: View) -> NDArray[np.float64]:
    """Return the IoU of each mask (m, c, c) of a view with each of a wider one, shape (m, m')."""
    brought = (carry(coarse.float(), wide, view) > 0.5).flatten(1).double()
    own = fine.flatten(1).double()
    common = own @ brought.T
    outside = coarse.flatten(1).sum(1) * (wide.side / wide.cells / (view.side / view.cells)) ** 2
    # What the wider view shows beyond this one counts as well.
    areas = torch.maximum(outside.double(), brought.sum(1))
    union = own.sum(1)[:, None] + areas - common
    return np.asarray((common / union.clamp_min(1)).cpu().numpy())
