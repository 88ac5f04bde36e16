"""Our keys, in one table: what they do, and what the buttons say about them.

Keys are bound on single layers that take our prompts, never on the viewer or on a class of layers,
and none of them is one of napari's own (a test compares the table with napari's registries).
napari does not read keys from a plugin's manifest, see ``_npe2_manifest_to_actions`` in 0.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from napari_ditto.ui.keys.binding import Bindings, Handler
from napari_ditto.ui.keys.spelling import shown
from napari_ditto.ui.keys.table import KeyTable


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
        Keys on the layers we work with, until the user chooses others (:data:`KEYS`); the first
        one is shown. ``Ctrl`` is Command on a Mac.
    topic : str
        Where the sheet of keys lists it.
    """

    label: str
    help: str
    keys: tuple[str, ...] = ()
    topic: str = "More"


# One hand stays on the mouse: what is pressed most lies under the other.
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "open_dock": Action("Open Ditto", "Show the dock", (), "Docks"),
        "new_points": Action(
            "Points", "Click on the object; more clicks refine the mask", (), "Prompts"
        ),
        "new_boxes": Action(
            "Boxes", "Drag a rectangle round the object, or draw a rough shape", (), "Prompts"
        ),
        "toggle_sign": Action(
            "Include / exclude",
            "Switch between clicks on the object and clicks beside it; "
            "in select mode, flip what is selected",
            ("W",),
            "Prompts",
        ),
        "next_proposal": Action(
            "Next mask", "Show the next proposal of the model", ("N",), "Masks"
        ),
        "toggle_hover": Action(
            "Live preview",
            "Show what a click would give before it is made, where the mouse rests",
            ("Shift+H",),
            "Masks",
        ),
        "accept": Action("Accept", "Write the mask as a new label, and go on", ("Q",), "Masks"),
        "touch_up": Action(
            "Touch up",
            "Correct the mask by hand with napari's brush, eraser and fill, then accept it; "
            "without a mask: the label under the cursor, or the chosen one",
            ("Shift+T",),
            "Masks",
        ),
        "swap_model": Action(
            "Other model",
            "Ask the model classic about the same prompts, or the chosen model again",
            ("C",),
            "Masks",
        ),
        "undo": Action("Undo", "Take back the last prompt or label", ("Ctrl+Z", "U"), "Undo"),
        "redo": Action("Redo", "Do again what was undone", ("Ctrl+Shift+Z",), "Undo"),
        "clear": Action("Clear", "Remove the prompts on this plane", ("J",), "Prompts"),
        "batch": Action(
            "Each point or box is its own object",
            "Click on many objects, then accept them all at once; exclusions count for the nearest",
            ("Shift+B",),
            "Prompts",
        ),
        "segment_all": Action(
            "Segment everything here", "Label every object on this plane", ("G",), "Whole plane"
        ),
        "cancel": Action("Cancel", "Stop; what is finished is kept", ("H",), "Whole plane"),
        "open_examples": Action("Open Ditto examples", "Show the dock of examples", (), "Docks"),
        "open_objects": Action(
            "Open Ditto objects", "All objects in a table, and their classes", (), "Docks"
        ),
        "open_models": Action(
            "Open Ditto models", "What each model is good at; get, add, measure", (), "Docks"
        ),
        "add_example": Action(
            "Add example",
            "Take the labels on this plane as an example of what you look for",
            ("Shift+E",),
            "Examples",
        ),
        "draw_example": Action(
            "From drawing",
            "Take what you drew on this plane; the model outlines it first, and you see it "
            "before it is used",
            (),
            "Examples",
        ),
        "like": Action(
            "More like this",
            "Find everything that looks like the examples",
            ("Shift+M",),
            "Examples",
        ),
        "follow": Action(
            "Follow",
            "Carry the labels along, plane by plane, in both directions",
            ("Shift+F",),
            "Examples",
        ),
        "tune": Action(
            "Tune (1 min)",
            "Let the model fit itself to the examples for a minute; saved under a name",
            (),
            "Examples",
        ),
        "save_examples": Action(
            "Save set…", "Write these examples to one small file", (), "Examples"
        ),
        "load_examples": Action(
            "Load set…", "Add the examples of a file, of any image", (), "Examples"
        ),
        "next_doubt": Action(
            "Next", "Go to the next doubtful object, the worst first", ("Shift+N",), "Review"
        ),
        "accept_doubt": Action(
            "Accept as is", "It is right: go on to the next", ("Shift+Q",), "Review"
        ),
        "fix_doubt": Action(
            "Fix",
            "Click on the object and accept: the new mask takes its place",
            ("Shift+X",),
            "Review",
        ),
        "delete_doubt": Action("Delete", "Remove the doubtful object", ("Shift+D",), "Review"),
        "export_labels": Action(
            "Export…",
            "Write the labels for other programs: polygons, COCO, ImageJ, GIS, tables, pixels",
        ),
        "export_tracks": Action(
            "Export tracks…", "Write them for other programs: CTC or GEFF", (), "Examples"
        ),
        "pick_object": Action(
            "Pick",
            "Pick the object under the cursor as well, or let it go; clicks refine the one that is "
            "picked, and Accept puts it back",
            ("Shift+O",),
            "Objects",
        ),
        "pick_tool": Action(
            "Pick by clicks",
            "Let clicks on the canvas pick objects, until you press it again",
            (),
            "Objects",
        ),
        "merge_objects": Action(
            "Merge",
            "Make one object of those that are picked, or of those under a line you have drawn",
            ("Shift+G",),
            "Objects",
        ),
        "split_object": Action(
            "Split",
            "Cut an object along a line you have drawn, or between clicks on its parts; "
            "without either, draw the line now",
            ("Shift+S",),
            "Objects",
        ),
        "split_planes": Action(
            "Part here",
            "What the picked object is from this plane on becomes an object of its own",
            (),
            "Objects",
        ),
        "delete_objects": Action(
            "Delete",
            "Remove the objects that are picked, or the one under the cursor",
            ("Shift+K",),
            "Objects",
        ),
        "renumber_objects": Action(
            "Renumber",
            "Give the picked object another id, or all objects the ids 1, 2, 3, …",
            ("Shift+R",),
            "Objects",
        ),
        "next_class": Action(
            "Class of the next object",
            "Let the next object have the next of the classes, or none",
            ("Shift+C",),
            "Objects",
        ),
        "save_session": Action(
            "Save session",
            "Images, labels, prompts, examples and settings as one small folder",
            (),
            "Project",
        ),
        "open_session": Action(
            "Open session…", "Go on where a saved session has ended", (), "Project"
        ),
        "open_series": Action(
            "Image series…",
            "Walk through the images of a folder; labels are saved beside each",
            (),
            "Project",
        ),
        "next_image": Action(
            "Next image",
            "Save the labels and go on; an image with labels is marked as done",
            ("Shift+W",),
            "Project",
        ),
        "previous_image": Action("Previous", "Save the labels and go back", (), "Project"),
        "next_undone": Action(
            "Next not done", "Save the labels and go to an image that is not done", (), "Project"
        ),
        "image_done": Action("Done", "Mark this image as done, or as not done", (), "Project"),
        "end_series": Action("End series", "Stop walking; this image stays open", (), "Project"),
        "show_tiles": Action(
            "Show encoded tiles",
            "Draw a faint grid where the next click is answered at once",
            ("Shift+I",),
            "View",
        ),
        "show_keys": Action("Keys", "Show or hide the sheet of all keys", ("K",), "View"),
    }
)

GESTURES: tuple[tuple[str, str, str], ...] = (
    ("Space", "Hold to move the image", "View"),
    ("Delete", "Remove the selected prompts, in select mode", "Prompts"),
)
"""What else the hand can do: the gesture, what it does, and its topic in the sheet of keys."""

REVIEW_ACTIONS = (
    *("add_example", "like", "follow"),
    *("next_doubt", "accept_doubt", "fix_doubt", "delete_doubt", "cancel"),
)
"""Actions whose keys work on the Labels layers, too, that examples or results are in."""

TOUCH_ACTIONS = ("accept", "touch_up", "cancel")
"""Actions whose keys work on the layer in which an object is corrected by hand."""


KEYS = KeyTable({name: action.keys for name, action in ACTIONS.items()})
"""The keys of all actions now, with what the user has chosen; one for the whole program."""

bind = Bindings(KEYS).bind

__all__ = [
    "ACTIONS",
    "GESTURES",
    "KEYS",
    "REVIEW_ACTIONS",
    "TOUCH_ACTIONS",
    "Action",
    "Handler",
    "bind",
    "button_text",
]


def button_text(action: str, label: str = "") -> str:
    """Return a button's text with its key: ``"Accept (Q)"``; `label` replaces the usual one."""
    label = label or ACTIONS[action].label
    keys = KEYS[action]
    return f"{label} ({shown(keys[0])})" if keys else label
