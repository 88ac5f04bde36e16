"""The embedding cache: contract, keys, budgets, and a disk that refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.plain_file import NotPlainError, load_plain
from napari_ditto.core.window import Window
from napari_ditto.data import diskstore
from napari_ditto.data.diskstore import DONE, DiskStore
from napari_ditto.data.embeddings import EmbeddingCache, default_directory, embedding_key
from napari_ditto.data.entry import FileRecord, encode_entry
from napari_ditto.data.memorystore import MemoryStore
from napari_ditto.errors import StoreError
from napari_ditto.testing.contracts.embeddings import (
    MODEL,
    EmbeddingStoreContract,
    make_embedding,
    make_key,
    same,
)

OTHER = "other@2#fedcba9876543210"


class TestMemoryOnly(EmbeddingStoreContract):
    @pytest.fixture
    def store(self):
        return EmbeddingCache(directory=None)


class TestDiskOnly(EmbeddingStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return EmbeddingCache(memory_bytes=0, directory=tmp_path)


class TestMemoryOverDisk(EmbeddingStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return EmbeddingCache(directory=tmp_path)


class TestMemoryUnderABrokenDisk(EmbeddingStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        return EmbeddingCache(directory=tmp_path / "file")


# -- keys ------------------------------------------------------------------------------------

TILE = np.random.default_rng(0).random((16, 12, 3), dtype=np.float32)
WINDOW = Window((0.0, 1.0), (2.0, 3.0))


def test_equal_content_has_equal_keys():
    key = embedding_key(MODEL, TILE, WINDOW)
    assert embedding_key(MODEL, TILE.copy(order="F"), Window((0, 1), (2, 3))) == key
    assert embedding_key(MODEL, TILE.astype(">f4"), WINDOW) == key
    assert embedding_key(MODEL, np.repeat(TILE, 2, axis=0)[::2], WINDOW) == key
    assert len(key) == 64


def nudged(position):
    tile = TILE.copy()
    tile[position] = np.nextafter(tile[position], np.float32(2))
    return tile


@pytest.mark.parametrize(
    ("model", "tile", "window"),
    [
        (OTHER, TILE, WINDOW),
        (MODEL + "0", TILE, WINDOW),
        (MODEL, nudged((0, 0, 0)), WINDOW),
        (MODEL, nudged((15, 11, 2)), WINDOW),
        (MODEL, TILE.reshape(12, 16, 3), WINDOW),
        (MODEL, TILE[:-1], WINDOW),
        (MODEL, TILE[..., ::-1], WINDOW),
        (MODEL, TILE[:0], WINDOW),
        (MODEL, TILE, Window((0.0, 1.0), (2.0, np.nextafter(3.0, 4.0)))),
        (MODEL, TILE, Window((0.0, 2.0), (1.0, 3.0))),
        (MODEL, TILE, Window((0.0,), (2.0,))),
    ],
)
def test_any_difference_changes_the_key(model, tile, window):
    assert embedding_key(model, tile, window) != embedding_key(MODEL, TILE, WINDOW)


@pytest.mark.parametrize("key", ["", "a", "../../etc/passwd", "A" * 64, "0" * 65, "0" * 63 + "\n"])
def test_text_that_is_no_key_is_refused(tmp_path, key):
    cache = EmbeddingCache(directory=tmp_path)
    with pytest.raises(ValueError, match="not an embedding key"):
        cache.get(key)
    with pytest.raises(ValueError, match="not an embedding key"):
        cache.put(key, make_embedding(0))


def test_embedding_of_another_model_is_refused(tmp_path):
    cache = EmbeddingCache(directory=tmp_path)
    with pytest.raises(ValueError, match="another model"):
        cache.put(make_key(0), make_embedding(0, OTHER))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "zarr.json", "a b"])
def test_feature_names_that_are_no_file_names_are_refused(tmp_path, name):
    cache = EmbeddingCache(directory=tmp_path)
    with pytest.raises(ValueError, match="cannot be stored"):
        cache.put(make_key(0), Embedding({name: np.zeros(3, np.float32)}, (8, 8), MODEL))


# -- what lies on disk -----------------------------------------------------------------------


def test_entries_are_zarr_arrays_of_one_chunk(tmp_path):
    import zarr

    expected = make_embedding(0)
    cache = EmbeddingCache(directory=tmp_path)
    cache.put(make_key(0), expected)
    group = zarr.open_group(cache.path / make_key(0)[:16] / make_key(0), mode="r")
    for name, array in expected.arrays.items():
        assert group[name].chunks == array.shape
        assert np.isnan(group[name].fill_value)
        assert [codec.to_dict()["name"] for codec in group[name].compressors] == ["crc32c"]
        np.testing.assert_array_equal(group[name][...], array)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 1, 3, 1), (), (0, 3)])
def test_zarr_reads_every_type_and_shape(tmp_path, dtype, shape):
    import zarr

    array = np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    EmbeddingCache(directory=tmp_path).put(make_key(0), Embedding({"f": array}, (8, 8), MODEL))
    found = zarr.open_group(next(tmp_path.rglob(make_key(0))), mode="r")["f"]
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(found[...], array)


def test_files_that_zarr_wrote_are_read(tmp_path):
    """They are of the same format, byte for byte but for the spaces in the metadata."""
    import zarr

    expected = make_embedding(0)
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    cache.put(make_key(0), expected)
    entry = cache.path / make_key(0)[:16] / make_key(0)
    group = zarr.open_group(entry, mode="w", zarr_format=3)
    for name, array in expected.arrays.items():
        group.create_array(
            name, data=array, chunks=array.shape, filters=None,
            compressors=[zarr.codecs.Crc32cCodec()], fill_value=np.nan,
        )  # fmt: skip
    written = {f.relative_to(entry).as_posix(): f.read_bytes() for f in files_below(entry)}
    record, _ = encode_entry(make_key(0), expected)
    sizes = {
        name: FileRecord(len(raw), google_crc32c.value(raw[: None if "json" in name else -4]))
        for name, raw in written.items()
    }
    (entry / DONE).write_bytes(replace(record, files=sizes).to_bytes())
    assert same(cache.get(make_key(0)), expected)


def files_below(folder):
    return [file for file in folder.rglob("*") if file.is_file()]


def test_an_answer_lies_in_the_bytes_that_were_read(tmp_path, monkeypatch):
    loaded, load = [], diskstore.load_plain
    monkeypatch.setattr(
        diskstore, "load_plain", lambda *args: loaded.append(load(*args)) or loaded[-1]
    )
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    cache.put(make_key(0), make_embedding(0))
    features = cache.get(make_key(0)).arrays["features"]
    assert any(np.shares_memory(features, raw) for raw in loaded)


def test_a_file_of_another_length_is_not_loaded(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert bytes(load_plain(tmp_path / "file", 5)) == b"12345"
    for size in (0, 4, 6):
        with pytest.raises(NotPlainError, match="bytes long"):
            load_plain(tmp_path / "file", size)


def test_survives_the_process(tmp_path):
    EmbeddingCache(directory=tmp_path).put(make_key(0), make_embedding(0))
    assert same(EmbeddingCache(directory=tmp_path).get(make_key(0)), make_embedding(0))


def test_nothing_is_written_before_the_first_put(tmp_path):
    cache = EmbeddingCache(directory=tmp_path / "new")
    assert cache.get(make_key(0)) is None
    assert cache.stats().entries == 0
    assert not (tmp_path / "new").exists()


def test_nothing_temporary_is_left(tmp_path):
    cache = EmbeddingCache(directory=tmp_path)
    for seed in range(3):
        cache.put(make_key(seed), make_embedding(seed))
    assert not list((cache.path / "tmp").iterdir())


def test_sweeps_what_dead_processes_left_and_nothing_else(tmp_path):
    store = DiskStore(tmp_path, 1 << 20)
    store.put(make_key(0), make_embedding(0))
    mine = store._scratch()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], **PIPED)
    orphan = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{int(dead.stdout)}-"))
    elsewhere, old = mine.with_name("0000host-1-aa"), mine.with_name("0000host-1-bb")
    for folder in (mine, orphan, elsewhere, old):
        (folder / "features").mkdir(parents=True)
    os.utime(old, (0, 0))
    DiskStore(tmp_path, 1 << 20)
    assert mine.exists()
    assert elsewhere.exists()
    assert not orphan.exists()
    assert not old.exists()


PIPED = {"capture_output": True, "text": True, "check": True, "timeout": 60}


def test_clear_leaves_the_files_of_others(tmp_path):
    cache = EmbeddingCache(directory=tmp_path)
    cache.put(make_key(0), make_embedding(0))
    strangers = [tmp_path / "notes.txt", cache.path / "notes.txt", cache.path / "ab" / "notes.txt"]
    for stranger in strangers:
        stranger.parent.mkdir(exist_ok=True)
        stranger.write_text("mine")
    cache.clear()
    assert cache.get(make_key(0)) is None
    assert all(stranger.read_text() == "mine" for stranger in strangers)


def test_stats_and_clear_by_model(tmp_path):
    cache = EmbeddingCache(directory=tmp_path)
    for seed in range(3):
        cache.put(make_key(seed), make_embedding(seed))
    cache.put(make_key(9, OTHER), make_embedding(9, OTHER))
    cache.get(make_key(0))
    cache.get(make_key(7))
    stats = cache.stats()
    files = [f for f in cache.path.rglob("*") if f.is_file()]
    assert (stats.entries, stats.memory_entries) == (4, 4)
    assert stats.nbytes == sum(f.stat().st_size for f in files)
    assert stats.memory_nbytes == 4 * make_embedding(0).nbytes
    assert {model: use.entries for model, use in stats.models.items()} == {MODEL: 3, OTHER: 1}
    assert (stats.hits, stats.misses, stats.problem) == (1, 1, "")

    cache.clear(MODEL)
    assert cache.get(make_key(0)) is None
    assert same(cache.get(make_key(9, OTHER)), make_embedding(9, OTHER))
    assert list(cache.stats().models) == [OTHER]


def test_default_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path))
    assert default_directory() == tmp_path
    assert EmbeddingCache().path.is_relative_to(tmp_path)
    monkeypatch.delenv("NAPARI_DITTO_CACHE")
    assert "napari-ditto" in str(default_directory())


def test_writing_and_reading_need_no_zarr(tmp_path):
    script = f"""
        import sys
        from pathlib import Path
        from napari_ditto.testing.contracts.embeddings import *
        from napari_ditto.data.embeddings import EmbeddingCache
        cache = EmbeddingCache(memory_bytes=0, directory=Path({str(tmp_path)!r}))
        cache.put(make_key(0), make_embedding(0))
        assert same(cache.get(make_key(0)), make_embedding(0))
        assert not {{"zarr", "dask", "torch", "platformdirs"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], **PIPED)


# -- budgets ---------------------------------------------------------------------------------

SIZES = st.integers(1, 60)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 7), SIZES), max_size=40)


@given(STEPS, st.integers(0, 150))
def test_memory_is_the_least_recently_used_model(steps, budget):
    store, model = MemoryStore(budget), OrderedDict()
    for step, number, size in steps:
        key = str(number)
        if step == "put":
            store.put(key, Embedding({"f": np.zeros(size, np.uint8)}, (1, 1), MODEL))
            model.pop(key, None)
            if size <= budget:
                model[key] = size
            while sum(model.values()) > budget:
                model.popitem(last=False)
        else:
            found = store.get(key)
            assert (found.nbytes if found else None) == model.get(key)
            if found:
                model.move_to_end(key)
        assert store.nbytes == sum(model.values()) <= budget
        assert len(store) == len(model)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(2_000, 12_000))
def test_disk_keeps_its_quota_and_the_most_recently_used(tmp_path_factory, steps, quota):
    store = DiskStore(tmp_path_factory.mktemp("cache"), quota)
    used = {}
    for clock, (step, number, size) in enumerate(steps):
        key = make_key(number)
        if step == "put":
            store.put(key, Embedding({"f": np.full(size * 10, number, np.float32)}, (1, 1), MODEL))
            used[key] = clock
        elif store.get(key):
            used[key] = clock
        there = {entry.key: entry.size for entry in store.entries()}
        assert sum(there.values()) <= quota
        evicted = [used.pop(gone) for gone in set(used) - set(there) if gone != key]
        kept = [last for other, last in used.items() if other in there]
        assert not evicted or max(evicted) < min(kept, default=clock)
        used = {key: last for key, last in used.items() if key in there}


def test_an_entry_larger_than_the_quota_evicts_nothing(tmp_path):
    store = DiskStore(tmp_path, 10_000)
    store.put(make_key(0), make_embedding(0))
    store.put(make_key(1), make_embedding(1, shape=(100, 100)))
    assert same(store.get(make_key(0)), make_embedding(0))
    assert store.get(make_key(1)) is None


def test_use_from_memory_counts_as_use(tmp_path):
    size = EmbeddingCache(directory=tmp_path)
    size.put(make_key(0), make_embedding(0))
    cache = EmbeddingCache(directory=tmp_path, disk_bytes=int(size.stats().nbytes * 3.5))
    for seed in range(3):
        cache.put(make_key(seed), make_embedding(seed))
    cache.get(make_key(0))
    cache.put(make_key(3), make_embedding(3))
    again = EmbeddingCache(directory=tmp_path)
    assert again.get(make_key(0)) is not None
    assert again.get(make_key(1)) is None


def test_two_stores_in_one_folder_keep_the_quota_together(tmp_path):
    stores = [DiskStore(tmp_path, 40_000) for _ in range(2)]
    for seed in range(60):
        stores[seed % 2].put(make_key(seed), make_embedding(seed))
    total = sum(entry.size for entry in stores[0].entries())
    assert total <= 40_000 * (1 + 1 / 16)


def test_no_disk_quota_writes_nothing(tmp_path):
    cache = EmbeddingCache(directory=tmp_path / "new", disk_bytes=0)
    cache.put(make_key(0), make_embedding(0))
    assert same(cache.get(make_key(0)), make_embedding(0))
    assert not (tmp_path / "new").exists()


# -- a disk that refuses ---------------------------------------------------------------------


def refuse(number):
    def write(file, parts):
        raise OSError(number, os.strerror(number), str(file))

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_goes_on_from_memory_and_says_so(tmp_path, monkeypatch, number):
    cache = EmbeddingCache(directory=tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(diskstore, "write_parts", refuse(number))
        cache.put(make_key(0), make_embedding(0))
        assert same(cache.get(make_key(0)), make_embedding(0))
    assert os.strerror(number) in cache.problem
    assert "NAPARI_DITTO_CACHE" in cache.problem
    assert "\n" not in cache.problem
    assert not list((cache.path / "tmp").iterdir())

    cache.put(make_key(1), make_embedding(1))
    assert cache.problem == ""
    assert EmbeddingCache(directory=tmp_path).get(make_key(1)) is not None


def test_the_disk_itself_raises_store_error(tmp_path, monkeypatch):
    store = DiskStore(tmp_path, 1 << 20)
    monkeypatch.setattr(diskstore, "write_parts", refuse(errno.ENOSPC))
    with pytest.raises(StoreError, match="No space left"):
        store.put(make_key(0), make_embedding(0))


def test_a_folder_that_cannot_be_read_is_a_miss(tmp_path, monkeypatch):
    EmbeddingCache(directory=tmp_path).put(make_key(0), make_embedding(0))
    cache = EmbeddingCache(directory=tmp_path)

    def fail(*_args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(diskstore, "read_plain", fail)
        assert cache.get(make_key(0)) is None
        assert cache.stats().entries == 0
    assert "cannot be read" in cache.problem
    assert same(cache.get(make_key(0)), make_embedding(0))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_full_disk_for_real(tmp_path):
    script = f"""
        import resource
        from napari_ditto.data.embeddings import EmbeddingCache
        from napari_ditto.testing.contracts.embeddings import *
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
        cache = EmbeddingCache(directory=Path({str(tmp_path)!r}))
        big = make_embedding(0, shape=(64, 64))
        cache.put(make_key(0), big)
        assert "File too large" in cache.problem, cache.problem
        assert same(cache.get(make_key(0)), big)
        cache.put(make_key(1), make_embedding(1))
        assert cache.problem == ""
    """
    script = "from pathlib import Path\n" + textwrap.dedent(script)
    subprocess.run([sys.executable, "-W", "error", "-c", script], **PIPED)
    cache = EmbeddingCache(directory=tmp_path)
    assert cache.get(make_key(0)) is None
    assert same(cache.get(make_key(1)), make_embedding(1))
    assert not list((cache.path / "tmp").iterdir())


@contextmanager
def nobody():
    """Root may write everywhere, so be someone else meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_folder_serves_what_it_has():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        EmbeddingCache(directory=folder).put(make_key(0), make_embedding(0))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        with nobody():
            cache = EmbeddingCache(directory=folder)
            assert same(cache.get(make_key(0)), make_embedding(0))
            assert cache.problem == ""
            cache.put(make_key(1), make_embedding(1))
            assert "Permission denied" in cache.problem
            assert same(cache.get(make_key(1)), make_embedding(1))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_a_done_record_is_the_last_file_written(tmp_path, monkeypatch):
    written, write = [], diskstore.write_parts
    monkeypatch.setattr(
        diskstore,
        "write_parts",
        lambda file, parts: (written.append(file.name), write(file, parts))[1],
    )
    EmbeddingCache(directory=tmp_path).put(make_key(0), make_embedding(0))
    assert written[-1] == DONE
    assert written.count(DONE) == 1
