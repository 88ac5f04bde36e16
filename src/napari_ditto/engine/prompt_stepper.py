"""Objects carried to the next plane, outlined anew by a model that can do it.

Labels of the planes before are moved along with the image. An object that the model is good at
(:mod:`.outlining`) is outlined from there. The others, and those of which the model makes something
else, are carried over by patches that look alike (:mod:`~napari_ditto.core.transfer`); what the
model is not good at settles between the borders that are seen in the plane (:mod:`.borders`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask, expected_iou
from napari_ditto.core.motion import move
from napari_ditto.core.numbering import boxes, label_areas, only
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.core.settling import settle
from napari_ditto.core.transfer import Transfer, transfer_labels
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.borders import Borders
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.foresight import Foresight, wait_steps
from napari_ditto.engine.likeness import Album, Looks, likeness, look_of
from napari_ditto.engine.moving import Pair, pair, windows_around
from napari_ditto.engine.outlining import AGREEING, AS_TESTED, QUICK_SECONDS, Outliner
from napari_ditto.models.names import FALLBACK_MODEL
from napari_ditto.models.protocols import ContextModel, PromptModel
from napari_ditto.models.registry import load_model

VERSION = "4"

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of a plane before around some objects.

    Attributes
    ----------
    address : PlaneAddress
        The plane.
    box : Box
        Where the part lies.
    labels : ndarray of int, shape ``box.shape``
        Of the objects that are read from this plane.
    places : mapping of int to Box
        Where each object is on the plane.
    """

    address: PlaneAddress
    box: Box
    labels: NDArray[np.integer]
    places: Mapping[int, Box]


@dataclass(frozen=True, eq=False)
class Moved:
    """A patch in the new plane, by the motion alone.

    Attributes
    ----------
    patch : Patch
        In the plane before.
    pair : Pair
        Both planes.
    labels : ndarray of int, shape ``patch.box.shape``
        Where the motion has brought them.
    """

    patch: Patch
    pair: Pair
    labels: NDArray[np.integer]


class PromptStepper:
    """A :class:`~napari_ditto.engine.stepping.Stepper` over any prompt model.

    Parameters
    ----------
    model : PromptModel
        Outlines objects.
    source : Source
        The image.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    """

    def __init__(
        self, model: PromptModel, source: Source, cache: EmbeddingStore | None = None
    ) -> None:
        self.model, self.source = model, source
        self.encoder = TileEncoder(source, model, cache)
        self.borders = _borders(self.encoder)
        self._ahead = Foresight()
        self._outliner = Outliner(self.encoder, model, self._ahead)
        self._album = Album(source)
        self._next: PlaneAddress | None = None

    @property
    def key(self) -> str:
        """Identity: this method, the model, and what learns borders."""
        borders = self.borders.model.spec.key if self.borders else "none"
        return f"prompts@{VERSION}:{self.model.spec.key}, borders by {borders}"

    def expect(self, address: PlaneAddress) -> None:
        """Prepare a plane in the course of the next step; see :class:`~.stepping.Foreseeing`."""
        self._next = address

    def step(
        self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]
    ) -> Generator[Progress, None, Step]:
        """Return what becomes of the objects; see :class:`~.stepping.Stepper`."""
        yield Progress("read", 0, 0, "following")
        after, self._next = self._next, None
        patches = list(_patches(before))
        looks = self._album.looks_of(anchors or before[:1])
        trusted = yield from self._outliner.trusted_steps(anchors)
        unsure = [patch for patch in patches if not patch.places.keys() <= trusted]
        edges = yield from self._look(address, after, patches, unsure, anchors, trusted)
        sure = [self._moved(address, patch) for patch in patches if patch not in unsure]
        found = yield from self._outline_steps(address, sure, looks)
        rest = [one for one in sure if not one.patch.places.keys() <= found.keys()]
        rest += (self._moved(address, patch) for patch in unsure)
        votes = [transfer_labels(one.pair.before, one.labels, one.pair.now) for one in rest]
        if edges:
            learnt = yield from wait_steps(edges)
            votes[-len(unsure) :] = map(settle, votes[-len(unsure) :], learnt)
        pairs = zip(rest, votes, strict=True)
        carried = _joined(c for one, vote in pairs for c in _voted(one, vote, looks))
        asked = [c for c in carried if c.label in trusted and c.label not in found]
        answers = yield from self._outliner.outline_steps(address, asked, AGREEING)
        better = (replace(c, mask=answers.get(c.label, c.mask)) for c in carried)
        found = {c.label: c for c in better} | found
        return Step(tuple(found[label] for label in sorted(found)))

    def _moved(self, address: PlaneAddress, patch: Patch) -> Moved:
        """Return where the motion has brought a patch's labels."""
        two = pair(self.source, patch.address, address, patch.box)
        return Moved(patch, two, move(patch.labels, two.flow))

    def _outline_steps(
        self, address: PlaneAddress, sure: Sequence[Moved], looks: Looks
    ) -> Generator[Progress, None, dict[int, Carried]]:
        """Return objects that the model gives back from where the motion has brought them.

        As far as its answer is from that, it has mended as much in the test; else patches are to
        tell where the object is.
        """
        brought = _joined(c for one in sure for c in _brought(one, looks))
        answers = yield from self._outliner.outline_steps(address, brought, AS_TESTED)
        answered = (c for c in brought if c.label in answers)
        return {c.label: replace(c, mask=answers[c.label]) for c in answered}

    # --- looking ahead --------------------------------------------------------------------------

    def _look(
        self,
        address: PlaneAddress,
        after: PlaneAddress | None,
        patches: Sequence[Patch],
        unsure: Sequence[Patch],
        anchors: Sequence[Seen],
        trusted: set[int],
    ) -> Generator[Progress, None, Future[list[Floats]] | None]:
        """Begin to look at this plane, and then at the next near the same places.

        All is done by one thread, foreseen or not, so what is foreseen makes no difference.
        Returns what becomes the borders in the patches that need them.
        """
        asked = [box for p in patches for label, box in p.places.items() if label in trusted]
        windows = [patch.box for patch in unsure]
        self._outliner.foresee(address, asked)
        borders, memory, found = self.borders, None, None
        if borders and windows:
            memory = yield from borders.learn_steps(anchors)
        if borders and memory:
            see = partial(borders.see, memory=memory, boxes=windows)
            found = self._ahead.begin(lambda: see(address))
        if after:
            self._outliner.foresee(after, asked)
        if after and borders and memory:
            foresee = partial(borders.foresee, after, memory, windows)
            self._ahead.begin(foresee)
        return found


def _borders(encoder: TileEncoder) -> Borders | None:
    """Return what learns borders: the model itself if it is quick, else `classic`."""
    model = encoder.model
    if not isinstance(model, ContextModel):
        return None
    if model.spec.encode_seconds <= QUICK_SECONDS:
        return Borders(encoder, model)
    classic = load_model(FALLBACK_MODEL)
    assert isinstance(classic, ContextModel)  # noqa: S101 - for the type checker
    return Borders(TileEncoder(encoder.source, classic, encoder.cache), classic)


def _assign(before: Sequence[Seen]) -> Iterator[tuple[Seen, NDArray[np.integer]]]:
    """Yield planes with those of their labels that no nearer plane has."""
    shown = [label_areas(seen.labels) for seen in before]
    nearest: dict[int, int] = {}
    for seen, areas in zip(before, shown, strict=True):
        for label in areas:
            nearest[label] = min(nearest.get(label, seen.distance), seen.distance)
    for seen, areas in zip(before, shown, strict=True):
        wanted = [label for label in areas if nearest[label] == seen.distance]
        if wanted:
            yield seen, only(seen.labels, wanted)


def _patches(before: Sequence[Seen]) -> Iterator[Patch]:
    """Yield the parts of planes around groups of objects that are near each other."""
    for seen, labels in _assign(before):
        places = dict(boxes(labels))
        for box in windows_around(places.values(), Box.of_shape(labels.shape)):
            inside = {label: place for label, place in places.items() if box.covers(place)}
            yield Patch(seen.address, box, labels[box.slices], inside)


def _brought(one: Moved, looks: Looks) -> Iterator[Carried]:
    """Yield the objects of a patch where the motion puts them."""
    for label, box in boxes(one.labels):
        expected = PlacedMask(box, one.labels[box.slices] == label)
        yield _carried(one, label, expected, expected, looks)


def _voted(one: Moved, votes: Transfer, looks: Looks) -> Iterator[Carried]:
    """Yield the objects of a patch where votes put them."""
    painted = votes.paint(one.labels.shape)
    for label, box in boxes(one.labels):
        expected = PlacedMask(box, one.labels[box.slices] == label)
        around, chance = votes.chances[label]
        mask = painted[around.slices] == label
        placed = PlacedMask(around, mask, expected_iou(chance, mask)).cropped()
        yield _carried(one, label, placed, expected, looks)


def _carried(
    one: Moved, label: int, mask: PlacedMask, expected: PlacedMask, looks: Looks
) -> Carried:
    """Return an object on the plane, given its masks in a patch."""
    alike = likeness(looks.get(label), look_of(one.pair.pixels, mask))
    y, x = one.patch.box.y0, one.patch.box.x0
    on_plane = [replace(m, box=m.box.shift(y, x)) for m in (mask, expected)]
    return Carried(label, on_plane[0], on_plane[1], alike)


def _joined(found: Iterable[Carried]) -> list[Carried]:
    """Return each object once, by rising label: of planes on both sides, the surer one."""
    several: dict[int, list[Carried]] = {}
    for carried in found:
        several.setdefault(carried.label, []).append(carried)
    return [
        max(several[label], key=lambda c: (c.mask.score, c.similarity, c.mask.area))
        for label in sorted(several)
    ]
