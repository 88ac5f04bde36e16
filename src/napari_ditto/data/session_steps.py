"""Accepted objects of a session: what was asked of which model, and the pixels that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet, ScribblePrompt
from napari_ditto.core.window import Window
from napari_ditto.data.checked import Facts, Misfit
from napari_ditto.data.packed_mask import MAX_PIXELS, PackedMask
from napari_ditto.data.protocols import OverlapPolicy

MAX_AXES = 12
MAX_PROMPTS = 100_000


@dataclass(frozen=True, eq=False)
class PromptStep:
    """One object that a model outlined after prompts, and that was accepted.

    Attributes
    ----------
    label : int
        The id it was written under.
    address : PlaneAddress
        The plane.
    prompts : PromptSet
        What was asked, plane coordinates at level 0.
    choice : int
        Which candidate.
    images : tuple of str
        Keys of the images, one to three, whose channels were looked at.
    window : Window
        Raw values that counted as black and white.
    model, device : str
        As for :func:`napari_ditto.load_model`.
    model_key : str
        ``ModelSpec.key``: changes with the weights.
    overlap : {"keep", "replace"}
        What became of other labels under it.
    written : PackedMask
        The pixels that changed to `label`.
    taken : PackedMask
        Pixels of the object that were left as they were.
    refinement : mapping
        What was done to the mask between the model and the label, as JSON; empty for nothing.
    """

    label: int
    address: PlaneAddress
    prompts: PromptSet
    choice: int
    images: tuple[str, ...]
    window: Window
    model: str
    device: str
    model_key: str
    overlap: OverlapPolicy
    written: PackedMask
    taken: PackedMask
    refinement: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """About the memory it takes."""
        return 1000 + len(self.written.bits) + len(self.taken.bits)

    def to_json(self) -> dict[str, Any]:
        """Return the step as JSON types; numbers come back as the very same."""
        told: dict[str, Any] = {
            "label": self.label,
            "plane": plane_to_json(self.address),
            "prompts": prompts_to_json(self.prompts),
            "choice": self.choice,
            "images": list(self.images),
            "window": [list(self.window.low), list(self.window.high)],
            "model": self.model,
            "device": self.device,
            "model_key": self.model_key,
            "overlap": self.overlap,
            "written": self.written.to_json(),
        }
        if not self.taken.box.is_empty:
            told["taken"] = self.taken.to_json()
        if self.refinement:
            told["refinement"] = dict(self.refinement)
        return told

    @classmethod
    def from_json(cls, told: Facts) -> PromptStep:
        """Check and return a step."""
        return cls(
            told.whole("label", 1),
            plane_from_json(told.facts("plane")),
            prompts_from_json(told.facts("prompts")),
            told.whole("choice", 0, 1000),
            told.texts("images", 3),
            _window(told),
            told.text("model"),
            told.text("device"),
            told.text("model_key"),
            cast("OverlapPolicy", told.choice("overlap", ("keep", "replace"))),
            PackedMask.from_json(told.facts("written")),
            PackedMask.from_json(Facts(told.told.get("taken", {"box": [0, 0, 0, 0]}))),
            told.facts("refinement").told,
        )


def _window(told: Facts) -> Window:
    pairs = told.items("window", 2)
    if len(pairs) != 2:
        raise Misfit("a step has no intensity window")
    ends = Facts({"low": pairs[0], "high": pairs[1]})
    try:
        return Window(ends.numbers("low", most=3), ends.numbers("high", most=3))
    except ValueError as error:
        raise Misfit(str(error)) from error


def plane_to_json(address: PlaneAddress) -> dict[str, Any]:
    """Return a plane as JSON types."""
    fixed = [[name, index] for name, index in address.fixed]
    return {"rows": address.rows, "columns": address.columns, "fixed": fixed}


def plane_from_json(told: Facts) -> PlaneAddress:
    """Check and return a plane."""
    fixed = []
    for item in told.items("fixed", MAX_AXES):
        if not isinstance(item, list) or len(item) != 2:
            raise Misfit("a plane has no list of axes")
        pair = Facts({"axis": item[0], "index": item[1]})
        fixed.append((pair.text("axis"), pair.whole("index")))
    return PlaneAddress(told.text("rows"), told.text("columns"), tuple(fixed))


def prompts_to_json(prompts: PromptSet) -> dict[str, Any]:
    """Return prompts as JSON types."""
    told: dict[str, Any] = {}
    if prompts.points:
        told["points"] = [[p.y, p.x, p.positive] for p in prompts.points]
    if prompts.scribbles:
        told["scribbles"] = [
            {"path": [list(v) for v in s.path], "positive": s.positive, "width": s.width}
            for s in prompts.scribbles
        ]
    if prompts.box:
        told["box"] = [prompts.box.y0, prompts.box.x0, prompts.box.y1, prompts.box.x1]
    if prompts.mask:
        # Its box may be larger than what is set, and says where the user has painted.
        box = prompts.mask.box
        told["mask"] = PackedMask.of(prompts.mask.mask, box).to_json()
        told["mask_box"] = [box.y0, box.x0, box.y1, box.x1]
    if prompts.diameter is not None:
        told["diameter"] = prompts.diameter
    if prompts.text:
        told["text"] = prompts.text
    return told


def prompts_from_json(told: Facts) -> PromptSet:
    """Check and return prompts."""
    box = BoxPrompt(*told.numbers("box", 4)) if "box" in told else None
    return PromptSet(
        tuple(_point(item) for item in told.items("points", MAX_PROMPTS)),
        tuple(_scribble(row) for row in told.rows("scribbles", MAX_PROMPTS)),
        box,
        _mask(told) if "mask" in told else None,
        told.number("diameter") if "diameter" in told else None,
        told.text("text", ""),
    )


def _point(item: object) -> PointPrompt:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], bool):
        raise Misfit(f"{item!r:.40} is no point")
    y, x = Facts({"at": item[:2]}).numbers("at", 2)
    return PointPrompt(y, x, item[2])


def _scribble(row: Facts) -> ScribblePrompt:
    vertices = [Facts({"at": v}).numbers("at", 2) for v in row.items("path", MAX_PROMPTS)]
    if not vertices:
        raise Misfit("a scribble without a path")
    path = tuple((y, x) for y, x in vertices)
    return ScribblePrompt(path, row.flag("positive"), row.number("width"))


def _mask(told: Facts) -> MaskPrompt:
    packed = PackedMask.from_json(told.facts("mask"))
    corners = told.wholes("mask_box", 4, low=-MAX_PIXELS)
    box = Box(*corners) if len(corners) == 4 else packed.box
    if not box.covers(packed.box) or box.area > MAX_PIXELS:
        raise Misfit("a mask does not lie in its box")
    mask = np.zeros(box.shape, dtype=bool)
    mask[packed.box.shift(-box.y0, -box.x0).slices] = packed.unpack()
    return MaskPrompt(box, mask)
