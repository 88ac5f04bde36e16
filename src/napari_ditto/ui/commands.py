"""Commands of the Layers > Segment menu and the command palette: each acts on the current viewer.

They open the dock if it is not there, since that is where their effect and any trouble show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ditto.ui.widgets.dock import DittoDock


def show_dock(napari_viewer: Viewer) -> DittoDock:
    """Return the dock of a viewer, opened if need be."""
    _, widget = napari_viewer.window.add_plugin_dock_widget("napari-ditto", "Ditto")
    return cast("DittoDock", widget)


def _act(action: str) -> None:
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show_dock(viewer).controller.act(action)


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


def accept() -> None:
    """Accept the mask as a label."""
    _act("accept")


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
