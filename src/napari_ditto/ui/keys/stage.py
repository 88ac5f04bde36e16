"""A napari viewer as the keys see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_ditto.ui.keymap import bind
from napari_ditto.ui.keys.napari_keys import napari_keys
from napari_ditto.ui.keys.state import Topic
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.widgets.key_sheet import KeySheet

if TYPE_CHECKING:
    from napari.viewer import Viewer


class ViewerKeys:
    """A viewer as a :class:`~napari_ditto.ui.keys.part.KeyStage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    handlers : mapping of str to callable
        What the keys of each action do.
    """

    def __init__(self, viewer: Viewer, handlers: Mapping[str, Callable[[], None]]) -> None:
        self._viewer, self._handlers = viewer, handlers
        self._unbind: dict[str, Callable[[], None]] = {}
        self._sheet: KeySheet | None = None

    def taken(self) -> Mapping[str, str]:
        """Return napari's own keys, and what they do."""
        return napari_keys()

    def work_on(self, layers: Sequence[str]) -> None:
        """Let our keys work while one of these layers is active, and on no others."""
        present = layers_by_id(self._viewer)
        wanted = {key: present[key] for key in layers if key in present}
        for key in self._unbind.keys() - wanted.keys():
            self._unbind.pop(key)()
        for key in wanted.keys() - self._unbind.keys():
            self._unbind[key] = bind(wanted[key], self._handlers)

    @property
    def has_sheet(self) -> bool:
        """Whether the sheet is on show."""
        return self._sheet is not None and self._sheet.isVisible()

    def show_sheet(self, topics: Sequence[Topic]) -> None:
        """Show the sheet beside the window that has the keyboard."""
        if self._sheet is None:
            self._sheet = KeySheet()
            # napari takes every window along when its own closes.
            self._sheet.destroyed.connect(self._forget_sheet)
        self._sheet.show_topics(topics)

    def hide_sheet(self) -> None:
        """Show no sheet."""
        if self._sheet is not None:
            self._sheet.hide()

    def close(self) -> None:
        """Take keys and sheet away."""
        self.work_on(())
        if self._sheet is not None:
            self._sheet.close()
            self._sheet.deleteLater()

    def _forget_sheet(self, *_: object) -> None:
        self._sheet = None
