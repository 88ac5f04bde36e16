"""How much each example counts: by the similarity of its image to the target.

A picture is described by the mean and the spread of every channel of the model's embedding.
Choosing examples by pooled features of the encoder helps in-context segmentation: Zhang, Zhou &
Liu 2023, arXiv:2301.13670.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.teaching import taught, tiles_of
from napari_ditto.models.protocols import UNKNOWN, ContextModel, PromptModel

MOST_TILES = 4
"""Tiles of an image that are looked at; spread evenly."""

BLUR = 0.1
"""Distances smaller than this, in parts of the target's own size, make no difference."""

Description = list[NDArray[np.float64]]


def weigh_steps(
    examples: Sequence[PlaneExample],
    source: Source,
    address: PlaneAddress,
    model: PromptModel | ContextModel,
    cache: EmbeddingStore | None = None,
    region: Box | None = None,
) -> Generator[Progress, None, tuple[float, ...]]:
    """Return the weight of each example, in (0, 1], 1 for the most similar.

    The weight of an example at distance ``d`` is ``(d0 + .1) / (d + .1)``, where ``d0`` is the
    smallest distance and a distance is relative to the size of the target's description.

    Parameters
    ----------
    examples : sequence of PlaneExample
        Any number.
    source, address
        The target.
    model : PromptModel or ContextModel
        Whose embeddings are compared; they are those that are needed later anyway.
    cache : EmbeddingStore, optional
        Where embeddings are kept.
    region : Box, optional
        The part of the target that counts.
    """
    if len(examples) < 2:
        return (1.0,) * len(examples)
    encoder = TileEncoder(source, model, cache)
    shape = source.plane_shape(address)
    tiles = Grid(shape, encoder.tile_size).covering(region or Box.of_shape(shape))
    target = yield from _describe(encoder, address, list(tiles))
    distances = []
    for example in examples:
        own = TileEncoder(example.source, model, encoder.cache)
        seen = tiles_of(example, taught(example) != UNKNOWN, own.tile_size)
        shown = yield from _describe(own, example.address, seen)
        distances.append(_distance(shown, target) if shown else np.inf)
    least = min(distances) + BLUR
    if not np.isfinite(least):
        return (1.0,) * len(examples)
    return tuple(float(max(least / (d + BLUR), 1e-3)) for d in distances)


def _describe(
    encoder: TileEncoder, address: PlaneAddress, tiles: Sequence[Tile]
) -> Generator[Progress, None, Description]:
    """Return the mean description of some tiles, one vector for each array of an embedding."""
    picks = np.unique(np.linspace(0, len(tiles) - 1, min(len(tiles), MOST_TILES)).round())
    seen = []
    for i in picks.astype(int).tolist():
        (embedding,) = yield from encoder.embed_steps(address, [tiles[i]])
        seen.append(_pooled(embedding))
    return [np.mean(parts, axis=0) for parts in zip(*seen, strict=True)]


def _pooled(embedding: Embedding) -> Description:
    """Return mean and standard deviation of the channels of every array, in the arrays' order."""
    found = []
    for _, array in sorted(embedding.arrays.items()):
        values = np.asarray(array, dtype=np.float32)
        if values.shape[:2] == embedding.tile_shape and values.ndim == 3:
            values = np.moveaxis(values, -1, 0)  # pixels as they were read
        flat = values.reshape(len(values) if values.ndim == 3 else 1, -1)
        found.append(np.concatenate([flat.mean(axis=1), flat.std(axis=1)]).astype(np.float64))
    return found


def _distance(a: Description, b: Description) -> float:
    """Return the mean over arrays of the distance relative to the size of the second."""
    parts = [
        np.linalg.norm(x - y) / max(float(np.linalg.norm(y)), 1e-9)
        for x, y in zip(a, b, strict=True)
        if x.shape == y.shape
    ]
    return float(np.mean(parts)) if parts else 0.0
