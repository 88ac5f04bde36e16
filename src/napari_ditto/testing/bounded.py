"""A stand-in for a model that sees no farther than a few pixels, and pictures made for it.

Where it looks, a window of a picture shows the same objects as the whole: what a run over tiles
must give can be known by running it over one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.protocols import MaskLogits, ModelSpec

LEVELS = 65535
"""Pictures are uint16; their window is (0, :data:`LEVELS`)."""


class BoundedModel:
    """Finds regions of one value, without the pixels near another value.

    Parameters
    ----------
    reach : int
        How far around a pixel it looks.
    tile : int
        Side of the largest tile.
    seconds : float
        How long each encoding sleeps.
    """

    def __init__(self, reach: int = 2, tile: int = 4096, seconds: float = 0.0) -> None:
        self.reach, self.seconds = reach, seconds
        self._spec = ModelSpec(
            "bounded", "bounded", str(reach), "0" * 64, "BSD-3-Clause", "none", input_size=tile,
            capabilities=frozenset({"points", "auto"}),
        )  # fmt: skip

    @property
    def spec(self) -> ModelSpec:
        """Who this is."""
        return self._spec

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Return the numbered regions of each tile."""
        time.sleep(self.seconds)
        found = (self._regions(tile[..., 0]) for tile in tiles)
        return [Embedding({"regions": r}, (r.shape[0], r.shape[1]), self.spec.key) for r in found]

    def suggest(self, embedding: Embedding) -> list[PromptSet]:
        """Return a point on each region."""
        regions = embedding.arrays["regions"].ravel()
        ids, places = np.unique(regions, return_index=True)
        width = embedding.tile_shape[1]
        return [
            PromptSet((PointPrompt(float(at // width), float(at % width)),))
            for at in places[ids > 0].tolist()
        ]

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return the region under each point."""
        regions = embedding.arrays["regions"]
        at = [regions[int(p.points[0].y), int(p.points[0].x)] for p in prompts]
        masks = np.stack([(regions == i) & (i > 0) for i in at])[:, None]
        scores = np.ones((len(prompts), 1), dtype=np.float32)
        logits = np.where(masks, np.float32(10), np.float32(-10))
        return MaskLogits(logits, scores, np.zeros(len(prompts), dtype=np.intp))

    def _regions(self, pixels: NDArray[np.float32]) -> NDArray[np.int32]:
        from scipy.ndimage import label, maximum_filter, minimum_filter

        values, side = np.rint(pixels * LEVELS), 2 * self.reach + 1
        alike = maximum_filter(values, side) == minimum_filter(values, side)
        regions, _ = label(alike & (values > 0))
        return np.asarray(regions, dtype=np.int32)


def tissue(
    shape: Sequence[int], size: float, rng: np.random.Generator, *, share: float = 0.8
) -> NDArray[np.uint16]:
    """Return cells that touch, each of its own value, some of them left out.

    Parameters
    ----------
    shape : sequence of int
        Of a plane or a stack.
    size : float
        About the diameter of a cell, pixels; none is longer than 2.5 times that.
    rng : Generator
        Where the cells lie.
    share : float
        Part of the cells that are there.
    """
    from scipy.spatial import cKDTree

    places = np.meshgrid(*(np.arange(0, n + size, size) for n in shape), indexing="ij")
    centers = np.stack([p.ravel() for p in places], axis=1)
    centers = centers + rng.uniform(-0.3 * size, 0.3 * size, centers.shape)
    ids = rng.permutation(len(centers)) + 1
    ids[rng.random(len(ids)) > share] = 0
    pixels = np.indices(tuple(shape)).reshape(len(shape), -1).T
    nearest = np.asarray(cKDTree(centers).query(pixels)[1])
    return ids[nearest].reshape(shape).astype(np.uint16)


def canonical(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return labels numbered in the order in which they first occur."""
    ids, first, place = np.unique(labels, return_index=True, return_inverse=True)
    names = np.zeros(len(ids), dtype=np.int64)
    order = [i for i in np.argsort(first) if ids[i] != 0]
    names[order] = np.arange(1, len(order) + 1)
    return names[place].reshape(labels.shape)
