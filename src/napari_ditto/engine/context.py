"""More like this: a plane segmented by examples.

The examples' tiles are encoded and condensed into a memory. Each tile of the plane, overlapping by
half, is asked where the remembered classes are; the answers are blended with weights that fall to
nothing at the tiles' edges, and the likeliest class wins.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.patchwork import tent
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Grid
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.data.source import is_source, open_source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.jobs import drain
from napari_ditto.engine.like_objects import Sizes, objects_steps, part, pieces
from napari_ditto.errors import ModelError, SourceError
from napari_ditto.models.protocols import AutoPromptModel, ContextModel, Example, Memory

MAX_PIXELS = 1 << 26
"""Largest plane done at once; the class maps take four bytes per class and pixel."""

LabelledImage = tuple[object, NDArray[np.integer]]


@dataclass(frozen=True, eq=False)
class ContextResult:
    """A plane segmented by examples.

    Attributes
    ----------
    labels : ndarray of uint32, shape (height, width)
        Classes as in the examples, or objects counted from 1; 0 is background.
    probability : ndarray of float32, shape (c, height, width)
        Of each class, in the order of `classes`.
    classes : tuple of int
        The examples' class ids, ``(1,)`` for objects.
    """

    labels: NDArray[np.uint32]
    probability: NDArray[np.float32]
    classes: tuple[int, ...]


def segment_like(
    source: Source,
    examples: Sequence[LabelledImage],
    model: ContextModel,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    *,
    instances: bool = False,
    cache: EmbeddingStore | None = None,
) -> NDArray[np.uint32]:
    """Return the labels of one plane, after the examples.

    Parameters
    ----------
    source : Source
        The image.
    examples : sequence of (image, labels)
        Planes: an array, or a source of two axes, and labels of its shape. Arrays are read with
        the window of `source`, so that equal values look equal.
    model : ContextModel
        Such as ``load_model("classic")``.
    plane : mapping or PlaneAddress, optional
        Index on the axes that are not displayed; 0 by default.
    instances : bool
        False: every id in the examples is a class, and the result has these ids. True: all ids are
        objects of one kind, and each object found gets an id of its own.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.

    Returns
    -------
    ndarray of uint32, shape (height, width)

    Raises
    ------
    SourceError, ModelError
        If an example does not fit its labels, nothing is labelled, or the plane is too large.
    """
    steps = segment_like_steps(source, examples, model, plane, instances=instances, cache=cache)
    return drain(steps).labels


def segment_like_steps(
    source: Source,
    examples: Sequence[LabelledImage],
    model: ContextModel,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    *,
    instances: bool = False,
    cache: EmbeddingStore | None = None,
) -> Generator[Progress, None, ContextResult]:
    """Return what :func:`segment_like` makes its labels from, tile by tile."""
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    shape = source.plane_shape(address)
    if shape[0] * shape[1] > MAX_PIXELS:
        raise SourceError(
            f"a plane of {shape[0]} x {shape[1]} is too large to be done at once",
            where=source.name,
        )
    encoder = TileEncoder(source, model, cache)
    shown: list[Example] = []
    for number, (image, labels) in enumerate(examples, 1):
        kinds = (labels > 0).astype(np.int32) if instances else labels
        shown += yield from _encode_example(image, kinds, number, encoder)
    memory = model.remember(shown)
    probability, center = yield from _recall(encoder, model, memory, address)
    if instances:
        sizes = Sizes.of([labels for _, labels in examples])
        labels = yield from _objects(encoder, address, probability[0], center, sizes)
    else:
        yield Progress("merge", 0, 1, "painting labels")
        labels = _classes(probability, memory.classes)
    return ContextResult(labels, probability, memory.classes)


def _encode_example(
    image: object, labels: NDArray[np.integer], number: int, encoder: TileEncoder
) -> Generator[Progress, None, list[Example]]:
    """Return the tiles of one example; those without a label show the background."""
    source = _open_example(image, labels, encoder.source)
    address = source.plane()
    if source.plane_shape(address) != labels.shape:
        raise SourceError(
            f"labels of shape {labels.shape} for a plane of {source.plane_shape(address)}",
            where=f"example {number}",
        )
    own = TileEncoder(source, encoder.model, encoder.cache)
    found = []
    for tile in Grid(source.plane_shape(address), own.tile_size, 0).touching(
        Box.of_shape(labels.shape)
    ):
        (embedding,) = yield from own.embed_steps(address, [tile])
        found.append(Example(embedding, labels[tile.box.slices]))
    return found


def _open_example(image: object, labels: NDArray[np.integer], target: Source) -> Source:
    if is_source(image):
        return image
    pixels = np.asarray(image)
    axes = "yxc" if pixels.ndim == labels.ndim + 1 else "yx"
    return open_source(pixels, axes=axes, window=target.window)


def _recall(
    encoder: TileEncoder, model: ContextModel, memory: Memory, address: PlaneAddress
) -> Generator[Progress, None, tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Return the blended probability of each class, (c, height, width), and of centres."""
    if memory.model != model.spec.key:
        raise ModelError(f"these examples were encoded by {memory.model}")
    shape = encoder.source.plane_shape(address)
    total = np.zeros((len(memory.classes), *shape), dtype=np.float32)
    weight, center = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    centered = True
    grid = Grid(shape, encoder.tile_size)
    for i, tile in enumerate(grid.covering(Box.of_shape(shape))):
        yield Progress("decode", i, grid.count, f"tile {i + 1} of {grid.count}")
        (embedding,) = yield from encoder.embed_steps(address, [tile])
        trust = tent(tile.box, shape)
        found = model.recall(embedding, memory)
        total[:, *tile.box.slices] += trust * found.probability
        if found.center is None:
            centered = False
        else:
            center[tile.box.slices] += trust * found.center
        weight[tile.box.slices] += trust
    return total / weight, center / weight if centered else None


def _classes(probability: NDArray[np.float32], classes: tuple[int, ...]) -> NDArray[np.uint32]:
    """Return the likeliest class of each pixel, background where it is the likeliest."""
    background = 1 - probability.sum(axis=0, keepdims=True)
    winner = np.concatenate([background, probability]).argmax(axis=0)
    labels: NDArray[np.uint32] = np.array([0, *classes], dtype=np.uint32)[winner]
    return labels


def _objects(
    encoder: TileEncoder,
    address: PlaneAddress,
    probability: NDArray[np.float32],
    center: NDArray[np.float32] | None,
    sizes: Sizes,
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Return objects with ids from 1, outlined by the model where it can be asked."""
    if center is not None and isinstance(encoder.model, AutoPromptModel):
        return (yield from objects_steps(encoder, address, probability, center, sizes))
    numbered, height = part(probability, center, sizes)
    wanted = [p.number for p in pieces(numbered, height, sizes)]
    labels = np.where(np.isin(numbered, wanted), numbered, 0)
    ids = np.unique(labels)
    return np.searchsorted(ids[ids > 0], labels, side="right").astype(np.uint32)
