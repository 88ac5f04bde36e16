"""Looks: views of a tile that the network has answered, and the cache behind them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, TypeVar

import torch  # noqa: TID253 - this module is imported when the network is
from torch import Tensor  # noqa: TID253

from napari_ditto.core.prompts import BoxPrompt
from napari_ditto.models.device import threads
from napari_ditto.models.ditto.cues import Cues
from napari_ditto.models.ditto.decoder import Projected
from napari_ditto.models.ditto.network import DittoNetwork
from napari_ditto.models.ditto.views import View, carry, render

BATCH = 16
"""Questions decoded at once: more take memory and are no faster per question."""

VIEWS = 8
"""Views encoded at once."""

FEW = 8
"""Up to so many questions are answered by one thread.

Threads that wait for each other at every step, on cores that also paint a window, are slower. And
with one thread the bits of an answer do not depend on what else is asked, nor on the machine's
cores; with more, the last bits of an answer among many may.
"""

KEPT_VIEWS, KEPT_ELSEWHERE = 96, 24
"""Views of the tile in use, and of one that is not, whose features are kept; 0.4 MB each."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values of the keys used last, safe in any thread."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, None if it is not here."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: Key, value: Value) -> Value:
        """Keep a value unless there is one, and return the one that is kept.

        What is computed twice may differ in the last bits; so everyone gets the same.
        """
        with self._lock:
            kept = self._values.setdefault(key, value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            return kept

    def shrink(self, size: int) -> None:
        """Let go of all but some keys used last."""
        with self._lock:
            while len(self._values) > size:
                self._values.popitem(last=False)

    def get_or_make(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made now if it is not here."""
        value = self.get(key)
        if value is None:
            value = self.keep(key, make())  # made without the lock: two threads may both make it
        return value


@dataclass(frozen=True, slots=True)
class Said:
    """What a user has said about one object, pixels of the tile.

    Attributes
    ----------
    points : tuple of (y, x, sign)
        Sign 1 is on the object, -1 is not on it.
    box : BoxPrompt or None
        Round the object.
    """

    points: tuple[tuple[float, float, float], ...] = ()
    box: BoxPrompt | None = None


@dataclass(frozen=True, eq=False)
class Belief:
    """How probable it is that each cell of a view is the object, (1, cells, cells)."""

    view: View
    probability: Tensor


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of one view."""

    view: View
    said: Said
    before: Belief | None = None


@dataclass(frozen=True, eq=False)
class Look:
    """The network's answer to a question.

    Attributes
    ----------
    view : View
        Where it looked.
    logits : Tensor, shape (3, cells, cells)
        Above 0 is the object; what is meant, the smallest, the largest that could be.
    scores : Tensor, shape (3,)
        Expected IoU, logits.
    """

    view: View
    logits: Tensor
    scores: Tensor

    def belief(self, head: int) -> Belief:
        """Return one mask as what is believed so far."""
        return Belief(self.view, torch.sigmoid(self.logits[head : head + 1]))


@dataclass(eq=False)
class Eye:
    """Looks at one tile; remembers the features of the views it has seen."""

    network: DittoNetwork
    image: Tensor
    seen: Recent[View, Projected] = field(default_factory=lambda: Recent(KEPT_VIEWS))

    def look(self, questions: Sequence[Question]) -> list[Look]:
        """Answer questions, those of one size at once."""
        with threads(1 if len(questions) <= FEW else None):
            return self._look(questions)

    def encode(self, views: Sequence[View], most: int | None = None) -> bool:
        """Encode those of a few views of one size that are new; return whether there were any."""
        new = [view for view in dict.fromkeys(views) if self.seen.get(view) is None][:most]
        with threads(1):
            self._features(new)
        return bool(new)

    def _look(self, questions: Sequence[Question]) -> list[Look]:
        found: dict[int, Look] = {}
        order = sorted(range(len(questions)), key=lambda i: questions[i].view.pixels)
        for _, group in groupby(order, key=lambda i: questions[i].view.pixels):
            same = list(group)
            for start in range(0, len(same), BATCH):
                batch = same[start : start + BATCH]
                found.update(zip(batch, self._decode([questions[i] for i in batch]), strict=True))
        return [found[i] for i in range(len(questions))]

    def _decode(self, questions: Sequence[Question]) -> list[Look]:
        known = self._features([q.view for q in questions])
        parts = [known[q.view] for q in questions]
        shared = Projected(*(torch.cat(maps) for maps in zip(*parts, strict=True)))
        answer = self.network.decode(shared, None, make_cues(questions, self.image.device))
        return [
            Look(q.view, logits.clamp(-20, 20), scores)
            for q, logits, scores in zip(questions, answer.logits, answer.scores, strict=True)
        ]

    def _features(self, views: Sequence[View]) -> dict[View, Projected]:
        """Return the features of views of one size, those that are new encoded together."""
        found = {view: self.seen.get(view) for view in views}
        new = [view for view, known in found.items() if known is None]
        for start in range(0, len(new), VIEWS):
            batch = new[start : start + VIEWS]
            for view, features in zip(batch, self._encode(batch), strict=True):
                found[view] = self.seen.keep(view, features)
        return {view: known for view, known in found.items() if known is not None}

    def _encode(self, views: Sequence[View]) -> list[Projected]:
        pictures = torch.cat([render(self.image, view) for view in views])
        together = pictures.contiguous(memory_format=torch.channels_last)
        shared = self.network.project(self.network.encode(together))
        return [Projected(*(maps[i : i + 1].clone() for maps in shared)) for i in range(len(views))]


def make_cues(questions: Sequence[Question], device: torch.device) -> Cues:
    """Return questions about views of one size as tensors."""
    p, cells = len(questions), questions[0].view.cells
    slots = max(1, *(len(q.said.points) for q in questions))
    points, boxes = torch.zeros(p, slots, 3), torch.zeros(p, 4)
    has_box, has_previous = torch.zeros(p), torch.zeros(p)
    previous = torch.zeros(p, 1, cells, cells, device=device)
    for i, asked in enumerate(questions):
        frame = asked.view.frame
        for k, (y, x, sign) in enumerate(asked.said.points):
            points[i, k] = torch.tensor([*frame.to_frame(y, x), sign])
        if asked.said.box is not None:
            box = asked.said.box
            corners = (*frame.to_frame(box.y0, box.x0), *frame.to_frame(box.y1, box.x1))
            boxes[i], has_box[i] = torch.tensor(corners), 1
        if asked.before is not None:
            previous[i] = carry(asked.before.probability, asked.before.view, asked.view)
            has_previous[i] = 1
    return Cues(
        points.to(device), boxes.to(device), has_box.to(device), previous, has_previous.to(device)
    )
