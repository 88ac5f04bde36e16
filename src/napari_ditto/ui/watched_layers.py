"""Some layers of a viewer whose events are heard and on which keys are bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_ditto.ui.keymap import bind
from napari_ditto.ui.layers_by_id import layers_by_id

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.utils.events import Event
    from napari.viewer import Viewer


class WatchedLayers:
    """Follows the layers it is told, and no others.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    events : sequence of str
        Names of events; those that a layer has are heard.
    heard : callable
        Called with each event.
    handlers : mapping of str to callable
        What the keys call, by action.
    """

    def __init__(
        self,
        viewer: Viewer,
        events: Sequence[str],
        heard: Callable[[Event], None],
        handlers: Mapping[str, Callable[[], None]],
    ) -> None:
        self._viewer, self._events, self._heard = viewer, events, heard
        self._handlers = handlers
        self._watched: dict[str, Layer] = {}
        self._unbind: dict[str, Callable[[], None]] = {}

    def follow(self, keys: Sequence[str]) -> set[str]:
        """Watch those of these layers that are there; return which are watched no longer."""
        present = layers_by_id(self._viewer)
        wanted = {key: present[key] for key in keys if key in present}
        left = self._watched.keys() - wanted.keys()
        for key in left:
            self._each_event(self._watched[key], "disconnect")
            self._unbind.pop(key)()
        for key in wanted.keys() - self._watched.keys():
            self._each_event(wanted[key], "connect")
            self._unbind[key] = bind(wanted[key], self._handlers)
        self._watched = wanted
        return left

    def _each_event(self, layer: Layer, how: str) -> None:
        for name in self._events:
            if name in layer.events:
                getattr(layer.events[name], how)(self._heard)
