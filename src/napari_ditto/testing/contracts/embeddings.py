"""What every embedding store must do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import DTypeLike

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.window import Window
from napari_ditto.data.embeddings import embedding_key
from napari_ditto.data.protocols import EmbeddingStore

MODEL = "contract@1#0123456789abcdef"


def make_key(seed: int, model: str = MODEL) -> str:
    """Return the key of a small random tile."""
    tile = np.random.default_rng(seed).random((8, 8, 3), dtype=np.float32)
    return embedding_key(model, tile, Window((0.0,), (1.0,)))


def make_embedding(
    seed: int,
    model: str = MODEL,
    dtype: DTypeLike = np.float16,
    shape: tuple[int, ...] = (4, 6, 5),
) -> Embedding:
    """Return an embedding with two arrays, which differ between seeds in every element."""
    rng = np.random.default_rng(seed)
    arrays = {
        "features": rng.standard_normal(shape).astype(dtype),
        "high_res": rng.standard_normal((2, 9)).astype(np.float32),
    }
    return Embedding(arrays, (8, 8), model)


def same(found: Embedding | None, expected: Embedding) -> bool:
    """Whether both are equal bit for bit, shapes, types and names included."""
    if found is None or (found.tile_shape, found.model) != (expected.tile_shape, expected.model):
        return False
    if found.arrays.keys() != expected.arrays.keys():
        return False
    pairs = ((found.arrays[name], expected.arrays[name]) for name in expected.arrays)
    return all(
        (a.shape, a.dtype) == (b.shape, b.dtype) and a.tobytes() == b.tobytes() for a, b in pairs
    )


class EmbeddingStoreContract:
    """Subclass it and give the fixture ``store``: an empty store with room for 1 MB."""

    @pytest.fixture
    def store(self) -> EmbeddingStore:
        """Return the store under test."""
        raise NotImplementedError

    def test_is_a_store(self, store: EmbeddingStore) -> None:
        assert isinstance(store, EmbeddingStore)

    def test_unknown_key_is_none(self, store: EmbeddingStore) -> None:
        assert store.get(make_key(0)) is None

    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    @pytest.mark.parametrize("shape", [(4, 6, 5), (7,), (), (1, 1), (0, 3)])
    def test_returns_what_was_put(
        self, store: EmbeddingStore, dtype: str, shape: tuple[int, ...]
    ) -> None:
        expected = make_embedding(0, dtype=dtype, shape=shape)
        store.put(make_key(0), expected)
        assert same(store.get(make_key(0)), expected)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 0.0])
    def test_keeps_special_values(self, store: EmbeddingStore, value: float) -> None:
        expected = Embedding({"f": np.full((3, 4), value, np.float32)}, (8, 8), MODEL)
        store.put(make_key(0), expected)
        assert same(store.get(make_key(0)), expected)

    def test_takes_arrays_in_any_memory_order(self, store: EmbeddingStore) -> None:
        array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        for seed, view in enumerate([array.T, array[:, ::2], np.asfortranarray(array)]):
            store.put(make_key(seed), Embedding({"f": view}, (8, 8), MODEL))
            found = store.get(make_key(seed))
            assert found is not None
            np.testing.assert_array_equal(found.arrays["f"], view)

    def test_keeps_keys_apart(self, store: EmbeddingStore) -> None:
        for seed in range(5):
            store.put(make_key(seed), make_embedding(seed))
        assert all(same(store.get(make_key(seed)), make_embedding(seed)) for seed in range(5))

    def test_putting_twice_is_harmless(self, store: EmbeddingStore) -> None:
        for _ in range(2):
            store.put(make_key(0), make_embedding(0))
        assert same(store.get(make_key(0)), make_embedding(0))

    def test_later_changes_by_the_caller_do_not_count(self, store: EmbeddingStore) -> None:
        mine = make_embedding(0)
        store.put(make_key(0), mine)
        mine.arrays["features"][...] = 0
        assert same(store.get(make_key(0)), make_embedding(0))

    def test_answers_cannot_be_changed(self, store: EmbeddingStore) -> None:
        store.put(make_key(0), make_embedding(0))
        found = store.get(make_key(0))
        assert found is not None
        with pytest.raises(ValueError, match="read-only"):
            found.arrays["features"][...] = 0

    def test_serves_threads(self, store: EmbeddingStore) -> None:
        def work(seed: int) -> bool:
            key, expected = make_key(seed % 4), make_embedding(seed % 4)
            found = store.get(key)
            store.put(key, expected)
            return (found is None or same(found, expected)) and same(store.get(key), expected)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(40)))
