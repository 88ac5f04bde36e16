"""A plane, or a part of it, labelled by what examples have taught.

Each tile, overlapping by half, is asked where the remembered classes are; the answers are blended
with weights that fall to nothing at the tiles' edges, and the likeliest class wins.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.patchwork import tent
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.engine.candidates import Settings
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.everything import paint
from napari_ditto.engine.lessons import Lesson
from napari_ditto.engine.like_objects import Map, Sizes, objects_steps
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import ContextMap, ContextModel, Memory

MAX_VALUES = 1 << 28
"""Most pixels times classes; the maps take four bytes for each."""


@dataclass(frozen=True, eq=False)
class ContextResult:
    """A plane, or a part of it, segmented by examples.

    Attributes
    ----------
    labels : ndarray of uint32, shape ``box.shape``
        Classes as in the examples, or objects counted from 1, the surest first; 0 is background.
    probability : ndarray of float32, shape (c, *box.shape)
        Of each class, in the order of `classes`.
    classes : tuple of int
        The examples' class ids, ``(1,)`` for objects.
    box : Box
        The part of the plane that was done.
    scores : ndarray of float32, shape (n,)
        Confidence in [0, 1] of objects 1 to n, or of each class in the order of `classes`: its
        mean probability where it is painted, 0 if it is nowhere.
    objects : tuple of PlacedMask
        All candidates in pixels of the plane, doubtful ones too; they may reach out of the box
        and overlap. Empty for classes.
    """

    labels: NDArray[np.uint32]
    probability: NDArray[np.float32]
    classes: tuple[int, ...]
    box: Box
    scores: NDArray[np.float32]
    objects: tuple[PlacedMask, ...] = ()
    instances: bool = False
    settings: Settings = field(default_factory=Settings)

    def above(self, threshold: float) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Return labels and scores of what is at least so sure; no model is asked.

        Parameters
        ----------
        threshold : float
            Least confidence of an object; for classes, least probability of a pixel.
        """
        if self.instances:
            # As float32, so that a score that was shown finds its own object.
            sure = [m for m in self.objects if np.float32(m.score) >= np.float32(threshold)]
            return paint(sure, self.box, self.settings)
        return paint_classes(self.probability, self.classes, threshold)


def apply_steps(
    encoder: TileEncoder, lesson: Lesson, address: PlaneAddress, box: Box
) -> Generator[Progress, None, ContextResult]:
    """Return a part of a plane segmented by what was learnt.

    Parameters
    ----------
    encoder : TileEncoder
        Of the image, with a context model.
    lesson : Lesson
        From :func:`learn_steps`.
    address, box : PlaneAddress, Box
        What to label.
    """
    memory, model = lesson.memory, encoder.model
    if not isinstance(model, ContextModel):
        raise ModelError(f"{model.spec.id} takes no examples", todo="Choose another model")
    tiles = Grid(encoder.source.plane_shape(address), encoder.tile_size).covering(box)
    with encoder.reading_ahead((address, tile) for tile in tiles):
        probability, center = yield from recall_steps(encoder, model, memory, address, box)
    if not lesson.instances:
        yield Progress("merge", 0, 1, "painting labels")
        labels, scores = paint_classes(probability, memory.classes)
        return ContextResult(labels, probability, memory.classes, box, scores)
    sizes = lesson.sizes or Sizes.guess(probability[0])
    found, settings = yield from objects_steps(
        encoder, address, box, probability[0], center, sizes, lesson.least
    )
    labels, scores = paint(found, box, settings)
    return ContextResult(
        labels, probability, memory.classes, box, scores, tuple(found), True, settings
    )


def recall_steps(
    encoder: TileEncoder,
    model: ContextModel,
    memory: Memory,
    address: PlaneAddress,
    box: Box,
    known: MutableMapping[Tile, ContextMap] | None = None,
) -> Generator[Progress, None, tuple[NDArray[np.float32], Map | None]]:
    """Return the blended probability of each class, (c, *box.shape), and of centres.

    What is `known` of a tile of this plane with this memory is not asked again.
    """
    if memory.model != model.spec.key:
        raise ModelError(f"these examples were encoded by {memory.model}")
    if len(memory.classes) * box.area > MAX_VALUES:
        raise ModelError(
            f"{len(memory.classes)} classes in {box.height} x {box.width} pixels are too much",
            todo="Choose a region, or fewer classes",
        )
    shape = encoder.source.plane_shape(address)
    total = np.zeros((len(memory.classes), *box.shape), dtype=np.float32)
    weight, center = np.zeros(box.shape, dtype=np.float32), np.zeros(box.shape, dtype=np.float32)
    centered = True
    tiles = list(Grid(shape, encoder.tile_size).covering(box))
    for i, tile in enumerate(tiles):
        yield Progress("decode", i, len(tiles), f"tile {i + 1} of {len(tiles)}")
        found = yield from tile_steps(encoder, model, memory, address, tile, known)
        common = tile.box.intersect(box)
        here, there = (
            common.shift(-box.y0, -box.x0).slices,
            common.shift(-tile.box.y0, -tile.box.x0).slices,
        )
        trust = tent(tile.box, shape)[there]
        total[:, *here] += trust * found.probability[:, *there]
        if found.center is None:
            centered = False
        else:
            center[here] += trust * found.center[there]
        weight[here] += trust
    return total / weight, center / weight if centered else None


def tile_steps(
    encoder: TileEncoder,
    model: ContextModel,
    memory: Memory,
    address: PlaneAddress,
    tile: Tile,
    known: MutableMapping[Tile, ContextMap] | None = None,
) -> Generator[Progress, None, ContextMap]:
    """Return what one tile tells, asked for only if it is not `known`, and known from then on."""
    found = known.get(tile) if known is not None else None
    if found is None:
        (embedding,) = yield from encoder.embed_steps(address, [tile])
        found = model.recall(embedding, memory)
        if known is not None:  # else nothing is held but the tile at hand
            known[tile] = found
    return found


def paint_classes(
    probability: NDArray[np.float32], classes: tuple[int, ...], threshold: float = 0.0
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Return the likeliest class of each pixel, and the mean probability of each where painted.

    Background is what is likeliest there, or has no class of at least the threshold.
    """
    winner = probability.argmax(axis=0)
    chance = np.take_along_axis(probability, winner[None], axis=0)[0]
    shown = (chance > 1 - probability.sum(axis=0)) & (chance >= threshold)
    place = np.where(shown, winner + 1, 0)
    counts = np.bincount(place.ravel(), minlength=len(classes) + 1)
    sums = np.bincount(place.ravel(), chance.ravel(), minlength=len(classes) + 1)
    labels: NDArray[np.uint32] = np.array([0, *classes], dtype=np.uint32)[place]
    return labels, (sums / np.maximum(counts, 1))[1:].astype(np.float32)
