"""From one click to an object of unknown size: look at several zooms, and judge what is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray

from napari_ditto.models.ditto.looks import Look
from napari_ditto.models.ditto.views import View, view_around

Masks = NDArray[np.float32]

SMALLEST_VIEW = 40.0
"""Pixels: the smallest window seen in training; more magnified, there is only blur."""

LADDER = (48.0, 104.0, 232.0)
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
    sides = [HINTED * diameter] if diameter else [*LADDER, float(max(shape))]
    shared = not diameter
    return [
        view_around(_snapped(center, side) if shared else center, side, shape, LOOK_PIXELS)
        for side in _apart(sides, span, shape)
    ]


def _apart(sides: Sequence[float], span: float, shape: tuple[int, int]) -> list[float]:
    """Return sides that suit prompts and tile, and differ enough to show other things."""
    least, most = max(SMALLEST_VIEW, ROOM * span), max(SMALLEST_VIEW, float(max(shape)))
    fit = sorted({min(max(side, least), most) for side in sides})
    return [s for s, after in zip(fit, [*fit[1:], math.inf], strict=True) if after > 1.2 * s]


def _snapped(center: tuple[float, float], side: float) -> tuple[float, float]:
    """Return the nearest place that clicks round it share: what they look at is encoded once."""
    step = side / SHARED
    y, x = (step * round((at + 0.5) / step) - 0.5 for at in center)
    return y, x


def nearby(center: tuple[float, float], shape: tuple[int, int], reach: float) -> list[View]:
    """Return the views of first looks of all clicks within reach, pixels.

    Those of the nearest clicks come first, and of one click the widest, which serves longest.
    """
    away: dict[View, float] = {}
    for side in reversed(_apart([*LADDER, float(max(shape))], 0.0, shape)):
        for place, distance in _places(center, side / SHARED, reach):
            view = view_around(place, side, shape, LOOK_PIXELS)
            away[view] = min(distance, away.get(view, math.inf))
    return sorted(away, key=lambda view: away[view])


@lru_cache(maxsize=16)
def wide(shape: tuple[int, int]) -> tuple[View, ...]:
    """Return the wide views of the first looks of all clicks in a tile, the widest first.

    37 for a tile of 512 x 512.
    """
    sides = [s for s in _apart([*LADDER, float(max(shape))], 0.0, shape) if s >= WIDE]
    found: dict[View, None] = {}
    for side in reversed(sides):
        rows, columns = (
            [k * side / SHARED - 0.5 for k in range(round(extent / side * SHARED) + 1)]
            for extent in shape
        )
        found |= {view_around(at, side, shape, LOOK_PIXELS): None for at in product(rows, columns)}
    return tuple(found)


def _places(
    center: tuple[float, float], step: float, reach: float
) -> list[tuple[tuple[float, float], float]]:
    """Return the shared places of clicks within reach, and how far away the nearest of these is."""
    axes = []
    for at in center:
        first, last = (round((end + 0.5) / step) for end in (at - reach, at + reach))
        shared = [step * i - 0.5 for i in range(first, last + 1)]
        axes.append([(place, max(0.0, abs(place - at) - step / 2)) for place in shared])
    found = [((y, x), math.hypot(down, across)) for y, down in axes[0] for x, across in axes[1]]
    return [(place, distance) for place, distance in found if distance <= reach]


SHARED = 4
"""A first look's view lies on a grid of this many steps per side, so within 16 of its 128 pixels.

Masks are as good as with 8 or more, and clicks share three to four times as many views.
"""

WIDE = 150.0
"""Of views of at least this side, pixels, a tile has so few that all can be known."""


HINTED = 2.0
"""Side of the view in diameters, where a diameter is given: objects of half to twice it fit.

At 2.4 the object is mostly shown too small for the second look, which then needs a view of its own.
"""


def judge(looks: Sequence[Look], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the worth of every mask of several looks, the finest first, shape (looks, heads).

    The network's own estimate, less where a side of the view inside the tile cuts the mask, and
    more where the other zooms have seen the same. In the order of the expected IoU, not its value.
    """
    masks = (torch.stack([look.logits for look in looks]) > 0).cpu().numpy().astype(np.float32)
    score = torch.sigmoid(torch.stack([look.scores for look in looks])).double().cpu().numpy()
    cut = np.stack([_cut(m, k.view, shape) for m, k in zip(masks, looks, strict=True)])
    support = _support([look.view for look in looks], masks, score)
    agreed = score if len(looks) == 1 else (score + SUPPORT * support) / (1 + SUPPORT)
    return np.asarray(agreed - CUT * cut)


def _cut(masks: Masks, view: View, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return how much of a side of the view masks (m, c, c) touch; image borders do not count."""
    sides = [np.zeros(len(masks), np.float32)]
    for start, extent, rows in (
        (view.y0, shape[0], masks),
        (view.x0, shape[1], masks.transpose(0, 2, 1)),
    ):
        if start > 0:
            sides.append(rows[:, 0].mean(1))
        if start + view.side < extent:
            sides.append(rows[:, -1].mean(1))
    return np.max(sides, axis=0)  # type: ignore[no-any-return]


def _support(
    views: Sequence[View], masks: Masks, score: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how well the other zooms agree: the mean of their best IoU times its score."""
    total = np.zeros_like(score)
    for (i, fine), (j, coarse) in combinations(enumerate(views), 2):
        table = overlap(masks[i], fine, masks[j], coarse)
        total[i] += (table * score[j]).max(1)
        total[j] += (table * score[i][:, None]).max(0)
    return total / max(1, len(views) - 1)


def overlap(fine: Masks, view: View, coarse: Masks, wide: View) -> NDArray[np.float64]:
    """Return the IoU of each mask (m, c, c) of a view with each of a wider one, shape (m, m').

    Masks are 0 and 1; sums of them in float32 are exact.
    """
    own = fine.reshape(len(fine), -1)
    brought = _nearest(coarse, wide, view).reshape(len(coarse), -1)
    common = (own @ brought.T).astype(np.float64)
    outside = coarse.sum((1, 2)) * (wide.side / wide.cells / (view.side / view.cells)) ** 2
    # What the wider view shows beyond this one counts as well.
    areas = np.maximum(outside, brought.sum(1))
    union = own.sum(1)[:, None] + areas - common
    return np.asarray(common / np.maximum(union, 1))


def _nearest(masks: Masks, seen: View, view: View) -> Masks:
    """Return masks (m, cells, cells) of one view as a finer one sees them; 0 where they end."""
    at = (np.arange(view.cells) + 0.5) * (view.side / view.cells)
    rows, columns = (
        np.floor((at + new - old) * (seen.cells / seen.side)).astype(np.intp)
        for new, old in ((view.y0, seen.y0), (view.x0, seen.x0))
    )
    brought: Masks = masks.take(rows, axis=1, mode="clip").take(columns, axis=2, mode="clip")
    brought[:, (rows < 0) | (rows >= seen.cells)] = 0
    brought[:, :, (columns < 0) | (columns >= seen.cells)] = 0
    return brought
