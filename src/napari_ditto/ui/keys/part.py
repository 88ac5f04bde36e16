"""Keys as a capability of the docks: on the layers in use, on a sheet, as the user chose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from napari_ditto.ui.keymap import ACTIONS, KEYS
from napari_ditto.ui.keys import store
from napari_ditto.ui.keys.state import Topic, topics
from napari_ditto.ui.part import Part
from napari_ditto.ui.session import Session


class KeyStage(Protocol):
    """The part of a viewer that keys need."""

    def taken(self) -> Mapping[str, str]:
        """Return the keys that others need, and what for."""
        ...

    def work_on(self, layers: Sequence[str]) -> None:
        """Let our keys work while one of these layers is active, and on no others."""
        ...

    def show_sheet(self, topics: Sequence[Topic]) -> None:
        """Show the sheet of keys."""
        ...

    def hide_sheet(self) -> None:
        """Show no sheet."""
        ...

    @property
    def has_sheet(self) -> bool:
        """Whether the sheet is on show."""
        ...

    def close(self) -> None:
        """Let go of the viewer."""
        ...


class KeysPart(Part):
    """Binds our keys on the layers a user works on, shows them, and follows the settings.

    Parameters
    ----------
    session : Session
        Says which layers are in use, and shows which keys were refused.
    stage : KeyStage
        The viewer.
    """

    name = "keys"

    def __init__(self, session: Session, stage: KeyStage) -> None:
        self._session, self._stage = session, stage
        self._unwatch = store.watch(self._on_settings)
        KEYS.changed.connect(self._on_keys)
        for event in (session.events.images, session.events.target, session.events.prompt_layers):
            event.connect(self.refresh)
        notes = self._use_choices()
        if notes:
            session.hint = ". ".join(filter(None, (session.hint, *notes)))

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What the user can do."""
        return {"show_keys": self._toggle_sheet}

    def choose(self, field: str, value: object) -> None:
        """Give an action other keys for good: ``"keys.accept"``, ``"Q"``."""
        store.save({field.partition(".")[2]: str(value)})
        self._on_settings()

    def shown(self) -> tuple[Topic, ...]:
        """Return all keys."""
        return topics()

    def refresh(self) -> None:
        """Let the keys work on the layers that are in use now."""
        session = self._session
        self._stage.work_on((*session.images, session.target, *session.prompt_layers))

    def close(self) -> None:
        """Let go of viewer and settings."""
        self._unwatch()
        KEYS.changed.disconnect(self._on_keys)
        self._stage.close()

    def _use_choices(self) -> tuple[str, ...]:
        wanted = {name: text for name, text in store.load().items() if text != default_text(name)}
        return KEYS.choose(wanted, self._stage.taken())

    def _on_settings(self, *_: object) -> None:
        self._session.error = ". ".join(self._use_choices())

    def _on_keys(self) -> None:
        self.changed.emit()
        if self._stage.has_sheet:
            self._stage.show_sheet(topics())

    def _toggle_sheet(self) -> None:
        if self._stage.has_sheet:
            self._stage.hide_sheet()
        else:
            self._stage.show_sheet(topics())


def default_text(action: str) -> str:
    """Return the keys that an action has at first, as the settings write them."""
    return ", ".join(ACTIONS[action].keys) if action in ACTIONS else ""
