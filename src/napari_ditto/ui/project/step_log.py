"""The objects accepted after prompts, in order, as they stand: what was undone is not there."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

from napari_ditto.data.session_steps import PromptStep
from napari_ditto.ui.history import LabelEdit


class StepLog:
    """Steps by the layer they wrote to.

    They are kept longer than the history that Undo walks back, so an edit is not held by them: its
    pixels count against the budget of the history.
    """

    def __init__(self) -> None:
        self._steps: dict[str, list[tuple[Callable[[], LabelEdit | None], PromptStep]]] = {}

    def note(self, edit: LabelEdit, forward: bool) -> None:
        """Take note of an edit that was done, or taken back."""
        known = self._steps.setdefault(edit.target, [])
        if forward:
            known += [(weakref.ref(edit), step) for step in edit.made]
        elif edit.made:
            self._steps[edit.target] = [pair for pair in known if pair[0]() is not edit]

    def steps(self, layer: str) -> tuple[PromptStep, ...]:
        """Return what was accepted into a layer."""
        return tuple(step for _, step in self._steps.get(layer, []))

    def put(self, layer: str, steps: Iterable[PromptStep]) -> None:
        """Begin with what a session tells of a layer; none of that can be taken back."""
        self._steps[layer] = [(_nothing, step) for step in steps]

    def forget(self, layer: str) -> None:
        """Drop what is known of a layer."""
        self._steps.pop(layer, None)


def _nothing() -> None:
    """Return the edit of a step of another session."""
