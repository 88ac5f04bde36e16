"""`classic`: the model that needs no weights and no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.classic import auto, boxes, context, forest, proposals, scores
from napari_ditto.models.classic.features import compute_filters
from napari_ditto.models.classic.seeds import read_seeds
from napari_ditto.models.protocols import ContextMap, Crop, Example, MaskLogits, Memory, ModelSpec

VERSION = "1"
CITATION = (
    "Component trees: Salembier et al. 1998. Watershed: Meyer 1994. Region merging: Arbelaez et "
    "al. 2011. Box classifier: after Rother et al. 2004. Ridge: Hoerl & Kennard 1970, with random "
    "Fourier features, Rahimi & Recht 2007."
)


class ClassicModel:
    """Prompts, automatic prompts and examples by classical image analysis.

    It holds no state: threads may share it.
    """

    @cached_property
    def spec(self) -> ModelSpec:
        """Who this is."""
        return ModelSpec(
            id="classic",
            family="classic",
            version=VERSION,
            weights_sha256=_constants_hash(),
            licence="BSD-3-Clause",
            citation=CITATION,
            source="napari-ditto",
            input_size=512,
            capabilities=frozenset(
                ("points", "box", "mask", "scribbles", "proposals", "auto", "examples")
            ),
            encode_seconds=0.6,
            decode_seconds=0.03,
            embedding_bytes=8_000_000,
        )

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Encode tiles, shape (n, h, w, 3), values in [0, 1]."""
        if tiles.ndim != 4 or tiles.shape[-1] != 3 or not tiles.size:
            raise ModelError(f"Tiles must have shape (n, h, w, 3), got {tiles.shape}")
        return [self._encode(tile) for tile in tiles]

    def _encode(self, tile: NDArray[np.float32]) -> Embedding:
        filters = compute_filters(tile)
        arrays = forest.pack(forest.grow_forest(filters))
        for name in ("color", "fine", "coarse"):
            arrays[name] = getattr(filters, name).astype(np.float16)
        return Embedding(arrays, (tile.shape[0], tile.shape[1]), self.spec.key)

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return part, whole and group for each prompt set, best first shown."""
        self._check(embedding)
        scene = proposals.Scene(embedding)
        logits = np.empty((len(prompts), 3, *embedding.tile_shape), np.float32)
        scores = np.empty((len(prompts), 3), np.float32)
        best = np.empty(len(prompts), np.intp)
        for i, prompt in enumerate(prompts):
            seeds = read_seeds(prompt, embedding.tile_shape)
            best[i] = proposals.propose(scene, seeds, logits[i], scores[i])
        return MaskLogits(logits, scores, best)

    def decode_crops(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> list[Crop]:
        """Return the best proposal for each prompt set, where it lies."""
        self._check(embedding)
        scene = proposals.Scene(embedding)
        seeds = (read_seeds(prompt, embedding.tile_shape) for prompt in prompts)
        return [proposals.propose_crop(scene, one) for one in seeds]

    def suggest(self, embedding: Embedding) -> list[PromptSet]:
        """Return one prompt set per object seen in the tile."""
        self._check(embedding)
        return auto.suggest(proposals.Scene(embedding))

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Condense examples; the memory does not grow with their number."""
        for example in examples:
            self._check(example.embedding)
        return context.remember(examples, self.spec.key)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return a probability map per remembered class."""
        self._check(embedding)
        self._own(memory.model)
        return context.recall(embedding, memory)

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory in which pixels that were wrong count more."""
        self._own(memory.model)
        return context.tune(memory, examples, steps)

    def _check(self, embedding: Embedding) -> None:
        self._own(embedding.model)

    def _own(self, key: str) -> None:
        if key != self.spec.key:
            raise ModelError(
                f"This was encoded by {key}, not by {self.spec.key}", todo="Encode the tile again"
            )


def _constants_hash() -> str:
    parts = (
        forest.KINDS,
        forest.LEVELS,
        boxes.BOX_WEIGHTS,
        boxes.MASK_WEIGHTS,
        scores.constants_text(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
