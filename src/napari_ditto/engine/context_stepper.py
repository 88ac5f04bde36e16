"""Labels carried by a model that learns from examples: the user's planes and a few finished ones.

Every step teaches the model anew: the nearest planes of the user, and at most three finished planes
with what is believed on them (what the gate has doubted is not there). Objects are of one kind to
the model, since neighbours often look the same. Which pixel of that kind is whose is told by the
planes before, whose labels are carried over by motion and by patches that look alike
(:mod:`~napari_ditto.core.transfer`). The two are multiplied, as independent witnesses.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import Mask, PlacedMask, bounding_box, expected_iou, place
from napari_ditto.core.motion import estimate_flow, move
from napari_ditto.core.numbering import only
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.core.transfer import transfer_labels
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.recalling import recall_steps
from napari_ditto.engine.stepping import newest
from napari_ditto.engine.teaching import encode_steps
from napari_ditto.models.protocols import ContextModel, Example, Memory

VERSION = 4
"""Of what is taught and how objects are told apart; a change does all steps again."""

RECENT = 3
"""Finished planes that are taught beside the user's."""

RECENT_WEIGHT = 0.5
"""Of a finished plane, beside 1 of a user's plane."""

LEAST = 0.05
"""The model alone neither makes nor ends an object: its probabilities stay so far from 0 and 1."""

MARGIN = 24
"""Pixels around the objects that are looked at: motion must be seen to be found."""

Map = NDArray[np.float32]
Votes = tuple[Box, Map]
Kinds = Literal["objects", "classes"]


class ContextStepper:
    """A :class:`~napari_ditto.engine.stepping.Stepper` over any model that learns from examples.

    Parameters
    ----------
    model : ContextModel
        Such as ``load_model("classic")``.
    source : Source
        The image.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    kinds : "objects" or "classes"
        Whether an id is one object, or a kind of things that may be anywhere.
    """

    def __init__(
        self,
        model: ContextModel,
        source: Source,
        cache: EmbeddingStore | None = None,
        kinds: Kinds = "objects",
    ) -> None:
        self.model, self.source, self.kinds = model, source, kinds
        self.encoder = TileEncoder(source, model, cache)

    @property
    def key(self) -> str:
        """Identity: this method, what ids are, and the model."""
        return f"context {VERSION} {self.kinds} {self.model.spec.key}"

    def step(
        self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]
    ) -> Generator[Progress, None, Step]:
        """Return what becomes of the objects; see :class:`~.stepping.Stepper`."""
        memory = yield from self._learn(before, anchors)
        if self.kinds == "classes":
            return (yield from self._find_classes(address, memory, before))
        yield Progress("read", 0, 1, "following the image")
        votes, expected = self._transfer(address, before)
        box = _around(where for where, _ in votes.values())
        maps, _ = yield from recall_steps(self.encoder, self.model, memory, address, box)
        return Step(tuple(_part(maps[0], box, votes, expected)))

    def _plane(self, address: PlaneAddress) -> Box:
        return Box.of_shape(self.source.plane_shape(address))

    # -- what the model is taught ------------------------------------------------------------

    def _learn(
        self, before: Sequence[Seen], anchors: Sequence[Seen]
    ) -> Generator[Progress, None, Memory]:
        """Return the model's memory of the user's planes and the nearest finished ones."""
        users = {a.address for a in anchors}
        recent = [s for s in before if s.address not in users][:RECENT]
        shown: list[Example] = []
        for seen in (*anchors, *recent):
            shown += yield from encode_steps(
                self._example(seen),
                self.model,
                self.encoder.cache,
                instances=self.kinds == "objects",
                weight=1.0 if seen.is_anchor else RECENT_WEIGHT,
            )
        return self.model.remember(shown)

    def _example(self, seen: Seen) -> PlaneExample:
        """Return a plane to learn from.

        Single objects are taught with what is near them only: the same thing elsewhere may be
        nobody's. So are planes on which a doubted object may be missing.
        """
        partial = self.kinds == "objects" or not seen.is_anchor
        labels = seen.labels.astype(np.int64)
        return PlaneExample(self.source, seen.address, labels, partial=partial)

    # -- what it finds -----------------------------------------------------------------------

    def _find_classes(
        self, address: PlaneAddress, memory: Memory, before: Sequence[Seen]
    ) -> Generator[Progress, None, Step]:
        """Return where each class is likelier than all others and the background."""
        box = self._plane(address)
        maps, _ = yield from recall_steps(self.encoder, self.model, memory, address, box)
        every = np.concatenate([maps, 1 - maps.sum(axis=0, keepdims=True)])
        winner, second = every.argmax(axis=0), np.partition(every, -2, axis=0)[-2]
        last = {
            n: PlacedMask(box, s.labels == n).cropped() for s, ids in newest(before) for n in ids
        }
        found = []
        for own, label in zip(range(len(maps)), memory.classes, strict=True):
            if label in last:
                mask = winner == own
                likeness = _share(every[own], second, mask, mask)
                found.append(Carried(label, _scored(mask, box, every[own]), last[label], likeness))
        return Step(tuple(found))

    def _transfer(
        self, address: PlaneAddress, before: Sequence[Seen]
    ) -> tuple[dict[int, Votes], dict[int, PlacedMask]]:
        """Return for each object the votes of the planes before, and its last mask, moved."""
        votes: dict[int, list[Votes]] = {}
        expected: dict[int, PlacedMask] = {}
        for seen, ids in newest(before):
            labels = only(seen.labels, ids)
            box = bounding_box(labels > 0).grow(MARGIN).intersect(self._plane(address))
            then, now = (self.source.read(a, box) for a in (seen.address, address))
            flow = estimate_flow(then.mean(axis=2), now.mean(axis=2))
            moved = move(labels[box.slices], flow)
            brought = np.stack([move(c, flow, order=1) for c in np.moveaxis(then, 2, 0)], axis=2)
            for label, (where, chance) in transfer_labels(brought, moved, now).chances.items():
                votes.setdefault(label, []).append((where.shift(box.y0, box.x0), chance))
                mask = PlacedMask(box, moved == label).cropped()
                old = expected.get(label)
                expected[label] = _union(old, mask) if old else mask
        return {label: _mean(votes[label]) for label in sorted(votes)}, expected


def _mean(several: Sequence[Votes]) -> Votes:
    """Return the votes of several planes as one."""
    box = several[0][0]
    for other, _ in several[1:]:
        box = box.union(other)
    total = sum(place(chance, where, box) for where, chance in several)
    return box, np.asarray(total / len(several), np.float32)


def _part(
    kind: Map, box: Box, votes: Mapping[int, Votes], expected: Mapping[int, PlacedMask]
) -> Iterator[Carried]:
    """Yield the objects: each pixel goes to the likeliest, or to none.

    Parameters
    ----------
    kind : ndarray of float32, shape ``box.shape``
        Probability of the objects' kind.
    box : Box
        Around all objects.
    votes : mapping of int to (Box, ndarray of float32)
        For each object.
    expected : mapping of int to PlacedMask
        Where each one was, moved along with the image.
    """
    inner = {n: where.shift(-box.y0, -box.x0).slices for n, (where, _) in votes.items()}
    nobody = np.ones(box.shape, np.float32)
    for n, (_, vote) in votes.items():
        nobody[inner[n]] -= vote
    likely = np.clip(kind, np.float32(LEAST), np.float32(1 - LEAST))
    nobody = np.maximum(nobody, 0) * (1 - likely)
    chance = {n: vote * likely[inner[n]] for n, (_, vote) in votes.items()}
    total, best = nobody.copy(), nobody.copy()
    for n, own in chance.items():
        total[inner[n]] += own
        best[inner[n]] = np.maximum(best[inner[n]], own)
    for n, own in chance.items():
        mask = (own > 0) & (own >= best[inner[n]]) & (own > nobody[inner[n]])
        share = np.asarray(own / np.maximum(total[inner[n]], 1e-6), np.float32)
        found = PlacedMask(votes[n][0], mask, expected_iou(share, mask)).cropped()
        around = ~mask & (nobody[inner[n]] >= best[inner[n]])
        likeness = _share(kind[inner[n]], kind[inner[n]], mask, around)
        yield Carried(n, found, expected[n], likeness)


def _around(boxes: Iterable[Box]) -> Box:
    whole = Box(0, 0, 0, 0)
    for box in boxes:
        whole = whole.union(box)
    return whole


def _share(one: Map, other: Map, here: Mask, there: Mask) -> float:
    """Return how much more is in the first map here than in the second there, in [0, 1]."""
    if not here.any() or not there.any():
        return 1.0
    inside, outside = float(one[here].mean()), float(other[there].mean())
    return inside / max(1e-6, inside + outside)


def _scored(mask: Mask, box: Box, probability: Map) -> PlacedMask:
    """Return a mask with its mean probability as score."""
    score = float(probability[mask].mean()) if mask.any() else 0.0
    return PlacedMask(box, mask, min(1.0, score)).cropped()


def _union(a: PlacedMask, b: PlacedMask) -> PlacedMask:
    box = a.box.union(b.box)
    return PlacedMask(box, a.in_box(box) | b.in_box(box))
