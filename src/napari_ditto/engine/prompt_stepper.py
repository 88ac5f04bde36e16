"""Objects carried to the next plane by looking alike, outlined anew by a model that can do it.

In each plane the labels of the planes before are carried over by motion and by patches that look
alike (:mod:`~napari_ditto.core.transfer`). What that finds becomes a prompt for the model. Whether
the model's outline is better is not assumed but measured: on the user's own planes it must give an
object back from a disturbed mask of it. Where it cannot, it is not asked.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask, deepest_pixels, expected_iou, iou
from napari_ditto.core.motion import estimate_flow, move
from napari_ditto.core.noise import quiet
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import Frame, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.core.routing import translate
from napari_ditto.core.settling import settle
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.core.transfer import Transfer, boxes, transfer_labels
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.borders import Borders
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.models.names import FALLBACK_MODEL
from napari_ditto.models.protocols import ContextModel, MaskLogits, PromptModel
from napari_ditto.models.registry import load_model

VERSION = "1"

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

KEPT = 64
"""Planes of which it is kept how their objects look, and what the model makes of them."""

BINS = 32

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
        memory = None
        if self.borders:
            memory = yield from self.borders.learn_steps(anchors)
        found: dict[int, list[Carried]] = {}
        for seen, labels in _assign(before):
            for patch in _patches(labels):
                transfer, moved, now = self._transfer(address, seen, patch)
                if self.borders and memory:
                    edges = yield from self.borders.see_steps(address, memory, patch.box)
                    transfer = settle(transfer, edges)
                for carried in _carried(transfer, moved, now, patch, looks):
                    found.setdefault(carried.label, []).append(carried)
        objects = [_joined(several) for several in found.values()]
        refined = yield from self._refine(address, objects, anchors)
        return Step(tuple(sorted(refined, key=lambda c: c.label)))

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

    def _transfer(
        self, address: PlaneAddress, seen: Seen, patch: Patch
    ) -> tuple[Transfer, NDArray[np.integer], NDArray[np.float32]]:
        """Return the votes for a patch's labels, its labels moved, and the new plane's pixels."""
        pixels = self.source.read(address, patch.box)
        then, now = quiet((self.source.read(seen.address, patch.box), pixels))
        flow = estimate_flow(then.mean(axis=2), now.mean(axis=2))
        moved = move(patch.labels, flow)
        brought = np.stack([move(c, flow, order=1) for c in np.moveaxis(then, 2, 0)], axis=2)
        return transfer_labels(brought, moved, now), moved, pixels

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
            prompts = [self._prompt(c.mask, tile) for c in group]
            decoded = self.model.decode(embedding, prompts)
            for i, carried in enumerate(group):
                answers[carried.label] = _closest(decoded, i, tile, carried.mask)
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
            for carried in group:
                tries = list(_disturbed(carried.mask, tile.box))
                decoded = self.model.decode(embedding, [self._prompt(m, tile) for m in tries])
                back = [_closest(decoded, i, tile, m) for i, m in enumerate(tries)]
                found[carried.label] = float(np.mean([iou(b, carried.mask) for b in back]))
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
    nearest: dict[int, int] = {}
    for seen in before:
        for label in np.unique(seen.labels).tolist():
            nearest[label] = min(nearest.get(label, seen.distance), seen.distance)
    nearest.pop(0, None)
    for seen in before:
        wanted = [label for label, distance in nearest.items() if distance == seen.distance]
        labels = np.where(np.isin(seen.labels, wanted), seen.labels, 0)
        if labels.any():
            yield seen, labels


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


def _carried(
    transfer: Transfer,
    moved: NDArray[np.integer],
    now: NDArray[np.float32],
    patch: Patch,
    looks: Looks,
) -> Iterator[Carried]:
    """Yield the objects of a patch where the votes put them."""
    painted = transfer.paint(patch.box.shape)
    for label, box in boxes(moved):
        expected = PlacedMask(box, moved[box.slices] == label)
        around, chance = transfer.chances[label]
        mask = painted[around.slices] == label
        placed = PlacedMask(around, mask, expected_iou(chance, mask)).cropped()
        likeness = _likeness(looks.get(label), _look(now, placed))
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
        PlacedMask(tile.box, logits > 0, float(score))
        for logits, score in zip(decoded.logits[i], decoded.scores[i], strict=True)
    ]
    return max(found, key=lambda m: iou(m, carried)).cropped()


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
