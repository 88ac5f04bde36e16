"""Merge, split, delete and renumber accepted objects: each one job, one step of Undo."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet, ScribblePrompt
from napari_ditto.data.protocols import LabelStore
from napari_ditto.engine import objects
from napari_ditto.engine.object_splitting import part_planes, split_by_clicks, split_by_line
from napari_ditto.engine.objects import Changed, LabelImage
from napari_ditto.errors import LabelsError
from napari_ditto.ui.history import PromptEdit
from napari_ditto.ui.job_values import Written
from napari_ditto.ui.objects.edit_stage import EditStage
from napari_ditto.ui.objects.picking import Picking
from napari_ditto.ui.parts import Tools
from napari_ditto.ui.touching import label_at

DRAW_CUT = "Draw a line across the object with the mouse: it is cut there; H lets it be"
ASK_ID = "New id of object {}"
ASK_ALL = (
    "Give the objects of '{}' the ids 1, 2, 3, … without gaps, on all planes?\n"
    "Each keeps its pixels and its class. Undo brings the old ids back."
)

Steps = Callable[[LabelImage], Generator[Progress, None, Changed]]


@dataclass(frozen=True, eq=False)
class Target:
    """What is worked on: labels, and the plane on show.

    Attributes
    ----------
    layer : str
        Unique id of the Labels layer.
    image : LabelImage
        What it shows.
    plane : PlaneAddress
        The plane on show.
    shape : (int, int)
        Its height and width.
    """

    layer: str
    image: LabelImage
    plane: PlaneAddress
    shape: tuple[int, int]


class Editing:
    """What the keys and buttons of objects do.

    Attributes
    ----------
    everywhere : bool
        Whether to split and delete on all planes; else on the one that is shown.
    cutting : bool
        Whether the next line that is drawn cuts an object.
    """

    def __init__(self, tools: Tools, picking: Picking, stage: EditStage) -> None:
        self._tools, self._session, self._scene = tools, tools.session, tools.scene
        self._picking, self._stage = picking, stage
        self.everywhere = self.cutting = False

    # --- merge -----------------------------------------------------------------------------------

    def merge(self) -> None:
        """Make one object of the picked ones, or of those under a line that is drawn."""
        target, ids, stroke = self._target(), self._picking.picked.ids, self._stroke()
        if len(ids) < 2 and stroke is None:
            raise LabelsError(
                "merge: fewer than two objects are picked",
                todo="Pick them with Shift+O, or draw a line over them",
            )

        def steps(image: LabelImage) -> Generator[Progress, None, Changed]:
            wanted = ids if len(ids) > 1 else labels_under(target, stroke)
            return (yield from objects.merge(image, wanted))

        def done(changed: Changed) -> str:
            first, *others = changed.became
            text = f"{_named(others)} went into object {first}"
            self._picking.pick(target.layer, (first,), text)
            return text

        self._change("merge", target, steps, done, uses_prompts=len(ids) < 2)

    # --- split -----------------------------------------------------------------------------------

    def split(self) -> None:
        """Cut along a line that is drawn, or between clicks; without them, let a line be drawn."""
        prompts = self._drawn()
        if self.cutting:
            self.cancelled()
        elif self._stroke() is None and len(prompts.points) < 2:
            self._target()
            self._take_up_line()
        else:
            self._split(prompts)

    def prompted(self) -> None:
        """Cut along the line that was waited for."""
        if self.cutting and self._stroke() is not None:
            self.cancelled()
            self._split(self._drawn())

    def _take_up_line(self) -> None:
        self._stage.take_up_line(self._shapes)
        self.cutting, self._session.hint = True, DRAW_CUT

    def _shapes(self) -> str:
        layer = self._scene.add_boxes(self._session.images)
        self._tools.prompting.use(layer)
        return layer

    def _split(self, prompts: PromptSet) -> None:
        target, picked = self._target(), self._picking.picked.one
        everywhere, stroke = self.everywhere, _last_stroke(prompts)
        clicks = [(target.plane, round(p.y), round(p.x)) for p in prompts.points]

        def steps(image: LabelImage) -> Generator[Progress, None, Changed]:
            if stroke is not None:
                label = picked or most_under(target, stroke)
                path = np.array(stroke.path)
                return (yield from split_by_line(image, label, path, target.plane, everywhere))
            label = picked or label_at(image.store, target.plane, target.shape, clicks[0][1:])
            if not label:
                raise LabelsError(
                    "split: the first click lies on no object", todo="Click on both of its parts"
                )
            return (yield from split_by_clicks(image, label, clicks, target.plane, everywhere))

        self._change("split", target, steps, self._parted, uses_prompts=True)

    def split_planes(self) -> None:
        """Give what the picked object is from this plane on an id of its own."""
        target, label = self._target(), self._one("split")
        self._change(
            "split", target, lambda image: part_planes(image, label, target.plane),
            self._parted,
        )  # fmt: skip

    def _parted(self, changed: Changed) -> str:
        ((label, parts),) = changed.became.items()
        self._picking.let_go()
        return f"Object {label} was split: {', '.join(map(str, parts))}"

    # --- delete ----------------------------------------------------------------------------------

    def delete(self) -> None:
        """Remove the picked objects, or the one under the cursor."""
        target, ids = self._target(), self._picking.picked.ids
        at = self._scene.pointed_at(self._session.images)
        plane = None if self.everywhere else target.plane

        def steps(image: LabelImage) -> Generator[Progress, None, Changed]:
            pointed = label_at(image.store, target.plane, target.shape, at) if at else 0
            wanted = ids or ((pointed,) if pointed else ())
            if not wanted:
                raise LabelsError(
                    "delete: no object is picked, and none is under the cursor",
                    todo="Point at one, or pick some with Shift+O",
                )
            return (yield from objects.delete(image, wanted, plane))

        def done(changed: Changed) -> str:
            self._picking.let_go()
            gone = _named(changed.became) if changed.became else "The object"
            return f"{gone} was removed" + ("" if changed.became else " from this plane")

        self._change("delete", target, steps, done)

    # --- ids -------------------------------------------------------------------------------------

    def renumber(self) -> None:
        """Give the picked object an id that the user says, or all objects the ids 1, 2, 3, ..."""
        target, label = self._target(), self._picking.picked.one
        if label:
            suggestion = str(target.image.next_free()[0])
            answer = self._tools.ask.ask_text(ASK_ID.format(label), suggestion)
            if answer:
                new = _number(answer)
                self._change(
                    "new id", target, lambda image: objects.give_id(image, label, new),
                    lambda _: self._renumbered(target.layer, label, new),
                )  # fmt: skip
        elif self._tools.ask.confirm(ASK_ALL.format(self._scene.stage.name(target.layer))):
            self._change("renumber", target, objects.renumber, self._all_renumbered)

    def _renumbered(self, layer: str, label: int, new: int) -> str:
        text = f"Object {label} is object {new} now"
        self._picking.pick(layer, (new,), text)
        return text

    def _all_renumbered(self, changed: Changed) -> str:
        self._picking.let_go()
        changes = len(changed.became)
        return "1 object has a new id" if changes == 1 else f"{changes:,} objects have new ids"

    # --- what they share -------------------------------------------------------------------------

    def cancelled(self) -> None:
        """Wait for no line any more."""
        if self.cutting:
            self.cutting, self._session.hint = False, ""
            self._stage.put_down()

    def _target(self) -> Target:
        picked, source = self._picking.picked, self._tools.proposing.setup().source
        layer, images = picked.layer or self._picking.target(), self._session.images
        store: LabelStore = self._scene.label_store(layer, source, images)
        plane = self._scene.address(images)
        return Target(layer, LabelImage(store, source.axes), plane, source.plane_shape(plane))

    def _one(self, what: str) -> int:
        label = self._picking.picked.one
        if not label:
            raise LabelsError(f"{what}: not one object is picked", todo="Pick it with Shift+O")
        return label

    def _drawn(self) -> PromptSet:
        """Return what our layers hold on the plane, as it is at this moment."""
        return self._scene.prompts(self._session.prompt_layers, self._session.images).prompts

    def _stroke(self) -> ScribblePrompt | None:
        return _last_stroke(self._drawn())

    def _change(
        self,
        text: str,
        target: Target,
        steps: Steps,
        done: Callable[[Changed], str],
        *,
        uses_prompts: bool = False,
    ) -> None:
        """Run an operation, then say what it has done."""
        found: list[Changed] = []

        def job() -> Generator[Progress, None, Written]:
            changed = yield from steps(target.image)
            # Here, not on the main thread: on disk this takes as long as the writes themselves.
            getattr(target.image.store, "flush", lambda: None)()
            found.append(changed)
            return Written(target.image.store, changed.deltas, became=changed.became, text=text)

        def finished() -> None:
            self._session.hint = done(found[0])

        prompts = self._tools.prompting.clear() if uses_prompts else PromptEdit.nothing()
        self._tools.labelling.write_to(target.layer, job, finished, prompts)
        self._tools.proposing.look()


def labels_under(target: Target, stroke: ScribblePrompt | None) -> list[int]:
    """Return the objects that a stroke passes over, in the order in which it does."""
    found = dict.fromkeys(_labels_along(target, stroke).tolist() if stroke else ())
    ids = [label for label in found if label > 0]
    if len(ids) < 2:
        passed = f"only over object {ids[0]}" if ids else "over no object"
        raise LabelsError(f"merge: the line runs {passed}", todo="Draw it over two or more")
    return ids


def most_under(target: Target, stroke: ScribblePrompt) -> int:
    """Return the object that a stroke passes over most."""
    ids, counts = np.unique(_labels_along(target, stroke), return_counts=True)
    counts[ids <= 0] = 0
    if not counts.any():
        raise LabelsError("split: the line runs over no object", todo="Draw it across one")
    return int(ids[counts.argmax()])


def _labels_along(target: Target, stroke: ScribblePrompt) -> NDArray[np.integer]:
    """Return the labels of the pixels under a stroke, of which a few rows are read at a time."""
    at = np.floor(stroke.samples(0.5) + 0.5).astype(np.intp)
    at = at[((at >= 0) & (at < target.shape)).all(axis=1)]
    pieces = []
    for some in np.array_split(at, max(1, len(at) // 256)):
        if len(some):
            (y0, x0), (y1, x1) = some.min(axis=0).tolist(), (some.max(axis=0) + 1).tolist()
            block = target.image.store.read(target.plane, Box(y0, x0, y1, x1))
            pieces.append(block[some[:, 0] - y0, some[:, 1] - x0])
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=target.image.store.dtype)


def _last_stroke(prompts: PromptSet) -> ScribblePrompt | None:
    return prompts.scribbles[-1] if prompts.scribbles else None


def _number(answer: str) -> int:
    try:
        return int(answer)
    except ValueError:
        raise LabelsError(f"{answer!r:.40} is no id", todo="Give a whole number") from None


def _named(ids: Iterable[int]) -> str:
    shown = [str(label) for label in ids]
    return f"Object {shown[0]}" if len(shown) == 1 else f"Objects {', '.join(shown)}"
