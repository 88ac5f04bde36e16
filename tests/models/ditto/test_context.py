"""Learning from examples with the bundled network, here with the network alone around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.ditto import context
from napari_ditto.models.ditto.context_features import LEVELS, describe
from napari_ditto.models.ditto.encoder import STRIDE
from napari_ditto.models.ditto.layers import pool
from napari_ditto.models.ditto.weights import load_network
from napari_ditto.models.protocols import Example, ModelSpec
from napari_ditto.testing.contracts.models import ContextModelContract


class ContextOnly:
    """The network with `describe` as its encoder."""

    def __init__(self, levels=LEVELS):
        self.network, digest = load_network("cpu")
        self.levels = levels
        self.spec = ModelSpec("ditto-context", "test", "1", digest, "BSD-3-Clause", "none")

    @torch.inference_mode()
    def encode(self, tiles):
        return [self.encode_tile(tile) for tile in tiles]

    def encode_tile(self, tile):
        multiple = STRIDE << (self.levels - 1)
        margins = [(0, -size % multiple) for size in tile.shape[:2]]
        padded = np.pad(tile, (*margins, (0, 0)), mode="symmetric").transpose(2, 0, 1)
        image = torch.from_numpy(np.ascontiguousarray(padded))[None]
        features = [self.network.encode(pool(image, 1 << k)) for k in range(self.levels)]
        arrays = describe(self.network, image, features)
        arrays["pixels"] = tile.astype(np.float16)
        return Embedding(arrays, tile.shape[:2], self.spec.key)

    def remember(self, examples):
        return context.remember(examples, self.spec.key)

    def recall(self, embedding, memory):
        if memory.model != self.spec.key:
            raise ModelError("foreign memory")
        return context.recall(embedding, memory)

    def tune(self, memory, examples, steps=20):
        return context.tune(memory, examples, steps, self.spec.key)


@pytest.fixture(scope="module")
def shared():
    return ContextOnly()


class TestContract(ContextModelContract):
    @pytest.fixture
    def model(self, shared):
        return shared
