"""From what a caller writes down to a :class:`PromptSet`: arrays, lists and tuples welcome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)
from napari_ditto.errors import PromptError

Strokes = Sequence[ScribblePrompt | Sequence[tuple[float, float]]]


def make_prompts(
    points: ArrayLike | None = None,
    positive: Sequence[bool] | None = None,
    box: BoxPrompt | Sequence[float] | None = None,
    mask: MaskPrompt | ArrayLike | None = None,
    scribbles: Strokes | None = None,
    diameter: float | None = None,
    text: str = "",
) -> PromptSet:
    """Return prompts for one object; arguments as in :meth:`Annotator.predict`.

    Raises
    ------
    PromptError
        If an argument has the wrong shape.
    """
    return PromptSet(
        _points(points, positive),
        _scribbles(scribbles or ()),
        _box(box),
        _mask(mask),
        diameter,
        text,
    )


def _points(points: ArrayLike | None, positive: Sequence[bool] | None) -> tuple[PointPrompt, ...]:
    given = _numbers([] if points is None else points, "points")
    if given.size and (given.ndim > 2 or given.shape[-1] != 2):
        raise PromptError(f"points must be (row, column) pairs, got shape {given.shape}")
    pairs = given.reshape(-1, 2).tolist()
    signs = [True] * len(pairs) if positive is None else [bool(p) for p in np.atleast_1d(positive)]
    if len(signs) != len(pairs):
        raise PromptError(
            f"there are {len(signs)} signs for {len(pairs)} points",
            todo="Give one True or False for each point",
        )
    return tuple(PointPrompt(y, x, sign) for (y, x), sign in zip(pairs, signs, strict=True))


def _scribbles(scribbles: Strokes) -> tuple[ScribblePrompt, ...]:
    return tuple(s if isinstance(s, ScribblePrompt) else _stroke(s) for s in scribbles)


def _stroke(path: Sequence[tuple[float, float]]) -> ScribblePrompt:
    vertices = _numbers(path, "scribbles")
    if vertices.ndim != 2 or vertices.shape[1] != 2:
        raise PromptError(f"a scribble is a list of (row, column), got shape {vertices.shape}")
    return ScribblePrompt(tuple((y, x) for y, x in vertices.tolist()))


def _box(box: BoxPrompt | Sequence[float] | None) -> BoxPrompt | None:
    if box is None or isinstance(box, BoxPrompt):
        return box
    corners = _numbers(box, "box")
    if corners.shape != (4,):
        raise PromptError(f"a box is (y0, x0, y1, x1), got shape {corners.shape}")
    # Half-open pixels have their edges half a pixel above and left of their numbers.
    return BoxPrompt(*(corners - 0.5).tolist())


def _mask(mask: MaskPrompt | ArrayLike | None) -> MaskPrompt | None:
    if mask is None or isinstance(mask, MaskPrompt):
        return mask
    plane = np.asarray(mask)
    if plane.ndim != 2:
        raise PromptError(f"a mask prompt is one plane, got shape {plane.shape}")
    inside: Box = bounding_box(plane != 0)
    return MaskPrompt(inside, plane[inside.slices] != 0)


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} must be numbers: {error}") from error
