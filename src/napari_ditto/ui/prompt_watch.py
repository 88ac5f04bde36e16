"""When the user has finished a prompt: not while a shape is drawn or a brush is down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.watched_layers import WatchedLayers

if TYPE_CHECKING:
    from napari.utils.events import Event
    from napari.viewer import Viewer

STROKE_MILLISECONDS = 150
"""A brush tells of each step of the mouse; it is looked at once the hand has let go."""

_EVENTS = ("data", "features", "selected_label", "paint", "labels_update")
_UNFINISHED = ("adding", "changing", "removing")
_STROKING = ("paint", "labels_update")


class PromptWatch:
    """Hears of prompts in some layers of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    changed : callable
        Called once prompts may differ and nothing is being drawn.
    handlers : mapping of str to callable
        What keys call while such a layer is active, by action.
    """

    def __init__(
        self,
        viewer: Viewer,
        changed: Callable[[], None],
        handlers: Mapping[str, Callable[[], None]],
    ) -> None:
        self._viewer, self._changed = viewer, changed
        self._layers = WatchedLayers(viewer, _EVENTS, self._on_prompts, handlers)
        self._drawing: set[str] = set()
        self._soon = Debounce(self._tell)
        self._strokes_soon = Debounce(self._tell, STROKE_MILLISECONDS)
        self._pressed = self._stroked = False
        viewer.mouse_drag_callbacks.append(self._on_press)

    def follow(self, keys: Sequence[str]) -> None:
        """Watch these layers from now on, and no others."""
        self._drawing -= self._layers.follow(keys)

    def _on_prompts(self, event: Event) -> None:
        key = str(event.source.unique_id)
        action = str(getattr(event, "action", "")).lower().rpartition(".")[2]
        if action in _UNFINISHED:
            self._drawing.add(key)
            return
        self._drawing.discard(key)
        if event.type in _STROKING:
            self._stroked = True
            if not self._pressed:
                self._strokes_soon()
        else:
            self._soon()

    def _on_press(self, _: object, event: Event) -> Iterator[None]:
        """Look at what a brush has painted when the mouse button is let go."""
        self._pressed, self._stroked = True, False
        yield
        while event.type == "mouse_move":
            yield
        self._pressed = False
        if self._stroked:
            self._strokes_soon()

    def _tell(self) -> None:
        if not self._drawing:
            self._changed()

    def close(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        self._strokes_soon.stop()
        self.follow(())
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
