"""Objects outlined anew by a model, as far as it can do that.

Whether the model's outline is better is not assumed but measured: on the user's own planes it must
give an object back from a disturbed mask of it. Where it cannot, it is not asked.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.bounded import Bounded
from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask, bounding_box, deepest_pixels, iou
from napari_ditto.core.numbering import boxes
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import Frame, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.propagation import Carried, Seen
from napari_ditto.core.routing import translate
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.foresight import Foresight, wait_steps
from napari_ditto.models.device import lone_threads, one_core_free
from napari_ditto.models.names import FALLBACK_MODEL
from napari_ditto.models.protocols import MaskLogits, PromptModel

TRUSTED = 0.9
"""IoU at which the model must give an object of the user's plane back, to be asked about it."""

AGREEING = 0.6
"""IoU with the carried mask below which the model has found something else."""

AS_TESTED = 0.75
"""IoU with the mask that was shown above which the model had no more to mend than in the test."""

DISTURBANCE = 0.08
"""How far a mask is grown, shrunk and moved for the test, in roots of its area."""

ASKED = 16
"""Objects that are outlined at once; their answers take 3 MB each at 512 pixels."""

GROUP = 5
"""Objects that one core outlines at once, if a network is quick; more cores hardly help it."""

QUICK_SECONDS = 1.0
"""A model that takes longer to encode a tile needs all cores for it, and does so when asked."""

KEPT = 64
"""Planes of which it is kept what the model makes of their objects."""

Trust = Mapping[int, float]


class Outliner:
    """Outlines objects of a plane, and knows how well it does.

    Parameters
    ----------
    encoder : TileEncoder
        Reads and encodes tiles of the image.
    model : PromptModel
        The encoder's model.
    ahead : Foresight
        Encodes planes while others are worked on.
    """

    def __init__(self, encoder: TileEncoder, model: PromptModel, ahead: Foresight) -> None:
        self.encoder, self.model, self._ahead = encoder, model, ahead
        self._trust: Bounded[str, Trust] = Bounded(KEPT)

    @cached_property
    def _cores(self) -> ThreadPoolExecutor:
        return lone_threads("ditto-outline")

    @property
    def is_quick(self) -> bool:
        """Whether planes are encoded by the thread that looks ahead."""
        return self.model.spec.encode_seconds <= QUICK_SECONDS

    @property
    def _in_groups(self) -> bool:
        """Whether cores outline some objects each; the fallback's numpy calls are too short."""
        spec = self.model.spec
        return self.is_quick and spec.device == "cpu" and spec.id != FALLBACK_MODEL

    def trusted_steps(self, anchors: Sequence[Seen]) -> Generator[Progress, None, set[int]]:
        """Return the objects of the user's planes that the model gives back well."""
        total: dict[int, list[float]] = {}
        for seen in anchors:
            key = seen.digest
            if key not in self._trust:
                self._trust[key] = yield from self._measure(seen)
            for label, value in self._trust[key].items():
                total.setdefault(label, []).append(value)
        return {label for label, values in total.items() if np.mean(values) >= TRUSTED}

    def foresee(self, address: PlaneAddress, places: Iterable[Box]) -> None:
        """Begin to encode a plane where objects may be asked about, if the model is quick."""
        if self.is_quick:
            grid = self._grid(address)
            tiles = dict.fromkeys(grid.nearest(*box.center) for box in places)
            for tile in tiles:
                self._ahead.begin(lambda tile=tile: self._embed(address, tile))  # type: ignore[misc]

    def outline_steps(
        self, address: PlaneAddress, objects: Iterable[Carried], least: float
    ) -> Generator[Progress, None, dict[int, PlacedMask]]:
        """Return what the model makes of objects, where that has at least some IoU with them."""
        groups = self._by_tile(address, [c for c in objects if c.mask.area])
        answers: dict[int, PlacedMask] = {}
        for tile, group in groups.items():
            embedding = yield from self._embed_steps(address, tile)
            yield Progress("decode", 0, 0, "outlining")
            found = self._outline(embedding, tile, [c.mask for c in group])
            for carried, answer in zip(group, found, strict=True):
                if iou(answer, carried.mask) >= least:
                    answers[carried.label] = answer
        return answers

    def _measure(self, seen: Seen) -> Generator[Progress, None, Trust]:
        """Return how well the model gives back each object of one of the user's planes."""
        found: dict[int, float] = {}
        masks = [
            (label, PlacedMask(box, seen.labels[box.slices] == label))
            for label, box in boxes(seen.labels)
        ]
        whole = [Carried(label, placed, placed) for label, placed in masks]
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

    def _embed_steps(
        self, address: PlaneAddress, tile: Tile
    ) -> Generator[Progress, None, Embedding]:
        """Return a tile's embedding; a quick model's comes from one thread, foreseen or not."""
        if self.is_quick and not self.encoder.has(address, tile):
            return (yield from wait_steps(self._ahead.begin(lambda: self._embed(address, tile))))
        (embedding,) = yield from self.encoder.embed_steps(address, [tile])
        return embedding

    def _embed(self, address: PlaneAddress, tile: Tile) -> Embedding:
        (embedding,) = drain(self.encoder.embed_steps(address, [tile]))
        return embedding

    def _grid(self, address: PlaneAddress) -> Grid:
        return Grid(self.encoder.source.plane_shape(address), self.encoder.tile_size)

    def _by_tile(
        self, address: PlaneAddress, objects: Sequence[Carried]
    ) -> dict[Tile, list[Carried]]:
        """Return the objects that fit into a tile, by the tile that they are asked about in."""
        grid = self._grid(address)
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
        if self._in_groups:
            decode = partial(self._decode, embedding, tile)
            groups = [masks[i : i + GROUP] for i in range(0, len(masks), GROUP)]
            return [*chain.from_iterable(self._cores.map(decode, groups))]
        found = []
        for start in range(0, len(masks), ASKED):
            with one_core_free():  # the other one is looking ahead
                found += self._decode(embedding, tile, masks[start : start + ASKED])
        return found

    def _decode(
        self, embedding: Embedding, tile: Tile, masks: Sequence[PlacedMask]
    ) -> list[PlacedMask]:
        decoded = self.model.decode(embedding, [self._prompt(m, tile) for m in masks])
        return [_closest(decoded, i, tile, mask) for i, mask in enumerate(masks)]

    def _prompt(self, placed: PlacedMask, tile: Tile) -> PromptSet:
        """Return what the model is asked, pixels of the tile: the mask, and a point deep inside."""
        tight = placed.cropped()
        ((y, x),) = deepest_pixels(tight.mask)
        point = PointPrompt(float(y + tight.box.y0), float(x + tight.box.x0))
        prompts = PromptSet((point,), mask=MaskPrompt(tight.box, tight.mask))
        local = prompts.to_frame(Frame(origin=(tile.box.y0, tile.box.x0)))
        return translate(local, self.model.spec.capabilities)


def _closest(decoded: MaskLogits, i: int, tile: Tile, carried: PlacedMask) -> PlacedMask:
    """Return the candidate that is most like a mask."""
    found = [
        _positive(logits, tile, float(score))
        for logits, score in zip(decoded.logits[i], decoded.scores[i], strict=True)
    ]
    return max(found, key=lambda m: iou(m, carried))


def _positive(logits: NDArray[np.float32], tile: Tile, score: float) -> PlacedMask:
    mask = logits > 0
    inner = bounding_box(mask)
    return PlacedMask(inner.shift(tile.box.y0, tile.box.x0), mask[inner.slices], score)


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
