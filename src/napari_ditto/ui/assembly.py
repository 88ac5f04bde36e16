"""Puts the parts of a dock together: one controller for each viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from napari_ditto.ui import settings
from napari_ditto.ui.bridge import MainThread
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.scene import ViewerScene
from napari_ditto.ui.session import Session, WindowMode
from napari_ditto.ui.workshop import Workshop

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ditto.data.protocols import OverlapPolicy

# Keyed by the id of the viewer itself: plugins get a new proxy each time. The controller holds
# the viewer, so the id cannot be used again while the entry is there.
_controllers: WeakValueDictionary[int, Controller] = WeakValueDictionary()


def controller_for(viewer: Viewer, workshop: Workshop | None = None) -> Controller:
    """Return the one controller of a viewer; it lives as long as a dock shows it."""
    key = id(getattr(viewer, "__wrapped__", viewer))
    controller = _controllers.get(key)
    if controller is None or controller.is_closed:
        scene, runner = ViewerScene(viewer), Runner(MainThread().post)
        controller = Controller(scene, runner, _new_session(), workshop, settings.save)
        _controllers[key] = controller
    return controller


def _new_session() -> Session:
    chosen, notes = settings.load()
    return Session(
        model=chosen.model,
        device=chosen.device,
        overlap=cast("OverlapPolicy", chosen.overlap),
        window_mode=cast("WindowMode", chosen.window_mode),
        hint=". ".join(notes),
    )
