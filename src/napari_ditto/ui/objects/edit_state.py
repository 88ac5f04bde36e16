"""What the row of buttons for objects shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_ditto.ui.dockstate import Button, when
from napari_ditto.ui.objects.picking import Picked
from napari_ditto.ui.session import NEW_LABELS, Session

MANY = 8
"""More ids than these are counted rather than listed."""


@dataclass(frozen=True)
class EditState:
    """What can be done to objects now.

    Attributes
    ----------
    text : str
        Which objects are picked.
    ids : tuple of int
        The same, for programs.
    layer : str
        Unique id of their Labels layer.
    picking : bool
        Whether clicks on the canvas pick objects.
    cutting : bool
        Whether the next line cuts an object.
    everywhere : bool
        Whether all planes are meant where that makes a difference.
    has_planes : bool
        Whether it does.
    buttons : mapping of str to Button
        By action.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    layer: str = ""
    picking: bool = False
    cutting: bool = False
    everywhere: bool = False
    has_planes: bool = False
    buttons: Mapping[str, Button] = field(default_factory=dict)


def resolve_edit(
    session: Session, picked: Picked, *, picking: bool, cutting: bool, everywhere: bool
) -> EditState:
    """Return what is shown of a session and of what is picked."""
    has_planes = session.address is not None and bool(session.address.fixed)
    labels = when(
        bool(session.target != NEW_LABELS or session.target_choices) and bool(session.images),
        "There are no labels yet: accept an object first",
    )
    some = when(bool(picked.ids), "Pick an object first (Shift+O)") if labels.enabled else labels
    one = when(bool(picked.one), "Pick one object first (Shift+O)") if labels.enabled else labels
    planes = when(has_planes, "The image has one plane only")
    strokes = bool(session.prompts.scribbles)
    merge = when(
        len(picked.ids) > 1 or strokes, "Pick two objects first (Shift+O), or draw a line over them"
    )
    return EditState(
        text=_text(picked.ids),
        ids=picked.ids,
        layer=picked.layer,
        picking=picking,
        cutting=cutting,
        everywhere=everywhere,
        has_planes=has_planes,
        buttons={
            "pick_tool": labels,
            "merge_objects": merge if labels.enabled else labels,
            "split_object": labels,
            "split_planes": one if planes.enabled else planes,
            "delete_objects": some,
            "renumber_objects": labels,
            "touch_up": one,
            "next_doubt": labels,
        },
    )


def _text(ids: tuple[int, ...]) -> str:
    if not ids:
        return "No object is picked"
    if len(ids) > MANY:
        return f"{len(ids)} objects are picked"
    return f"Picked: {', '.join(map(str, ids))}"
