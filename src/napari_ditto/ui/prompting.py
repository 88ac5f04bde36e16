"""The prompts in the user's hand: which layers are read, what they hold, and how that changed."""

from __future__ import annotations

from psygnal import Signal

from napari_ditto.ui.desk import Desk
from napari_ditto.ui.history import PromptEdit
from napari_ditto.ui.prompt_state import PromptState


class Prompting:
    """Keeps track of the prompt layers of a session."""

    changed = Signal()
    """The layers hold other prompts now."""

    def __init__(self, desk: Desk) -> None:
        self._session, self._scene = desk.session, desk.scene
        self._state: PromptState = {}

    def use(self, layer: str) -> None:
        """Read one more layer as prompts."""
        if layer not in self._session.prompt_layers:
            self._session.prompt_layers = (*self._session.prompt_layers, layer)
        self.watch()

    def watch(self) -> None:
        """Follow the session's prompt layers from now on; what they hold is where Undo begins."""
        self._scene.watch(self._session.prompt_layers)
        self._state = self._scene.prompt_state(self._session.prompt_layers)

    def take_edit(self) -> PromptEdit | None:
        """Return what the user changed since the last look, None if nothing."""
        before, self._state = self._state, self._scene.prompt_state(self._session.prompt_layers)
        if self._state == before:
            return None
        self.changed.emit()
        return PromptEdit(before, self._state)

    def clear(self) -> PromptEdit:
        """Remove the prompts of the plane on show."""
        session, before = self._session, self._state
        session.prompt_layers = self._scene.clear_prompts(session.prompt_layers, session.images)
        self.watch()
        self.changed.emit()
        return PromptEdit(before, self._state)

    def restore(self, state: PromptState) -> None:
        """Put the prompt layers back to a former state."""
        self._scene.restore_prompts(state)
        self.watch()
        self.changed.emit()
