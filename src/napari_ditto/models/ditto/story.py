"""Prompts in the order in which they are taken in: a first look, then one click after another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PromptSet
from napari_ditto.errors import PromptError
from napari_ditto.models.ditto.looks import Said

STROKE_POINTS = 16
"""Points that stand for all strokes of one sign; training showed up to 8 clicks."""


def tell(prompts: PromptSet) -> list[PromptSet]:
    """Return what was known at the first look, and after each further click.

    A mask comes with all that is known, so it is one look. Otherwise the first look knows the box,
    the strokes, and the clicks up to the first positive one. Nothing else plays a role.

    Raises
    ------
    PromptError
        If nothing says where the object is.
    """
    if not prompts.has_positive:
        raise PromptError(
            "nothing says where the object is", todo="Add a positive point, a box or a mask"
        )
    points = prompts.points
    at_once = len(points) if prompts.mask else _first_positive(prompts)
    return [replace(prompts, points=points[:k]) for k in range(at_once, len(points) + 1)]


def is_lone_click(prompts: PromptSet) -> bool:
    """Whether one positive click, and no size, is all that is said."""
    alone = replace(prompts, points=(), text="").is_empty and prompts.diameter is None
    return alone and len(prompts.points) == 1 and prompts.has_positive


def said(prompts: PromptSet) -> Said:
    """Return points and box of prompts; strokes become a few points."""
    points = [(p.y, p.x, 1.0 if p.positive else -1.0) for p in prompts.points]
    for positive, sign in ((True, 1.0), (False, -1.0)):
        strokes = [s.samples() for s in prompts.scribbles if s.positive == positive]
        points += [(y, x, sign) for y, x in _few(strokes)]
    return Said(tuple(points), prompts.box)


def extent(told: Said, mask: MaskPrompt | None) -> BoxPrompt:
    """Return the box around everything positive."""
    corners = [p[:2] for p in told.points if p[2] > 0]
    if told.box:
        corners += [(told.box.y0, told.box.x0), (told.box.y1, told.box.x1)]
    if mask is not None:
        box = mask.box
        corners += [(box.y0 - 0.5, box.x0 - 0.5), (box.y1 - 0.5, box.x1 - 0.5)]
    (y0, x0), (y1, x1) = np.min(corners, axis=0), np.max(corners, axis=0)
    return BoxPrompt(float(y0), float(x0), float(y1), float(x1))


def _first_positive(prompts: PromptSet) -> int:
    """Return how many points the first look must know."""
    known = prompts.box or any(s.positive for s in prompts.scribbles)
    positive = [i for i, p in enumerate(prompts.points) if p.positive]
    if known:
        return 1 if positive[:1] == [0] else 0
    return positive[0] + 1


def _few(strokes: list[NDArray[np.float64]]) -> list[tuple[float, float]]:
    if not strokes:
        return []
    run = np.concatenate(strokes)
    chosen = np.unique(np.linspace(0, len(run) - 1, STROKE_POINTS).round().astype(int))
    return [(float(y), float(x)) for y, x in run[chosen]]
