"""Undo and redo of accepted labels, within a byte budget."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from napari_ditto.core.prompts import PromptSet
from napari_ditto.data.protocols import LabelDelta, LabelStore


@dataclass(frozen=True, eq=False)
class Accepted:
    """One accepted label: what was written, and what was said to get it.

    Attributes
    ----------
    delta : LabelDelta
        The write.
    prompts : PromptSet
        Plane coordinates at level 0, so that undo can bring them back together with the labels.
    provenance : dict
        Model, licence and settings behind the label; JSON-able.
    """

    delta: LabelDelta
    prompts: PromptSet = field(default_factory=PromptSet)
    provenance: dict[str, object] = field(default_factory=dict)


class History:
    """What can be undone and redone.

    Parameters
    ----------
    store : LabelStore
        Where the labels are.
    budget : int
        Bytes of label deltas kept; the oldest are forgotten first, the newest never.

    Attributes
    ----------
    dropped : int
        Entries forgotten for lack of room: so many accepts can no longer be undone.
    """

    def __init__(self, store: LabelStore, budget: int = 256 << 20) -> None:
        self.store, self.budget = store, budget
        self.dropped = 0
        self._done: deque[Accepted] = deque()
        self._undone: list[Accepted] = []

    @property
    def done(self) -> tuple[Accepted, ...]:
        """What can be undone, oldest first."""
        return tuple(self._done)

    @property
    def undone(self) -> tuple[Accepted, ...]:
        """What can be redone, the next one last."""
        return tuple(self._undone)

    @property
    def nbytes(self) -> int:
        """Bytes of the deltas that are kept."""
        return sum(entry.delta.nbytes for entry in (*self._done, *self._undone))

    def record(self, entry: Accepted) -> None:
        """Add what was just written; what had been undone can no longer be redone."""
        self._undone.clear()
        self._done.append(entry)
        while len(self._done) > 1 and self.nbytes > self.budget:
            self._done.popleft()
            self.dropped += 1

    def undo(self) -> Accepted | None:
        """Take the last write back and return it, None if there is none."""
        if not self._done:
            return None
        self.store.revert(self._done[-1].delta)
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Accepted | None:
        """Write again what was last undone and return it, None if there is none."""
        if not self._undone:
            return None
        self.store.apply(self._undone[-1].delta)
        self._done.append(self._undone.pop())
        return self._done[-1]
