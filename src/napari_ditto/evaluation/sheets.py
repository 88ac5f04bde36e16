"""Contact sheets: the best, median and worst objects of a set, with truth, answer and prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.prompts import Frame, PromptSet
from napari_ditto.evaluation.cases import Case, cases, choose
from napari_ditto.evaluation.metrics import iou
from napari_ditto.evaluation.prompted import Row, ask
from napari_ditto.evaluation.runs import Settings, encode, load_method
from napari_ditto.evaluation.sets import EvalSet
from napari_ditto.evaluation.summary import pick
from napari_ditto.models.protocols import PromptModel

if TYPE_CHECKING:
    from PIL import ImageDraw

PROMPTS = ("click", "box")
COLUMNS = 4
SIDE, CAPTION, GAP = 176, 16, 4
"""Pixels of a cell, of its caption, and between cells."""

MARGIN = 0.35
"""Surroundings shown, as a part of the object's side."""

TRUTH, ANSWER, PROMPT = (0, 220, 0), (255, 0, 200), (255, 220, 0)

Picture = NDArray[np.uint8]


def write_sheets(
    folder: Path,
    given: Sequence[EvalSet],
    models: Sequence[str],
    rows: Sequence[Row],
    settings: Settings,
) -> list[Path]:
    """Write a PNG for each set, model and one of :data:`PROMPTS`; return their paths."""
    made = []
    for one in given:
        for name in models:
            for prompt in PROMPTS:
                chosen = pick(rows, one.name, name, prompt)
                if chosen:
                    model = load_method(name, settings.device)
                    safe = "".join(c if c.isalnum() else "_" for c in f"{one.name}-{name}-{prompt}")
                    path = folder / f"{safe}.png"
                    _save(path, sheet(one, model, extremes(chosen), prompt, settings))
                    made.append(path)
    return made


def extremes(rows: Sequence[Row], count: int = COLUMNS) -> list[list[Row]]:
    """Return the best, the middle and the worst rows by IoU; fewer where there are few."""
    order = sorted(rows, key=lambda r: -r.iou)
    middle = max(0, (len(order) - count) // 2)
    return [order[:count], order[middle : middle + count], order[-count:]]


def sheet(
    given: EvalSet,
    model: PromptModel,
    lines: Sequence[Sequence[Row]],
    prompt: str,
    settings: Settings,
) -> Picture:
    """Return the picture of some objects, a line of cells for each sequence of rows.

    The objects are segmented again, so no masks need to be kept during a run.
    """
    wanted = {(r.image, r.number) for line in lines for r in line}
    targets = [
        t
        for t in choose(given, settings.objects, settings.seed)
        if (t.picture.name, t.number) in wanted
    ]
    cells = {
        (case.picture, case.number): _cell(case, model, prompt)
        for case in cases(given, targets, settings.seed)
    }
    height, width = SIDE + CAPTION + GAP, SIDE + GAP
    whole = np.full((height * len(lines) + GAP, width * COLUMNS + GAP, 3), 255, np.uint8)
    for i, line in enumerate(lines):
        for j, row in enumerate(line):
            cell = cells[row.image, row.number]
            y, x = GAP + i * height, GAP + j * width
            whole[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return whole


def _cell(case: Case, model: PromptModel, prompt: str) -> Picture:
    from PIL import Image, ImageDraw

    said = case.prompts[prompt]
    (answer,) = ask(model, encode(model, case), [said])
    box = around(case.truth)
    zoom = SIDE / max(box.shape)
    size = (max(1, round(box.width * zoom)), max(1, round(box.height * zoom)))
    pixels = np.rint(255 * case.tile[box.slices]).astype(np.uint8)
    picture = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)).copy()
    for mask, colour in ((case.truth, TRUTH), (answer.shown, ANSWER)):
        large = Image.fromarray(mask[box.slices]).resize(size, Image.Resampling.NEAREST)
        picture[outline(np.asarray(large))] = colour
    canvas = Image.new("RGB", (SIDE, SIDE + CAPTION), (255, 255, 255))
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    _draw_prompt(draw, said.to_frame(Frame((1 / zoom, 1 / zoom), (box.y0 * zoom, box.x0 * zoom))))
    said_iou = float(answer.scores[answer.best])
    text = f"IoU {iou(answer.shown, case.truth):.2f}, said {said_iou:.2f}"
    draw.text((2, SIDE + 1), text, fill=(0, 0, 0))
    return np.asarray(canvas)


def _draw_prompt(draw: ImageDraw.ImageDraw, said: PromptSet) -> None:
    if said.box:
        draw.rectangle((said.box.x0, said.box.y0, said.box.x1, said.box.y1), outline=PROMPT)
    for point in said.points:
        spot = (point.x - 3, point.y - 3, point.x + 3, point.y + 3)
        draw.ellipse(spot, fill=PROMPT, outline=(0, 0, 0))


def around(truth: NDArray[np.bool_]) -> Box:
    """Return the window that is shown of a tile."""
    inside = bounding_box(truth)
    margin = max(8, round(MARGIN * max(inside.shape)))
    return inside.grow(margin).intersect(Box.of_shape(truth.shape))


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that touch what is outside of it."""
    inner = mask.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis)
    return np.asarray(mask & ~inner)


def _save(path: Path, pixels: Picture) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)
