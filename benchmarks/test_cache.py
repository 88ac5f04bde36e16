"""What the embedding cache costs: key, put, and a hit in memory and on disk."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.window import Window
from napari_ditto.data.embeddings import EmbeddingCache, embedding_key

MODEL = "bench@1#0123456789abcdef"
WINDOW = Window((0.0,), (1.0,))
TILE = np.random.default_rng(0).random((1024, 1024, 3), dtype=np.float32)
KEYS = [embedding_key(MODEL, TILE[:8, : n + 1], WINDOW) for n in range(64)]
SIZES = pytest.mark.parametrize(
    ("shape", "dtype"),
    [((256, 64, 64), "float16"), ((48, 256, 256), "float32")],
    ids=["2 MB", "12 MB"],
)


def embedding(shape, dtype):
    features = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return Embedding({"features": features}, (1024, 1024), MODEL)


@pytest.mark.parametrize("side", [512, 1024])
def test_key_of_a_tile(benchmark, side):
    benchmark(embedding_key, MODEL, TILE[:side, :side], WINDOW)


@SIZES
def test_put(benchmark, tmp_path, shape, dtype):
    cache, made = EmbeddingCache(directory=tmp_path), embedding(shape, dtype)
    cache.put(KEYS[-1], made)
    keys = iter(KEYS)
    benchmark.pedantic(lambda: cache.put(next(keys), made), rounds=40)


@SIZES
def test_warm_hit(benchmark, tmp_path, shape, dtype):
    cache = EmbeddingCache(directory=tmp_path)
    cache.put(KEYS[0], embedding(shape, dtype))
    benchmark(cache.get, KEYS[0])
    assert benchmark.stats is None or benchmark.stats["median"] < 1e-3


@SIZES
def test_disk_hit(benchmark, tmp_path, shape, dtype):
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    for key in KEYS[:10]:
        cache.put(key, embedding(shape, dtype))
    keys = itertools.cycle(KEYS[:10])
    assert benchmark.pedantic(lambda: cache.get(next(keys)), rounds=40) is not None


def test_scan_of_5000_entries(benchmark, tmp_path):
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    small = Embedding({"features": np.zeros(8, np.float16)}, (8, 8), MODEL)
    for n in range(5000):
        cache.put(embedding_key(MODEL, np.full((1, 1, 3), n), WINDOW), small)
    stats = benchmark.pedantic(cache.stats, rounds=5)
    assert stats.entries == 5000
