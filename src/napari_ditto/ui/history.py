"""Undo and redo in the order in which the user acted: all that was done stands in one line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.ui.prompt_state import PromptState

if TYPE_CHECKING:
    from napari_ditto.data.session_steps import PromptStep

MAX_BYTES = 256 * 2**20
STEP_BYTES = 512
"""What a step takes at least, so that a million empty ones are not free."""


@dataclass(frozen=True, eq=False)
class PromptEdit:
    """The user added, moved or removed prompts."""

    before: PromptState
    after: PromptState

    text = "prompt"

    @classmethod
    def nothing(cls) -> PromptEdit:
        """Return the edit that changes no prompt."""
        return cls({}, {})

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        states = (*self.before.values(), *self.after.values())
        return sum(state.nbytes for state in states)


@dataclass(frozen=True, eq=False)
class ValueEdit:
    """Something small was changed that is put back at once, on the main thread.

    Attributes
    ----------
    text : str
        What Undo would take back.
    apply, revert : callable
        Make the change again, and take it back.
    nbytes : int
        Memory that the step takes.
    targets : frozenset of str
        Unique ids of the layers that it is about; without them it makes no sense.
    creates : str
        Unique id of the layer that the step has shown: :meth:`revert` takes it out of the viewer,
        and what later steps have written to it waits for :meth:`apply`.
    """

    text: str
    apply: Callable[[], object]
    revert: Callable[[], object]
    nbytes: int = 0
    targets: frozenset[str] = frozenset()
    creates: str = ""


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
    also : tuple of ValueEdit
        What belongs to the same step, such as the records of the objects.
    made : tuple of PromptStep
        How objects came about that prompts alone have made, for sessions.
    name : str
        What was done, if it is more than that labels were written.
    """

    target: str
    store: LabelStore
    deltas: Sequence[LabelDelta]
    prompts: PromptEdit
    also: tuple[ValueEdit, ...] = ()
    made: tuple[PromptStep, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        """What Undo would take back."""
        if self.name:
            return self.name
        if len(self.deltas) == 1:
            return f"label {self.deltas[0].label}"
        return f"{len(self.deltas)} labels"

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        also = sum(edit.nbytes for edit in self.also)
        return self.prompts.nbytes + also + sum(delta.nbytes for delta in self.deltas)

    def revert(self) -> None:
        """Take the writes back, the last one first."""
        for delta in reversed(self.deltas):
            self.store.revert(delta)

    def apply(self) -> None:
        """Write again."""
        for delta in self.deltas:
            self.store.apply(delta)


Edit = PromptEdit | ValueEdit | LabelEdit


class History:
    """Two stacks with a bound on memory; the oldest step goes first.

    Attributes
    ----------
    dropped : int
        Steps that were forgotten for lack of room and can no longer be undone.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes, self.dropped = max_bytes, 0
        self._done: deque[Edit] = deque()
        self._undone: list[Edit] = []
        self._sizes: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._done)

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
        if not self._done:
            return None
        self._sizes.pop()
        return self._done.pop()

    def take_redo(self) -> Edit | None:
        """Take the step undone last; give it back as for :meth:`take_undo`."""
        return self._undone.pop() if self._undone else None

    def put_done(self, edit: Edit) -> None:
        """Lay a step on the undo stack."""
        if self._done:
            # A job that is still winding down may have added to the step before.
            self._sizes[-1] = _size(self._done[-1])
        self._done.append(edit)
        self._sizes.append(_size(edit))
        self._make_room()

    def put_undone(self, edit: Edit) -> None:
        """Lay a step on the redo stack."""
        self._undone.append(edit)

    def forget_gone(self, is_here: Callable[[str], bool]) -> None:
        """Drop the steps that make no sense without a layer which is gone.

        A layer that a step can show again, once it is redone, is not gone.
        """
        made = {edit.creates for edit in self._undone if isinstance(edit, ValueEdit)}
        here = {layer: layer in made or is_here(layer) for layer in self._layers()}
        self._done = deque(edit for edit in self._done if _makes_sense(edit, here))
        self._undone = [edit for edit in self._undone if _makes_sense(edit, here)]
        self._sizes = deque(map(_size, self._done))

    def _layers(self) -> set[str]:
        """Return the layers that any step is about."""
        edits = (*self._done, *self._undone)
        return set().union(*(_needed(edit) | _prompted(edit) for edit in edits))

    def _make_room(self) -> None:
        total = sum(self._sizes)
        while len(self._done) > 1 and total > self.max_bytes:
            total -= self._sizes.popleft()
            self._done.popleft()
            self.dropped += 1


def _size(edit: Edit) -> int:
    return max(STEP_BYTES, edit.nbytes)


def _makes_sense(edit: Edit, here: Mapping[str, bool]) -> bool:
    prompted = _prompted(edit)
    lost = bool(prompted) and not any(here[layer] for layer in prompted)
    return all(here[layer] for layer in _needed(edit)) and not lost


def _needed(edit: Edit) -> frozenset[str]:
    """Return the layers without any of which a step makes no sense."""
    if isinstance(edit, LabelEdit):
        return frozenset((edit.target,)).union(*(also.targets for also in edit.also))
    if isinstance(edit, ValueEdit):
        return edit.targets | ({edit.creates} if edit.creates else set())
    return frozenset()


def _prompted(edit: Edit) -> frozenset[str]:
    """Return the layers whose prompts a step has changed, one of which must be there."""
    if not isinstance(edit, PromptEdit):
        return frozenset()
    before, after = edit.before, edit.after
    return frozenset(k for k in {*before, *after} if before.get(k) != after.get(k))
