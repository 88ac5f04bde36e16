"""Objects carried to the next plane by looking alike, outlined anew by a model that can do it.

In each plane the labels of the planes before are carried over by motion and by patches that look
alike (:mod:`~napari_ditto.core.transfer`). What that finds becomes a prompt for the model. Whether
the model's outline is better is not assumed but measured: on the user's own planes it must give an
object back from a disturbed mask of it. Where it cannot, it is not asked.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask, bounding_box, deepest_pixels, expected_iou, iou
from napari_ditto.core.motion import estimate_flow, move
from napari_ditto.core.noise import quiet
from napari_ditto.core.numbering import boxes, label_areas, only
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import Frame, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.core.routing import translate
from napari_ditto.core.settling import settle
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.core.transfer import Transfer, transfer_labels
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.borders import Borders
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.foresight import Foresight, wait_steps
from napari_ditto.models.device import one_core_free
from napari_ditto.models.names import FALLBACK_MODEL
from napari_ditto.models.protocols import ContextModel, MaskLogits, Memory, PromptModel
from napari_ditto.models.registry import load_model

VERSION = "2"

MARGIN = 24
"""Pixels around the objects that are looked at: motion must be seen to be found."""

TRUSTED = 0.9
"""IoU at which the model must give an object of the user's plane back, to be asked about it."""

AGREEING = 0.6
"""IoU with the carried mask below which the model has found something else."""

QUICK_SECONDS = 1.0
"""A model that takes longer to encode a tile is not asked to learn borders too."""

DISTURBANCE = 0.08
"""How far a mask is grown, shrunk and moved for the test, in roots of its area."""

MOVERS = 2
"""Threads that carry labels to a plane, each a patch; most of it is done by numpy beside Python."""

ASKED = 16
"""Objects that are outlined at once; their answers take 3 MB each at 512 pixels."""

KEPT = 64
"""Planes of which it is kept how their objects look, and what the model makes of them."""

BINS = 32

Floats = NDArray[np.float32]
Trust = Mapping[int, float]
Value = TypeVar("Value")
Looks = Mapping[int, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of two planes around some objects.

    Attributes
    ----------
    box : Box
        Where it lies.
    labels : ndarray of int, shape ``box.shape``
        Of the plane before.
    """

    box: Box
    labels: NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Moved:
    """The labels of a patch carried to the new plane.

    Attributes
    ----------
    votes : Transfer
        By patches that look alike.
    labels : ndarray of int, shape (h, w)
        By the motion alone.
    pixels : ndarray of float32, shape (h, w, 3)
        What the new plane shows.
    """

    votes: Transfer
    labels: NDArray[np.integer]
    pixels: Floats


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
        self._trust: dict[str, Trust] = {}
        self._looks: dict[str, Looks] = {}
        self._ahead = Foresight()
        self._movers = ThreadPoolExecutor(MOVERS, thread_name_prefix="ditto-move")
        self._next: PlaneAddress | None = None

    @property
    def key(self) -> str:
        """Identity: this method, the model, and what learns borders."""
        borders = self.borders.model.spec.key if self.borders else "none"
        return f"prompts@{VERSION}:{self.model.spec.key}, borders by {borders}"

    def step(
        self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]
    ) -> Generator[Progress, None, Step]:
        """Return what becomes of the objects; see :class:`~.stepping.Stepper`."""
        yield Progress("read", 0, 0, "following")
        looks = self._looks_of(anchors or before[:1])
        patches = [(seen, patch) for seen, labels in _assign(before) for patch in _patches(labels)]
        boxes = [patch.box for _, patch in patches]
        memory = None
        if self.borders:
            memory = yield from self.borders.learn_steps(anchors)
        borders = self._look_ahead(address, memory, boxes) if memory else None
        moved = list(self._movers.map(lambda pair: self._transfer(address, *pair), patches))
        if borders:
            edges = yield from wait_steps(borders)
            pairs = zip(moved, edges, strict=True)
            moved = [replace(one, votes=settle(one.votes, edge)) for one, edge in pairs]
        found: dict[int, list[Carried]] = {}
        for one, (_, patch) in zip(moved, patches, strict=True):
            for carried in _carried(one, patch, looks):
                found.setdefault(carried.label, []).append(carried)
        objects = [_joined(several) for several in found.values()]
        refined = yield from self._refine(address, objects, anchors)
        return Step(tuple(sorted(refined, key=lambda c: c.label)))

    def expect(self, address: PlaneAddress) -> None:
        """Prepare a plane in the course of the next step; see :class:`~.stepping.Foreseeing`."""
        self._next = address

    def _look_ahead(
        self, address: PlaneAddress, memory: Memory, boxes: Sequence[Box]
    ) -> Future[list[Floats]]:
        """Begin to look for borders in this plane, and then in the next, near the same places.

        All is done by one thread, foreseen or not, so what is foreseen makes no difference.
        """
        borders, after, self._next = self.borders, self._next, None
        assert borders  # noqa: S101 - for the type checker: it has made the memory
        found = self._ahead.begin(lambda: borders.see(address, memory, boxes))
        if after:
            self._ahead.begin(lambda: borders.foresee(after, memory, boxes))
        return found

    # --- by looking alike -----------------------------------------------------------------------

    def _looks_of(self, planes: Sequence[Seen]) -> Looks:
        """Return how the objects of some planes look, averaged."""
        total: dict[int, list[NDArray[np.float64]]] = {}
        for seen in planes:
            key = seen.digest
            if key not in self._looks:
                _forget(self._looks)
                self._looks[key] = _looks(seen, self.source)
            for label, look in self._looks[key].items():
                total.setdefault(label, []).append(look)
        return {label: np.mean(found, axis=0) for label, found in total.items()}

    def _transfer(self, address: PlaneAddress, seen: Seen, patch: Patch) -> Moved:
        """Return where a patch's labels are in the new plane."""
        pixels = self.source.read(address, patch.box)
        then, now = quiet(_grey(self.source.read(seen.address, patch.box), pixels))
        flow = estimate_flow(then.mean(axis=2), now.mean(axis=2))
        labels = move(patch.labels, flow)
        brought = np.stack([move(c, flow, order=1) for c in np.moveaxis(then, 2, 0)], axis=2)
        return Moved(transfer_labels(brought, labels, now), labels, pixels)

    # --- by the model ---------------------------------------------------------------------------

    def _refine(
        self, address: PlaneAddress, objects: Sequence[Carried], anchors: Sequence[Seen]
    ) -> Generator[Progress, None, list[Carried]]:
        """Return the objects, those outlined anew that the model is good at."""
        trust = yield from self._trust_steps(anchors)
        asked = [c for c in objects if c.mask.area and trust.get(c.label, 0.0) >= TRUSTED]
        answers: dict[int, PlacedMask] = {}
        for tile, group in self._by_tile(address, asked).items():
            (embedding,) = yield from self.encoder.embed_steps(address, [tile])
            yield Progress("decode", 0, 0, "outlining")
            answers |= zip(
                [c.label for c in group],
                self._outline(embedding, tile, [c.mask for c in group]),
                strict=True,
            )
        return [_better(c, answers.get(c.label)) for c in objects]

    def _trust_steps(self, anchors: Sequence[Seen]) -> Generator[Progress, None, Trust]:
        """Return how well the model gives back each object of the user's planes."""
        total: dict[int, list[float]] = {}
        for seen in anchors:
            key = seen.digest
            if key not in self._trust:
                _forget(self._trust)
                self._trust[key] = yield from self._measure(seen)
            for label, value in self._trust[key].items():
                total.setdefault(label, []).append(value)
        return {label: float(np.mean(values)) for label, values in total.items()}

    def _measure(self, seen: Seen) -> Generator[Progress, None, Trust]:
        found: dict[int, float] = {}
        whole = [
            Carried(label, placed, placed)
            for label, placed in (
                (label, PlacedMask(box, seen.labels[box.slices] == label))
                for label, box in boxes(seen.labels)
            )
        ]
        for tile, group in self._by_tile(seen.address, whole).items():
            (embedding,) = yield from self.encoder.embed_steps(seen.address, [tile])
            yield Progress("decode", 0, 0, "trying the model on your labels")
            tries = [(c, m) for c in group for m in _disturbed(c.mask, tile.box)]
            back = self._outline(embedding, tile, [m for _, m in tries])
            agreed: dict[int, list[float]] = {}
            for (carried, _), answer in zip(tries, back, strict=True):
                agreed.setdefault(carried.label, []).append(iou(answer, carried.mask))
            found |= {label: float(np.mean(values)) for label, values in agreed.items()}
        return found

    def _by_tile(
        self, address: PlaneAddress, objects: Sequence[Carried]
    ) -> dict[Tile, list[Carried]]:
        """Return the objects that fit into a tile, by the tile that they are asked about in."""
        grid = Grid(self.source.plane_shape(address), self.encoder.tile_size)
        groups: dict[Tile, list[Carried]] = {}
        for carried in objects:
            tile = grid.nearest(*carried.mask.box.center)
            if tile.box.covers(carried.mask.box):
                groups.setdefault(tile, []).append(carried)
        return groups

    def _outline(
        self, embedding: Embedding, tile: Tile, masks: Sequence[PlacedMask]
    ) -> list[PlacedMask]:
        """Return what the model makes of masks, each the candidate that is most like it."""
        found = []
        for start in range(0, len(masks), ASKED):
            some = masks[start : start + ASKED]
            with one_core_free():  # the other one is looking ahead
                decoded = self.model.decode(embedding, [self._prompt(m, tile) for m in some])
            found += [_closest(decoded, i, tile, mask) for i, mask in enumerate(some)]
        return found

    def _prompt(self, placed: PlacedMask, tile: Tile) -> PromptSet:
        """Return what the model is asked, pixels of the tile: the mask, and a point deep inside."""
        tight = placed.cropped()
        ((y, x),) = deepest_pixels(tight.mask)
        point = PointPrompt(float(y + tight.box.y0), float(x + tight.box.x0))
        prompts = PromptSet((point,), mask=MaskPrompt(tight.box, tight.mask))
        local = prompts.to_frame(Frame(origin=(tile.box.y0, tile.box.x0)))
        return translate(local, self.model.spec.capabilities)


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


def _grey(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return images (h, w, 3) with one channel if neither has colours."""
    if any((image[..., k] != image[..., 0]).any() for image in (first, second) for k in (1, 2)):
        return first, second
    return np.ascontiguousarray(first[..., :1]), np.ascontiguousarray(second[..., :1])


def _patches(labels: NDArray[np.integer]) -> Iterator[Patch]:
    """Yield windows around groups of objects that are near each other."""
    plane = Box.of_shape(labels.shape)
    groups: list[Box] = []
    for _, box in boxes(labels):
        around = box.grow(MARGIN).intersect(plane)
        while meeting := [g for g in groups if not g.intersect(around).is_empty]:
            groups = [g for g in groups if g not in meeting]
            for group in meeting:
                around = around.union(group)
        groups.append(around)
    yield from (Patch(box, labels[box.slices]) for box in sorted(groups))


def _carried(one: Moved, patch: Patch, looks: Looks) -> Iterator[Carried]:
    """Yield the objects of a patch where the votes put them."""
    painted = one.votes.paint(patch.box.shape)
    for label, box in boxes(one.labels):
        expected = PlacedMask(box, one.labels[box.slices] == label)
        around, chance = one.votes.chances[label]
        mask = painted[around.slices] == label
        placed = PlacedMask(around, mask, expected_iou(chance, mask)).cropped()
        likeness = _likeness(looks.get(label), _look(one.pixels, placed))
        yield Carried(label, _shifted(placed, patch), _shifted(expected, patch), likeness)


def _shifted(placed: PlacedMask, patch: Patch) -> PlacedMask:
    return replace(placed, box=placed.box.shift(patch.box.y0, patch.box.x0))


def _joined(several: Sequence[Carried]) -> Carried:
    """Return one object from planes on both sides: what both say, or the surer one."""
    if len(several) == 1:
        return several[0]
    return max(several, key=lambda c: (c.mask.score, c.similarity, c.mask.area))


def _closest(decoded: MaskLogits, i: int, tile: Tile, carried: PlacedMask) -> PlacedMask:
    """Return the candidate that is most like a mask."""
    found = [
        _positive(logits, tile, float(score))
        for logits, score in zip(decoded.logits[i], decoded.scores[i], strict=True)
    ]
    return max(found, key=lambda m: iou(m, carried))


def _positive(logits: Floats, tile: Tile, score: float) -> PlacedMask:
    mask = logits > 0
    inner = bounding_box(mask)
    return PlacedMask(inner.shift(tile.box.y0, tile.box.x0), mask[inner.slices], score)


def _better(carried: Carried, answer: PlacedMask | None) -> Carried:
    if answer is None or iou(answer, carried.mask) < AGREEING:
        return carried
    return replace(carried, mask=answer)


def _disturbed(placed: PlacedMask, tile: Box) -> Iterator[PlacedMask]:
    """Yield a mask grown, shrunk and moved."""
    from scipy.ndimage import binary_dilation, binary_erosion

    width = max(1, int(DISTURBANCE * np.sqrt(placed.area)))
    box = placed.box.grow(width).intersect(tile)
    mask = placed.in_box(box)
    moved = replace(placed, box=placed.box.shift(width, width)).in_box(box)
    for other in (
        binary_dilation(mask, iterations=width),
        binary_erosion(mask, iterations=width),
        moved,
    ):
        if other.any():
            yield PlacedMask(box, other)


def _looks(seen: Seen, source: Source) -> Looks:
    """Return how the objects of a plane look."""
    found = {}
    for label, box in boxes(seen.labels):
        placed = PlacedMask(Box.of_shape(box.shape), seen.labels[box.slices] == label)
        found[label] = _look(source.read(seen.address, box), placed)
    return found


def _look(pixels: NDArray[np.float32], placed: PlacedMask) -> NDArray[np.float64]:
    """Return histograms of an object's colours, shape (3, bins), each of sum 1."""
    from scipy.ndimage import gaussian_filter1d

    inside = pixels[placed.box.slices][placed.mask]
    counts = [np.histogram(c, BINS, (0.0, 1.0))[0] for c in inside.T]
    smooth = gaussian_filter1d(np.array(counts, np.float64), 1.5, axis=1)
    return np.asarray(smooth / max(1, len(inside)))


def _likeness(first: NDArray[np.float64] | None, second: NDArray[np.float64]) -> float:
    """Return the overlap of two looks in [0, 1]."""
    return 1.0 if first is None else float(np.minimum(first, second).sum() / len(first))


def _forget(kept: dict[str, Value]) -> None:
    """Make room for one more."""
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]
