"""What a capability of the docks is made of: actions, settings, and a state to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from psygnal import Signal


class Part:
    """One capability behind the docks; the controller passes on what concerns it.

    A part has no Qt in it. What it needs of the viewer is a stage of its own, behind a protocol.

    Attributes
    ----------
    name : str
        What docks ask for its state by; its settings are called ``"<name>.<field>"``.
    changed : Signal
        What :meth:`shown` returns has changed.
    """

    name: ClassVar[str] = ""
    changed = Signal()

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What to do, by the name of the action; each has an entry in the table of keys."""
        return {}

    def takes(self, field: str) -> bool:
        """Whether a setting belongs here."""
        return field.partition(".")[0] == self.name

    def choose(self, field: str, value: object) -> None:
        """Take over a setting, ``"<name>.<field>"``, from a dock."""

    def shown(self) -> object:
        """Return what a dock draws: a frozen value, or None if there is nothing to draw."""
        return None

    def kept(self) -> Mapping[str, object]:
        """Return settings that a saved session keeps, as JSON types."""
        return {}

    def put_back(self, kept: Mapping[str, object]) -> None:
        """Take over what :meth:`kept` has returned in another session; it may be damaged."""

    def refresh(self) -> None:
        """Hear that layers came or went, or that another plane is shown."""

    def prompted(self) -> None:
        """Hear that the user changed the prompts, before the model is asked about them."""

    def cancelled(self) -> None:
        """Hear that the user gave up what is running."""

    def close(self) -> None:
        """Let go of the viewer."""
