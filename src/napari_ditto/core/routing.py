"""Which prompts count where: checks against a plane, and the share of each tile."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import deepest_pixels
from napari_ditto.core.prompts import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)
from napari_ditto.errors import PromptError

MAX_TEXT = 200
"""Letters of a name; models read about 30 words of it."""

Shape = tuple[int, int]
Position = tuple[float, float]


def check_prompts(prompts: PromptSet, shape: Shape) -> PromptSet:
    """Return prompts that make sense for a plane, or say which one does not.

    Clicks on the very edge (up to half a pixel outside the outermost pixel centres) are moved to
    the nearest pixel centre, boxes, masks and strokes that reach outside are cut at the border,
    flipped boxes are turned.

    Parameters
    ----------
    prompts : PromptSet
        Plane coordinates at level 0.
    shape : (int, int)
        Height and width of the plane.

    Raises
    ------
    PromptError
        For coordinates that are not finite or lie outside, a box less than a pixel thin, an
        empty mask or stroke, a diameter that is none, and prompts that only say where the object
        is not.
    """
    checked = PromptSet(
        tuple(_check_point(i, p, shape) for i, p in enumerate(prompts.points, 1)),
        tuple(_check_scribble(i, s, shape) for i, s in enumerate(prompts.scribbles, 1)),
        prompts.box and _check_box(prompts.box, shape),
        prompts.mask and _check_mask(prompts.mask, shape),
        _check_diameter(prompts.diameter),
        check_text(prompts.text),
    )
    if not checked.has_positive:
        raise PromptError(
            "say where the object is first", todo="Click on it or draw a box round it"
        )
    return checked


def anchor(prompts: PromptSet) -> Position:
    """Return the position that the first tile is chosen by: box, mask, first click, first stroke.

    Further prompts do not move it, so they find the tile encoded.
    """
    if prompts.box:
        return prompts.box.center
    if prompts.mask:
        middle = PromptSet(mask=prompts.mask).extent
        if middle:
            return middle.center
    y, x = prompts.positions(positive=True)[0]
    return float(y), float(x)


def share(prompts: PromptSet, box: Box) -> PromptSet:
    """Return what prompts say inside a box, in the same frame; the rest waits for other tiles."""
    return PromptSet(
        tuple(p for p in prompts.points if box.contains(p.y, p.x)),
        tuple(part for s in prompts.scribbles for part in _runs_inside(s, box)),
        prompts.box and _cut_box(prompts.box, box),
        prompts.mask and _cut_mask(prompts.mask, box),
        prompts.diameter,
        prompts.text,
    )


def to_level(prompts: PromptSet, factor: tuple[float, float], shape: Shape) -> PromptSet:
    """Return plane prompts in pixels of a level.

    Clicks stay on the level's plane, which can be smaller than the image divided by the factor.

    Parameters
    ----------
    prompts : PromptSet
        Plane coordinates at level 0.
    factor : (float, float)
        Level-0 pixels per pixel of the level.
    shape : (int, int)
        Height and width of the plane at that level.
    """
    if factor == (1.0, 1.0):
        return prompts
    moved = prompts.to_frame(Frame(factor))
    return replace(
        moved,
        points=tuple(PointPrompt(*_clamped((p.y, p.x), shape), p.positive) for p in moved.points),
        scribbles=tuple(
            replace(s, path=tuple(_clamped(v, shape) for v in s.path)) for s in moved.scribbles
        ),
    )


def to_tile(prompts: PromptSet, box: Box) -> PromptSet:
    """Return what prompts of a level say inside a tile, in the tile's own pixels."""
    return share(prompts, box).to_frame(Frame(origin=(float(box.y0), float(box.x0))))


def pixels(prompts: PromptSet, *, positive: bool) -> NDArray[np.intp]:
    """Return the pixels that clicks and strokes of one sign lie on, shape (n, 2)."""
    clicks = [(p.y, p.x) for p in prompts.points if p.positive == positive]
    strokes = (s for s in prompts.scribbles if s.positive == positive)
    positions = clicks + [(y, x) for s in strokes for y, x in s.samples(4.0).tolist()]
    found = np.array(positions, dtype=np.float64).reshape(-1, 2)
    return np.floor(found + 0.5).astype(np.intp)


def translate(prompts: PromptSet, understood: Collection[str]) -> PromptSet:
    """Return prompts in the kinds that a model reads, so that none of them is lost.

    Parameters
    ----------
    prompts : PromptSet
        Of any kind.
    understood : collection of str
        ``ModelSpec.capabilities``. Strokes become points along them, a mask becomes points deep
        inside it, a box becomes its centre. A name goes where there are places as well.
    """
    if prompts.scribbles and "scribbles" not in understood:
        strokes = tuple(p for s in prompts.scribbles for p in _stroke_points(s))
        prompts = replace(prompts.with_points(strokes), scribbles=())
    if prompts.text and "text" not in understood:
        prompts = replace(prompts, text="")
    if prompts.mask and "mask" not in understood:
        corner, deep = prompts.mask.box, deepest_pixels(prompts.mask.mask, 3)
        inside = (PointPrompt(float(y + corner.y0), float(x + corner.x0)) for y, x in deep)
        prompts = replace(prompts.with_points(inside), mask=None)
    if prompts.box and "box" not in understood:
        prompts = replace(prompts.with_points([PointPrompt(*prompts.box.center)]), box=None)
    return prompts


def _stroke_points(scribble: ScribblePrompt, most: int = 8) -> Iterator[PointPrompt]:
    places = scribble.samples(1.0)
    chosen = np.unique(np.linspace(0, len(places) - 1, most).round().astype(int))
    for y, x in places[chosen].tolist():
        yield PointPrompt(y, x, scribble.positive)


def _check_point(number: int, point: PointPrompt, shape: Shape) -> PointPrompt:
    name = f"point {number} at ({point.y:g}, {point.x:g})"
    _check_finite((point.y, point.x), name)
    if not _on_plane(point.y, point.x, shape):
        raise _outside(name, shape)
    y, x = _clamped((point.y, point.x), shape)
    return replace(point, y=y, x=x)


def _check_scribble(number: int, scribble: ScribblePrompt, shape: Shape) -> ScribblePrompt:
    name = f"scribble {number}"
    if not scribble.path:
        raise PromptError(f"{name} has no vertex")
    _check_finite([v for vertex in scribble.path for v in vertex] + [scribble.width], name)
    if not any(_on_plane(y, x, shape) for y, x in scribble.samples(1.0)):
        raise _outside(name, shape)
    return replace(scribble, path=tuple(_clamped(v, shape) for v in scribble.path))


def _check_box(box: BoxPrompt, shape: Shape) -> BoxPrompt:
    corners = (box.y0, box.x0, box.y1, box.x1)
    name = "the box ({:g}, {:g}, {:g}, {:g})".format(*corners)
    _check_finite(corners, name)
    (y0, y1), (x0, x1) = sorted((box.y0, box.y1)), sorted((box.x0, box.x1))
    cut = BoxPrompt(max(y0, -0.5), max(x0, -0.5), min(y1, shape[0] - 0.5), min(x1, shape[1] - 0.5))
    if cut.height < 0 or cut.width < 0:
        raise _outside(name, shape)
    if cut.height < 1 or cut.width < 1:
        raise PromptError(
            f"{name} is thinner than one pixel", todo="Drag it over the object, or click a point"
        )
    return cut


def _check_mask(mask: MaskPrompt, shape: Shape) -> MaskPrompt:
    cut = _cut_mask(mask, Box.of_shape(shape))
    if cut is None or not cut.mask.any():
        where = "is empty" if not mask.mask.any() else f"lies outside the {_text(shape)} plane"
        raise PromptError(f"the mask prompt {where}")
    return cut


def _check_diameter(diameter: float | None) -> float | None:
    if diameter is not None and not (math.isfinite(diameter) and diameter > 0):
        raise PromptError(f"a diameter of {diameter:g} pixels makes no sense")
    return diameter


def check_text(text: str) -> str:
    """Return a name without blanks round it.

    Raises
    ------
    PromptError
        If it is longer than any name, or not one line.
    """
    name = text.strip()
    if len(name) > MAX_TEXT or not name.isprintable():
        raise PromptError(
            f"{name[:40]!r} is no name of a thing",
            todo=f"Say in one line of up to {MAX_TEXT} letters what to look for, e.g. nucleus",
        )
    return name


def _check_finite(values: Iterable[float], name: str) -> None:
    if not all(math.isfinite(v) for v in values):
        raise PromptError(f"{name} is not a finite position")


def _on_plane(y: float, x: float, shape: Shape) -> bool:
    return bool(-0.5 <= y <= shape[0] - 0.5 and -0.5 <= x <= shape[1] - 0.5)


def _clamped(position: Position, shape: Shape) -> Position:
    y, x = (min(max(float(v), 0.0), n - 1.0) for v, n in zip(position, shape, strict=True))
    return y, x


def _outside(name: str, shape: Shape) -> PromptError:
    return PromptError(f"{name} lies outside the {_text(shape)} plane")


def _text(shape: Shape) -> str:
    return f"{shape[0]} x {shape[1]}"


def _runs_inside(scribble: ScribblePrompt, box: Box) -> Iterator[ScribblePrompt]:
    """Yield the pieces of a stroke that lie in a box; a stroke wholly inside stays as it is."""
    if all(box.contains(*v) for v in scribble.path):
        yield scribble
        return
    run: list[Position] = []
    for y, x in scribble.samples(1.0).tolist():
        if box.contains(y, x):
            run.append((y, x))
        elif run:
            yield replace(scribble, path=tuple(run))
            run = []
    if run:
        yield replace(scribble, path=tuple(run))


def _cut_box(prompt: BoxPrompt, box: Box) -> BoxPrompt | None:
    cut = BoxPrompt(
        max(prompt.y0, box.y0 - 0.5),
        max(prompt.x0, box.x0 - 0.5),
        min(prompt.y1, box.y1 - 0.5),
        min(prompt.x1, box.x1 - 0.5),
    )
    return cut if cut.height > 0 and cut.width > 0 else None


def _cut_mask(prompt: MaskPrompt, box: Box) -> MaskPrompt | None:
    common = prompt.box.intersect(box)
    if common.is_empty:
        return None
    inside = common.shift(-prompt.box.y0, -prompt.box.x0)
    return MaskPrompt(common, prompt.mask[inside.slices])
