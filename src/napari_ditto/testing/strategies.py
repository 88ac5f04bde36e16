"""Hypothesis strategies for planes, boxes, prompts and affines."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)

Shape = tuple[int, int]


def plane_shapes(largest: int = 200) -> st.SearchStrategy[Shape]:
    """Return planes of any size from a single pixel, also 1 x N."""
    sides = st.integers(1, largest)
    return st.one_of(st.tuples(sides, sides), st.tuples(st.just(1), sides))


@st.composite
def boxes_in(draw: st.DrawFn, shape: Shape, smallest: int = 1) -> Box:
    """Draw a box of at least `smallest` pixels a side that lies in a plane."""
    height, width = (draw(st.integers(min(smallest, n), n)) for n in shape)
    y = draw(st.integers(0, shape[0] - height))
    x = draw(st.integers(0, shape[1] - width))
    return Box(y, x, y + height, x + width)


@st.composite
def positions_in(draw: st.DrawFn, shape: Shape) -> tuple[float, float]:
    """Draw a position on a plane, up to its very edge."""
    y, x = (draw(st.floats(-0.5, n - 0.5, width=32)) for n in shape)
    return y, x


@st.composite
def prompt_sets(draw: st.DrawFn, shape: Shape) -> PromptSet:
    """Draw a mixture of prompts of every kind, at least one of them positive."""
    signed = [
        PointPrompt(*draw(positions_in(shape)), positive=sign)
        for sign in draw(st.lists(st.booleans(), max_size=4))
    ]
    strokes = [
        ScribblePrompt(tuple(draw(st.lists(positions_in(shape), min_size=1, max_size=4))), sign)
        for sign in draw(st.lists(st.booleans(), max_size=2))
    ]
    made = PromptSet(
        tuple(signed),
        tuple(strokes),
        draw(st.none() | boxes_in(shape).map(_as_prompt)),
        draw(st.none() | _masks(shape)),
        text=draw(st.sampled_from(("", "nucleus"))),
    )
    if made.has_positive:
        return made
    return made.with_points([PointPrompt(*draw(positions_in(shape)))])


@st.composite
def affines(draw: st.DrawFn, ndim: int = 2) -> NDArray[np.float64]:
    """Draw a homogeneous matrix (ndim + 1, ndim + 1) that can be inverted well."""
    number = st.floats(-2, 2, width=32)
    matrix = np.eye(ndim + 1)
    for i in range(ndim):
        matrix[i, i] = draw(st.floats(0.1, 10)) * draw(st.sampled_from([-1, 1]))
        matrix[i, i + 1 : ndim] = [draw(number) for _ in range(ndim - i - 1)]
        matrix[i, ndim] = draw(st.floats(-1e4, 1e4))
    turned = np.linalg.qr(np.array([[draw(number) for _ in range(ndim)] for _ in range(ndim)]))[0]
    matrix[:ndim, :ndim] = turned @ matrix[:ndim, :ndim]
    return matrix


@st.composite
def addresses(draw: st.DrawFn, axes: tuple[str, ...], shape: tuple[int, ...]) -> PlaneAddress:
    """Draw a plane of an image: any two axes on show, an index on each other one."""
    rows, columns = draw(st.permutations(axes).map(lambda names: names[:2]))
    fixed = [
        (name, draw(st.integers(0, size - 1)))
        for name, size in zip(axes, shape, strict=True)
        if name not in (rows, columns)
    ]
    return PlaneAddress(rows, columns, tuple(fixed))


def _as_prompt(box: Box) -> BoxPrompt:
    return BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)


@st.composite
def _masks(draw: st.DrawFn, shape: Shape) -> MaskPrompt:
    box = draw(boxes_in((min(shape[0], 40), min(shape[1], 40))))
    mask = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(box.shape) < 0.5
    mask.flat[draw(st.integers(0, box.area - 1))] = True
    return MaskPrompt(box, mask)
