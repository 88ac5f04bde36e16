"""Our keys, in one table: what they do, and what the buttons say about them.

Keys are bound on single layers that take our prompts, never on the viewer or on a class of layers,
and none of them is one of napari's own (a test compares the table with napari's registries).
napari does not read keys from a plugin's manifest, see ``_npe2_manifest_to_actions`` in 0.9.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer

Handler = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that the user can do with a button, a menu entry or a key.

    Attributes
    ----------
    label : str
        What the button says.
    help : str
        Its tooltip.
    keys : tuple of str
        Keys on our prompt layers, the first one is shown; ``Ctrl`` is Command on a Mac.
    """

    label: str
    help: str
    keys: tuple[str, ...] = ()


# One hand stays on the mouse: what is pressed most lies under the other. K is kept for a sheet of
# all keys.
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "open_dock": Action("Open Ditto", "Show the dock"),
        "new_points": Action("Points", "Click on the object; more clicks refine the mask"),
        "new_boxes": Action("Boxes", "Drag a rectangle round the object, or draw a rough shape"),
        "toggle_sign": Action(
            "Include / exclude",
            "Switch between clicks on the object and clicks beside it; "
            "in select mode, flip what is selected",
            ("W",),
        ),
        "next_proposal": Action("Next mask", "Show the next proposal of the model", ("N",)),
        "accept": Action("Accept", "Write the mask as a new label, and go on", ("Q",)),
        "touch_up": Action(
            "Touch up",
            "Correct the mask by hand with napari's brush, eraser and fill, then accept it; "
            "without a mask: the label under the cursor, or the chosen one",
            ("Shift+T",),
        ),
        "swap_model": Action(
            "Other model",
            "Ask the model classic about the same prompts, or the chosen model again",
            ("C",),
        ),
        "undo": Action("Undo", "Take back the last prompt or label", ("Ctrl+Z", "U")),
        "redo": Action("Redo", "Do again what was undone", ("Ctrl+Shift+Z",)),
        "clear": Action("Clear", "Remove the prompts on this plane", ("J",)),
        "segment_all": Action(
            "Segment everything here", "Label every object on this plane", ("G",)
        ),
        "cancel": Action("Cancel", "Stop; what is finished is kept", ("H",)),
        "open_examples": Action("Open Ditto examples", "Show the dock of examples"),
        "add_example": Action(
            "Add example",
            "Take the labels on this plane as an example of what you look for",
            ("Shift+E",),
        ),
        "draw_example": Action(
            "From drawing",
            "Take what you drew on this plane; the model outlines it first, and you see it "
            "before it is used",
        ),
        "like": Action(
            "More like this", "Find everything that looks like the examples", ("Shift+M",)
        ),
        "follow": Action(
            "Follow", "Carry the labels along, plane by plane, in both directions", ("Shift+F",)
        ),
        "tune": Action(
            "Tune (1 min)",
            "Let the model fit itself to the examples for a minute; saved under a name",
        ),
        "save_examples": Action("Save set…", "Write these examples to one small file"),
        "load_examples": Action("Load set…", "Add the examples of a file, of any image"),
        "next_doubt": Action(
            "Next", "Go to the next doubtful object, the worst first", ("Shift+N",)
        ),
        "accept_doubt": Action("Accept as is", "It is right: go on to the next", ("Shift+Q",)),
        "fix_doubt": Action(
            "Fix", "Click on the object and accept: the new mask takes its place", ("Shift+X",)
        ),
        "delete_doubt": Action("Delete", "Remove the object from this plane", ("Shift+D",)),
        "export_tracks": Action("Export tracks…", "Write them for other programs: CTC or GEFF"),
    }
)

REVIEW_ACTIONS = (
    *("add_example", "like", "follow"),
    *("next_doubt", "accept_doubt", "fix_doubt", "delete_doubt", "cancel"),
)
"""Actions whose keys work on the Labels layers, too, that examples or results are in."""

TOUCH_ACTIONS = ("accept", "touch_up", "cancel")
"""Actions whose keys work on the layer in which an object is corrected by hand."""


def button_text(action: str, label: str = "") -> str:
    """Return a button's text with its key: ``"Accept (Q)"``; `label` replaces the usual one."""
    entry = ACTIONS[action]
    label = label or entry.label
    return f"{label} ({_shown(entry.keys[0])})" if entry.keys else label


def _shown(key: str) -> str:
    return key.replace("Ctrl", "Cmd") if sys.platform == "darwin" else key


def native(key: str) -> str:
    """Return a key as napari's ``bind_key`` wants it on this system."""
    return key.replace("Ctrl", "Meta") if sys.platform == "darwin" else key


def bind(layer: Layer, handlers: Mapping[str, Handler]) -> Callable[[], None]:
    """Bind the keys of some actions on one layer.

    Parameters
    ----------
    layer : napari layer
        A layer that takes prompts. Keys that somebody else bound on it are left alone.
    handlers : mapping of str to callable
        What to call, by action.

    Returns
    -------
    callable
        Takes back exactly these bindings.
    """
    taken = {str(key) for key in layer.keymap}
    pressed = {native(key): handlers[name] for name in handlers for key in ACTIONS[name].keys}
    ours = {key: _on_layer(handler) for key, handler in pressed.items() if key not in taken}
    for key, call in ours.items():
        layer.bind_key(key, call)

    def unbind() -> None:
        for key, call in ours.items():
            bound = next((f for k, f in layer.keymap.items() if str(k) == key), None)
            if bound is call:
                layer.bind_key(key, None)

    return unbind


def _on_layer(handler: Handler) -> Callable[[Layer], None]:
    def call(_: Layer) -> None:
        handler()

    return call
