"""Commands of the Layers > Segment menu and the command palette: each acts on the current viewer.

They open the dock if it is not there, since that is where their effect and any trouble show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from napari_ditto.ui.widgets.dock import DittoDock
    from napari_ditto.ui.widgets.docking import Dock
    from napari_ditto.ui.widgets.examples_dock import ExamplesDock
    from napari_ditto.ui.widgets.models_dock import ModelsDock
    from napari_ditto.ui.widgets.objects_dock import ObjectsDock


def show_dock(napari_viewer: Viewer) -> DittoDock:
    """Return the dock of a viewer, opened if need be."""
    _, widget = napari_viewer.window.add_plugin_dock_widget("napari-ditto", "Ditto")
    return cast("DittoDock", widget)


def show_examples(napari_viewer: Viewer) -> ExamplesDock:
    """Return the dock of examples of a viewer, opened if need be, as a tab beside the other."""
    window = napari_viewer.window
    _, widget = window.add_plugin_dock_widget("napari-ditto", "Ditto examples", tabify=True)
    return cast("ExamplesDock", widget)


def show_objects(napari_viewer: Viewer) -> ObjectsDock:
    """Return the dock of objects of a viewer, opened if need be, as a tab beside the others."""
    window = napari_viewer.window
    _, widget = window.add_plugin_dock_widget("napari-ditto", "Ditto objects", tabify=True)
    return cast("ObjectsDock", widget)


def show_models(napari_viewer: Viewer) -> ModelsDock:
    """Return the dock of models of a viewer, opened if need be, as a tab beside the others."""
    window = napari_viewer.window
    _, widget = window.add_plugin_dock_widget("napari-ditto", "Ditto models", tabify=True)
    return cast("ModelsDock", widget)


def _act(action: str) -> None:
    _on_viewer(action, show_dock)


def _act_on_examples(action: str) -> None:
    _on_viewer(action, show_examples)


def _on_viewer(action: str, show: Callable[[Viewer], Dock]) -> None:
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show(viewer).controller.act(action)


def new_points() -> None:
    """Add and arm a points layer."""
    _act("new_points")


def new_boxes() -> None:
    """Add and arm a layer for boxes."""
    _act("new_boxes")


def toggle_sign() -> None:
    """Switch between including and excluding."""
    _act("toggle_sign")


def next_proposal() -> None:
    """Show the next proposed mask."""
    _act("next_proposal")


def toggle_hover() -> None:
    """Switch the live preview on or off."""
    _act("toggle_hover")


def accept() -> None:
    """Accept the mask as a label."""
    _act("accept")


def batch() -> None:
    """Let each point or box be an object of its own, or all of them one."""
    _act("batch")


def show_tiles() -> None:
    """Show or hide where the next click is answered at once."""
    _act("show_tiles")


def show_keys() -> None:
    """Show or hide the sheet of keys."""
    _act("show_keys")


def touch_up() -> None:
    """Correct the mask, or the label under the cursor, by hand."""
    _act("touch_up")


def swap_model() -> None:
    """Ask the other model: classic, or the chosen one again."""
    _act("swap_model")


def undo() -> None:
    """Undo the last prompt or label."""
    _act("undo")


def redo() -> None:
    """Redo the last prompt or label."""
    _act("redo")


def clear() -> None:
    """Clear the prompts on this plane."""
    _act("clear")


def segment_all() -> None:
    """Segment everything on this plane."""
    _act("segment_all")


def cancel() -> None:
    """Cancel what is running."""
    _act("cancel")


def open_dock() -> None:
    """Open the dock, or find it."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show_dock(viewer)


def open_examples() -> None:
    """Open the dock of examples, or find it."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show_examples(viewer)


def open_objects() -> None:
    """Open the dock of objects, or find it."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show_objects(viewer)


def next_class() -> None:
    """Choose the class of the next object."""
    _act("next_class")


def open_models() -> None:
    """Open the dock of models, or find it."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show_models(viewer)


def add_example() -> None:
    """Take the labels on this plane as an example."""
    _act_on_examples("add_example")


def draw_example() -> None:
    """Take what is drawn on this plane as an example."""
    _act_on_examples("draw_example")


def like() -> None:
    """Find everything that looks like the examples."""
    _act_on_examples("like")


def follow() -> None:
    """Carry the labels along, plane by plane."""
    _act_on_examples("follow")


def tune() -> None:
    """Tune on the examples for a minute."""
    _act_on_examples("tune")


def save_examples() -> None:
    """Write the examples to a file."""
    _act_on_examples("save_examples")


def load_examples() -> None:
    """Add the examples of a file."""
    _act_on_examples("load_examples")


def next_doubt() -> None:
    """Go to the next doubtful object."""
    _act_on_examples("next_doubt")


def accept_doubt() -> None:
    """Accept the doubtful object as it is."""
    _act_on_examples("accept_doubt")


def fix_doubt() -> None:
    """Fix the doubtful object with prompts."""
    _act_on_examples("fix_doubt")


def delete_doubt() -> None:
    """Delete the doubtful object from its plane."""
    _act_on_examples("delete_doubt")


def export_labels() -> None:
    """Write labels for other programs."""
    _on_viewer("export_labels", show_objects)


def export_tracks() -> None:
    """Write the tracks for other programs."""
    _act_on_examples("export_tracks")


def pick_object() -> None:
    """Pick the object under the cursor, or let it go."""
    _act("pick_object")


def pick_tool() -> None:
    """Let clicks pick objects."""
    _act("pick_tool")


def merge_objects() -> None:
    """Make one object of the picked ones."""
    _act("merge_objects")


def split_object() -> None:
    """Split an object along a line, or between clicks."""
    _act("split_object")


def split_planes() -> None:
    """Part an object at the plane on show."""
    _act("split_planes")


def delete_objects() -> None:
    """Delete the picked objects."""
    _act("delete_objects")


def renumber_objects() -> None:
    """Give objects other ids."""
    _act("renumber_objects")


def save_session() -> None:
    """Save the session."""
    _act("save_session")


def open_session() -> None:
    """Open a session."""
    _act("open_session")


def open_series() -> None:
    """Walk through the images of a folder."""
    _act("open_series")


def next_image() -> None:
    """Go on to the next image of the series."""
    _act("next_image")


def previous_image() -> None:
    """Go back to the previous image of the series."""
    _act("previous_image")


def next_undone() -> None:
    """Go to the next image that is not done."""
    _act("next_undone")


def image_done() -> None:
    """Mark the image as done, or as not done."""
    _act("image_done")


def end_series() -> None:
    """Stop walking through a series."""
    _act("end_series")
