"""Puts the parts of a dock together: one controller for each viewer."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from napari_ditto.ui.bridge import MainThread
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.scene import ViewerScene
from napari_ditto.ui.session import Session
from napari_ditto.ui.workshop import Workshop

# Keyed by the id of the viewer itself: plugins get a new proxy each time. The controller holds
# the viewer, so the id cannot be used again while the entry is there.
_controllers: WeakValueDictionary[int, Controller] = WeakValueDictionary()


def controller_for(viewer: Any, workshop: Workshop | None = None) -> Controller:
    """Return the one controller of a viewer; it lives as long as a dock shows it."""
    key = id(getattr(viewer, "__wrapped__", viewer))
    controller = _controllers.get(key)
    if controller is None or controller.is_closed:
        controller = Controller(ViewerScene(viewer), Runner(MainThread().post), Session(), workshop)
        _controllers[key] = controller
    return controller
