"""Labels carried by a model that learns from examples: the user's planes and a few finished ones.

Every step teaches the model anew: the nearest planes of the user, and at most three finished planes
with what is believed on them (what the gate has doubted is not there). Objects are of one kind to
the model, since neighbours often look the same. Which pixel of that kind is whose is told by where
each object is expected: its last mask, moved along with the image.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import Mask, PlacedMask, bounding_box, components_meeting
from napari_ditto.core.motion import estimate_flow, move
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.context import recall_steps
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.stepping import newest
from napari_ditto.engine.teaching import encode_steps
from napari_ditto.models.protocols import ContextModel, Example, Memory

VERSION = 1
"""Of what is taught and how objects are told apart; a change does all steps again."""

RECENT = 3
"""Finished planes that are taught beside the user's."""

RECENT_WEIGHT = 0.5
"""Of a finished plane, beside 1 of a user's plane."""

REACH = 0.5
"""How far from where it is expected an object may reach, in radii."""

CORE = 0.4
"""Pixels deeper in the expected mask than this part of its depth are the object's own."""

MARGIN = 24
"""Pixels around the objects that are looked at: motion must be seen to be found."""

Map = NDArray[np.float32]
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
        expected = self._expect(address, before)
        box = _around(expected.values()).intersect(self._plane(address))
        maps, _ = yield from recall_steps(self.encoder, self.model, memory, address, box)
        return Step(tuple(_part(maps[0], box, expected)))

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
        last = {n: _placed(s.labels == n, box) for s, ids in newest(before) for n in ids}
        found = []
        for own, label in zip(range(len(maps)), memory.classes, strict=True):
            if label in last:
                mask = winner == own
                likeness = _share(every[own], second, mask, mask)
                found.append(Carried(label, _scored(mask, box, every[own]), last[label], likeness))
        return Step(tuple(found))

    def _expect(self, address: PlaneAddress, before: Sequence[Seen]) -> dict[int, PlacedMask]:
        """Return each object's last mask, moved along with the image."""
        found: dict[int, PlacedMask] = {}
        for seen, ids in newest(before):
            labels = np.where(np.isin(seen.labels, ids), seen.labels, np.uint32(0))
            box = bounding_box(labels > 0).grow(MARGIN).intersect(self._plane(address))
            then, now = (self.source.read(a, box).mean(axis=2) for a in (seen.address, address))
            moved = move(labels[box.slices], estimate_flow(then, now))
            for label in ids:
                placed = _placed(moved == label, box)
                found[label] = _union(found[label], placed) if label in found else placed
        return dict(sorted(found.items()))


def _around(expected: Iterable[PlacedMask]) -> Box:
    """Return the box in which all objects are looked for."""
    whole = Box(0, 0, 0, 0)
    for mask in expected:
        if mask.area:
            whole = whole.union(mask.box.grow(_reach(mask)))
    return whole


def _part(probability: Map, box: Box, expected: Mapping[int, PlacedMask]) -> Iterator[Carried]:
    """Yield the objects: the ground of their kind, parted among the places they are expected at.

    Each grows from the core of its place, downhill from the likeliest pixels (watershed), as far
    as it reaches; where two meet, the less likely pixels between them are the border.
    """
    from skimage.segmentation import watershed

    near = np.zeros(box.shape, dtype=bool)
    cores = np.zeros(box.shape, dtype=np.int32)
    present = {label: mask for label, mask in expected.items() if mask.area}
    for n, mask in enumerate(present.values(), 1):
        window = mask.box.grow(_reach(mask)).intersect(box)
        inner = window.shift(-box.y0, -box.x0).slices
        within, core = _reached(mask, window)
        near[inner] |= within
        cores[inner][core] = n
    ground = (probability > 0.5) & near
    parted = watershed(-probability, cores * ground, mask=ground)  # type: ignore[no-untyped-call]
    for n, (label, mask) in enumerate(present.items(), 1):
        window = mask.box.grow(_reach(mask)).intersect(box)
        inner = window.shift(-box.y0, -box.x0).slices
        own = components_meeting(parted[inner] == n, mask.in_box(window))
        around = _reached(mask, window)[0] & (parted[inner] == 0)
        likeness = _share(probability[inner], probability[inner], own, around)
        yield Carried(label, _scored(own, window, probability[inner]), mask, likeness)


def _reached(mask: PlacedMask, window: Box) -> tuple[Mask, Mask]:
    """Return the pixels that an object may reach, and those that are its own."""
    from scipy.ndimage import distance_transform_edt

    here = mask.in_box(window)
    depth = distance_transform_edt(np.pad(here, 1))[1:-1, 1:-1]
    return distance_transform_edt(~here) <= _reach(mask), depth > CORE * depth.max(initial=0)


def _reach(mask: PlacedMask) -> int:
    return 2 + int(REACH * np.sqrt(mask.area / np.pi))


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


def _placed(mask: Mask, box: Box) -> PlacedMask:
    return PlacedMask(box, mask).cropped()


def _union(a: PlacedMask, b: PlacedMask) -> PlacedMask:
    box = a.box.union(b.box)
    return PlacedMask(box, a.in_box(box) | b.in_box(box))
