"""Undo and redo in the order in which the user acted: prompts and accepted labels in one line."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.ui.prompt_state import PromptState

MAX_STEPS = 1000
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class PromptEdit:
    """The user added, moved or removed prompts."""

    before: PromptState
    after: PromptState

    text = "prompt"

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        states = (*self.before.values(), *self.after.values())
        return sum(state.nbytes for state in states)


@dataclass(frozen=True, eq=False)
class LabelEdit:
    """Labels were written, and the prompts that made them were cleared.

    Attributes
    ----------
    target : str
        Unique id of the Labels layer.
    store : LabelStore
        What was written.
    deltas : sequence of LabelDelta
        The writes, in order. The job that writes may add to a list until it has wound down; jobs
        run one at a time, so Undo sees all of it.
    prompts : PromptEdit
        The prompts before and after.
    """

    target: str
    store: LabelStore
    deltas: Sequence[LabelDelta]
    prompts: PromptEdit

    @property
    def text(self) -> str:
        """What Undo would take back."""
        if len(self.deltas) == 1:
            return f"label {self.deltas[0].label}"
        return f"{len(self.deltas)} labels"

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        return self.prompts.nbytes + sum(delta.nbytes for delta in self.deltas)

    def revert(self) -> None:
        """Take the writes back, the last one first."""
        for delta in reversed(self.deltas):
            self.store.revert(delta)

    def apply(self) -> None:
        """Write again."""
        for delta in self.deltas:
            self.store.apply(delta)


Edit = PromptEdit | LabelEdit


class History:
    """Two stacks with a bound on steps and on memory; the oldest step goes first."""

    def __init__(self, max_steps: int = MAX_STEPS, max_bytes: int = MAX_BYTES) -> None:
        self._max_steps, self._max_bytes = max_steps, max_bytes
        self._done: deque[Edit] = deque()
        self._undone: list[Edit] = []

    @property
    def undo_text(self) -> str:
        """What :meth:`take_undo` would return, in words; ``""`` if there is nothing."""
        return self._done[-1].text if self._done else ""

    @property
    def redo_text(self) -> str:
        """What :meth:`take_redo` would return, in words; ``""`` if there is nothing."""
        return self._undone[-1].text if self._undone else ""

    def add(self, edit: Edit) -> None:
        """Record a new step; what was undone before it cannot be redone any more."""
        self._undone.clear()
        self.put_done(edit)

    def take_undo(self) -> Edit | None:
        """Take the last step; give it back with :meth:`put_undone` or :meth:`put_done`."""
        return self._done.pop() if self._done else None

    def take_redo(self) -> Edit | None:
        """Take the step undone last; give it back as for :meth:`take_undo`."""
        return self._undone.pop() if self._undone else None

    def put_done(self, edit: Edit) -> None:
        """Lay a step on the undo stack."""
        self._done.append(edit)
        while len(self._done) > 1 and self._is_full():
            self._done.popleft()

    def put_undone(self, edit: Edit) -> None:
        """Lay a step on the redo stack."""
        self._undone.append(edit)

    def forget_target(self, target: str) -> None:
        """Drop the steps that wrote to a Labels layer which is gone."""
        self._done = deque(edit for edit in self._done if not _writes(edit, target))
        self._undone = [edit for edit in self._undone if not _writes(edit, target)]

    def _is_full(self) -> bool:
        too_many = len(self._done) > self._max_steps
        return too_many or sum(edit.nbytes for edit in self._done) > self._max_bytes


def _writes(edit: Edit, target: str) -> bool:
    return isinstance(edit, LabelEdit) and edit.target == target
