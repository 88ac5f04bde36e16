"""From one click to an object of unknown size: look at several zooms, and judge what is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253

from napari_ditto.models.ditto.decoder import HEADS
from napari_ditto.models.ditto.looks import Look
from napari_ditto.models.ditto.views import View, carry, view_around

SMALLEST_VIEW = 40.0
"""Pixels: the smallest window seen in training; more magnified, there is only blur."""

LADDER = (48.0, 96.0, 192.0, 384.0)
"""Sides of the views round a click, pixels; then comes the whole tile."""

LOOK_PIXELS = 128
ROOM = 1.5
"""A view is at least so many times what positive prompts span."""

AROUND = 2.2
"""Side of the second look, in sides of what the first one found."""


class Traits(NamedTuple):
    """What speaks for or against the masks of several looks, each (looks, heads)."""

    score: NDArray[np.float64]
    """The network's own estimate, logit."""
    size: NDArray[np.float64]
    """Square root of the part of the view that the mask fills."""
    cut: NDArray[np.float64]
    """Largest part of a side of the view, inside the tile, that the mask touches."""
    stable: NDArray[np.float64]
    """IoU of the masks at probabilities .7 and .3."""
    finer: NDArray[np.float64]
    """IoU with the most similar mask at the next finer zoom, 0 at the finest."""
    coarser: NDArray[np.float64]
    """IoU with the most similar mask at the next coarser zoom, 0 at the coarsest."""


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
        How large objects are, pixels; three zooms round it instead of all.
    """
    whole = float(max(shape))
    sides = [f * diameter for f in DIAMETERS] if diameter else [*LADDER, whole]
    least, most = max(SMALLEST_VIEW, ROOM * span), max(SMALLEST_VIEW, whole)
    fit = sorted({min(max(side, least), most) for side in sides})
    apart = [s for s, after in zip(fit, [*fit[1:], math.inf], strict=True) if after > 1.2 * s]
    return [view_around(center, side, shape, LOOK_PIXELS) for side in apart]


DIAMETERS = (1.5, 3.0, 6.0)
"""Sides of views in diameters, where a diameter is given; a wrong one should err large."""


def traits(looks: Sequence[Look], shape: tuple[int, int]) -> Traits:
    """Return what is to be weighed about the masks of looks, the finest first."""
    probability = torch.sigmoid(torch.stack([look.logits for look in looks]))
    masks = probability > 0.5
    finer, coarser = _agreements(looks, masks)
    inner = (probability > 0.7).sum((2, 3))
    outer = (probability > 0.3).sum((2, 3))
    cut = torch.stack([_cut(m, k.view, shape) for m, k in zip(masks, looks, strict=True)])
    columns = (
        torch.stack([look.scores for look in looks]),
        masks.float().mean((2, 3)).sqrt(),
        cut,
        inner / outer.clamp_min(1),
    )
    return Traits(*(c.double().cpu().numpy() for c in columns), finer, coarser)


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


def _agreements(
    looks: Sequence[Look], masks: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    finer, coarser = np.zeros((2, len(looks), HEADS))
    for i, (fine, coarse) in enumerate(pairwise(looks)):
        table = overlap(masks[i], fine.view, masks[i + 1], coarse.view)
        coarser[i], finer[i + 1] = table.max(1), table.max(0)
    return finer, coarser


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


def judge(found: Traits) -> NDArray[np.float64]:
    """Return the expected IoU of every mask, (looks, heads)."""
    score = 1 / (1 + np.exp(-found.score))
    agreed = np.maximum(found.finer, found.coarser)
    lost = 0.8 * found.cut + (found.size < 0.06) + (found.size > 0.93)
    return np.asarray(np.clip(0.7 * score + 0.3 * agreed - 0.3 * lost, 0, 1))
