"""Two small SegGPTs in the real format: one of random weights, one made by hand that segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as t

from napari_ditto.models.protocols import Example
from napari_ditto.models.registry import load_model
from napari_ditto.testing.small_seggpt import save_small_seggpt

SIZE = 64
CONFIG = {
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "image_size": [2 * SIZE, SIZE],
    "patch_size": 16,
    "pretrain_image_size": 48,  # position embeddings are interpolated, as in the published one
    "decoder_hidden_size": 8,
    "intermediate_hidden_state_indices": [2, 4],
    "merge_index": 2,
}


def make_network():
    """Return a network of the library in which no weight is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = t.SegGptForImageSegmentation(t.SegGptConfig(**CONFIG))
        with torch.no_grad():
            for name, p in network.named_parameters():
                is_norm = "norm" in name and name.endswith("weight")
                p.copy_(torch.randn_like(p) * 0.2 + (1.0 if is_norm else 0.0))
    return network.eval()


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("random") / "seggpt"
    make_network().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    torch.set_num_threads(1)
    return save_small_seggpt(tmp_path_factory.mktemp("small") / "seggpt")


@pytest.fixture
def network():
    return make_network()


@pytest.fixture(scope="session")
def random_model(random_folder):
    return load_model(f"seggpt:{random_folder}", "cpu")


@pytest.fixture(scope="session")
def model(small_folder):
    return load_model(f"seggpt:{small_folder}", "cpu")


@pytest.fixture(scope="session")
def picture():
    """Return random structure in 8-bit values of [0, 1], (h, w, 3)."""

    def make(height=SIZE, width=SIZE, seed=0):
        rng = np.random.default_rng(seed)
        coarse = rng.random((height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
        noisy = coarse[:height, :width] + 0.1 * rng.standard_normal((height, width, 3))
        return (np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def labelling():
    """Return labels in blocks, with ids of `ids`, 0 included."""

    def make(ids=(0, 1), height=SIZE, width=SIZE, seed=0):
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, len(ids), (height // 8 + 1, width // 8 + 1))
        return np.asarray(ids)[blocks.repeat(8, 0).repeat(8, 1)[:height, :width]]

    return make


@pytest.fixture(scope="session")
def scene():
    """Return a tile with squares of some grey levels, (y, x, level), and their labels."""

    def make(squares, shape=(64, 72), seed=0, side=16):
        rng = np.random.default_rng(seed)
        grey = 0.2 + 0.01 * rng.standard_normal(shape)
        labels = np.zeros(shape, int)
        for number, (y, x, level) in enumerate(squares, 1):
            grey[y : y + side, x : x + side] += level - 0.2
            labels[y : y + side, x : x + side] = number
        tile = np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=-1)
        return tile.astype(np.float32), labels

    return make


@pytest.fixture(scope="session")
def example():
    """Return a tile with labels as an example of a model."""

    def make(of, tile, labels, weight=1.0):
        return Example(of.encode(tile[None])[0], labels, weight)

    return make
