"""What the dock "Ditto examples" shows, worked out from the sessions by pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.propagation import Doubt
from napari_ditto.ui.dockstate import Button, when
from napari_ditto.ui.examples.session import ExamplesSession, Mark, Position, Row
from napari_ditto.ui.session import Choice, Session

NO_TUNED = Choice("", "none", "The examples as they are")
FIRST_HINT = "Label one object, in any way; then press 'More like this' or 'Follow'"
READY_HINT = "Press 'More like this' or 'Follow'"
DONE_HINT = "Correct what is wrong; Undo takes it back"
NOT_TRACKS = "Follow cells that move and divide first"


@dataclass(frozen=True, eq=False)
class RowState:
    """One line of the list of examples."""

    key: str
    name: str
    note: str
    enabled: bool
    negative: bool
    partial: bool
    picture: NDArray[np.uint8] | None
    changed: str = ""


@dataclass(frozen=True)
class ExamplesState:
    """Everything the dock draws; see :class:`ExamplesSession` for the meaning of the fields.

    Attributes
    ----------
    hint : str
        What to do next, for the status line when there is nothing else to say.
    sharpened : str
        What has become of a drawing, ``""`` if none waits.
    doubts : tuple of (Doubt, str)
        The review list, and where each is in words.
    review : str
        The list in one line.
    buttons : mapping of str to Button
        By action.
    """

    rows: tuple[RowState, ...] = ()
    hint: str = FIRST_HINT
    sharpened: str = ""
    only_selected: bool = False
    one_kind: bool = True
    where: str = "plane"
    images: tuple[Choice, ...] = ()
    other_images: tuple[str, ...] = ()
    threshold: float = 0.0
    has_result: bool = False
    found: str = ""
    tuned_choices: tuple[Choice, ...] = (NO_TUNED,)
    tuned: str = ""
    tuning: str = ""
    axis_choices: tuple[Choice, ...] = ()
    axis: str = ""
    planes: int = 0
    first: int = 0
    last: int = 0
    kind: str = "objects"
    into: str = "same"
    followed: str = ""
    doubts: tuple[tuple[Doubt, str], ...] = ()
    doubt: int = -1
    review: str = ""
    marks: tuple[Mark, ...] = ()
    shown: Position | None = None
    keep_fixed: bool = False
    buttons: Mapping[str, Button] = field(default_factory=dict)


def _hint(examples: ExamplesSession) -> str:
    if not examples.enabled:
        return FIRST_HINT
    return DONE_HINT if examples.has_result or examples.followed else READY_HINT


def resolve_examples(session: Session, examples: ExamplesSession) -> ExamplesState:
    """Return what the dock of examples shows."""
    return ExamplesState(
        rows=tuple(_row(row, len(examples.rows) > 1) for row in examples.rows),
        hint=_hint(examples),
        sharpened=_sharpened(examples),
        only_selected=examples.only_selected,
        one_kind=examples.one_kind,
        where=examples.where,
        images=session.image_choices,
        other_images=examples.other_images,
        threshold=examples.threshold,
        has_result=examples.has_result,
        found=examples.found,
        tuned_choices=(NO_TUNED, *examples.tuned_choices),
        tuned=examples.tuned,
        tuning=examples.tuning,
        axis_choices=examples.axis_choices,
        axis=examples.axis,
        planes=examples.planes,
        first=examples.first,
        last=examples.last,
        kind=examples.kind,
        into=examples.into,
        followed=examples.followed,
        doubts=tuple((doubt, place(doubt)) for doubt in examples.doubts),
        doubt=examples.doubt,
        review=_review(examples),
        marks=examples.marks,
        shown=examples.shown,
        keep_fixed=examples.keep_fixed,
        buttons=_buttons(session, examples),
    )


def _row(row: Row, compared: bool) -> RowState:
    example = row.example
    return RowState(
        row.key,
        example.name,
        _note(row, compared),
        example.enabled,
        example.negative,
        example.partial,
        row.picture,
        row.changed,
    )


def _note(row: Row, compared: bool) -> str:
    """Return what there is to say about an example; similarities only if there are several."""
    if row.changed:
        return "labels have changed" if row.changed == "edited" else "its layer is gone"
    said = ["1 object" if row.objects == 1 else f"{row.objects} objects"]
    if row.example.negative:
        said.append("none of this")
    elif row.example.partial:
        said.append("partial")
    if compared and row.similarity is not None:
        said.append(f"alike {row.similarity:.0%}")
    return " · ".join(said)


def _sharpened(examples: ExamplesSession) -> str:
    if examples.sharpened is None:
        return ""
    n = examples.sharpened.objects
    return f"{n} {'object' if n == 1 else 'objects'} outlined after your drawing. Use as example?"


def place(doubt: Doubt) -> str:
    """Return where a doubt is: ``"z 12"``."""
    return ", ".join(f"{axis} {index}" for axis, index in doubt.address.fixed)


def _review(examples: ExamplesSession) -> str:
    count = len(examples.doubts)
    if not examples.marks and not count:
        return "Nothing to review yet: run 'Follow' first"
    if not count:
        return "Nothing is doubtful"
    return f"{count} doubtful, the worst first"


def _buttons(session: Session, examples: ExamplesSession) -> dict[str, Button]:
    free = when(not session.working, "Wait for what is running, or cancel it")
    image = when(bool(session.images), "Open an image first")
    labels = when(bool(session.target_choices), "Label an object first, with Ditto or with a brush")
    drawn = when(not session.prompts.is_empty, "Draw round an object, or across it, first")
    shown = _first_no(when(session.address is not None, "Show a plane in 2-D first"), image)
    source = when(bool(examples.rows) or labels.enabled, labels.why)
    axis = when(bool(examples.axis), "This image has only one plane: there is nothing to follow")
    doubt = when(examples.current is not None, "Choose a line of the table first")
    some = when(bool(examples.rows), "Add an example first")
    return {
        "add_example": _first_no(image, labels, shown),
        "draw_example": _first_no(image, drawn, shown, free),
        "like": _first_no(image, source, shown, free),
        "follow": _first_no(image, axis, source, shown, free),
        "tune": _first_no(image, some, free),
        "save_examples": _first_no(some, free),
        "load_examples": _first_no(image, free),
        "next_doubt": when(bool(examples.doubts), "Nothing is doubtful"),
        "accept_doubt": doubt,
        "fix_doubt": _first_no(doubt, free),
        "delete_doubt": _first_no(doubt, free),
        "export_tracks": _first_no(when(examples.can_export, NOT_TRACKS), free),
    }


def _first_no(*buttons: Button) -> Button:
    """Return the first reason against, if any."""
    return next((button for button in buttons if not button.enabled), Button())
