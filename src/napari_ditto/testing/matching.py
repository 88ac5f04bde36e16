"""A stand-in for a SAM-like network with features that mean something, where no weights are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import PromptSet
from napari_ditto.models.matching.dense import Dense
from napari_ditto.models.matching.matcher import Matcher
from napari_ditto.models.protocols import (
    Capability,
    ContextMap,
    Example,
    MaskLogits,
    Memory,
    ModelSpec,
    PromptModel,
)


class MatchingModel:
    """Another model's encoder and decoder, and examples by matching; no suggestions of its own.

    Parameters
    ----------
    model : PromptModel
        Such as :class:`~napari_ditto.models.ditto.model.DittoModel`.
    dense : callable
        Returns its features of an embedding.
    """

    def __init__(self, model: PromptModel, dense: Callable[[Embedding], Dense]) -> None:
        self.model = model
        self._matcher = Matcher(self, dense)

    @property
    def spec(self) -> ModelSpec:
        """Who the other model is."""
        added: frozenset[Capability] = frozenset({"examples"})
        kinds = self.model.spec.capabilities - {"auto"} | added
        return replace(self.model.spec, capabilities=kinds)

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Pass on."""
        return self.model.encode(tiles)

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Pass on."""
        return self.model.decode(embedding, prompts)

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Condense examples."""
        return self._matcher.remember(examples)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return where the remembered classes are."""
        return self._matcher.recall(embedding, memory)

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory that fits the examples better."""
        return self._matcher.tune(memory, examples, steps)


def ditto_features(embedding: Embedding, stride: int = 8) -> Dense:
    """Return what the encoder of `ditto` knows of a tile, at stride 16, 8 or 4."""
    from napari_ditto.models.ditto.context_features import channels

    height, width = embedding.tile_shape
    count = channels()[stride][0]
    values = np.asarray(embedding.arrays[f"context{stride}"][:count], np.float32)
    return Dense.cut(values, (height / stride, width / stride), embedding.tile_shape)


def truth_features(embedding: Embedding, cell: int = 4, kinds: int = 3) -> Dense:
    """Return features for :class:`~napari_ditto.testing.fakes.PerfectModel`, blurred and noisy.

    They tell what kind an object is, its id modulo `kinds`, but not which object.
    """
    truth = np.asarray(embedding.arrays["truth"], np.intp)
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((1 + kinds, 12))
    seen = looks[np.where(truth > 0, 1 + truth % kinds, 0)]
    seen = seen + 0.3 * rng.standard_normal(seen.shape)
    height, width = truth.shape
    pixels = np.pad(seen, [(0, -height % cell), (0, -width % cell), (0, 0)])
    cells = pixels.reshape(pixels.shape[0] // cell, cell, -1, cell, 12).mean(axis=(1, 3))
    values = np.moveaxis(cells, -1, 0).astype(np.float32)
    return Dense.cut(values, (height / cell, width / cell), embedding.tile_shape)
