"""Embeddings on their way to a slow disk: found meanwhile, in order, bounded, never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from napari_ditto.data import diskstore
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.protocols import DeferringStore
from napari_ditto.data.write_behind import WriteBehind
from napari_ditto.errors import StoreError
from napari_ditto.testing.contracts.embeddings import (
    EmbeddingStoreContract,
    make_embedding,
    make_key,
    same,
)

OTHER = "other@2#fedcba9876543210"
WAIT = 30.0


class Disk:
    """Takes an embedding when it is let, and says what it has."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()
        self.written = []

    def __call__(self, key, embedding):
        self.begun.set()
        assert self.open.wait(WAIT)
        self.written.append(key)


@pytest.fixture
def disk():
    made = Disk()
    yield made
    made.open.set()


class TestDeferred(EmbeddingStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        class Soon(EmbeddingCache):
            put = EmbeddingCache.put_soon

        cache = Soon(memory_bytes=0, directory=tmp_path)
        yield cache
        cache.flush()


def test_a_cache_can_defer(tmp_path):
    assert isinstance(EmbeddingCache(directory=tmp_path), DeferringStore)


def test_nobody_waits_for_the_disk(disk):
    behind = WriteBehind(disk)
    for seed in range(3):
        behind.put(make_key(seed), make_embedding(seed))
    assert disk.begun.wait(WAIT)
    assert disk.written == []
    assert all(same(behind.get(make_key(seed)), make_embedding(seed)) for seed in range(3))
    disk.open.set()
    behind.flush()
    assert disk.written == [make_key(seed) for seed in range(3)]
    assert behind.get(make_key(0)) is None


def test_what_waits_is_bounded_and_one_is_always_taken(disk):
    size = make_embedding(0).nbytes
    behind = WriteBehind(disk, limit=2 * size)
    behind.put(make_key(0), make_embedding(0, shape=(40, 60, 5)))  # larger than the limit
    third = threading.Thread(target=behind.put, args=(make_key(1), make_embedding(1)))
    third.start()
    third.join(0.05)
    assert third.is_alive()
    assert behind.get(make_key(1)) is None
    disk.open.set()
    third.join(WAIT)
    behind.flush()
    assert disk.written == [make_key(0), make_key(1)]


def test_the_thread_ends_with_the_work_and_comes_back(disk):
    disk.open.set()
    behind = WriteBehind(disk)
    for seed in range(5):
        behind.put(make_key(seed), make_embedding(seed))
        behind.flush()
    assert len(disk.written) == 5
    for thread in threading.enumerate():
        if thread.name == "ditto-writer":
            thread.join(WAIT)
            assert not thread.is_alive()


def test_the_same_again_is_written_once(disk):
    behind = WriteBehind(disk)
    for _ in range(3):
        behind.put(make_key(0), make_embedding(0))
    disk.open.set()
    behind.flush()
    assert disk.written == [make_key(0)]


def test_an_unforeseen_error_reaches_who_comes_next():
    def broken(key, embedding):
        raise RuntimeError("no such thing")

    behind = WriteBehind(broken)
    behind.put(make_key(0), make_embedding(0))
    with pytest.raises(RuntimeError, match="no such thing"):
        behind.flush()
    behind.flush()


def test_a_disk_that_refuses_is_a_problem_and_no_error(tmp_path, monkeypatch):
    def refuse(file, parts):
        raise OSError(28, os.strerror(28))

    cache = EmbeddingCache(directory=tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(diskstore, "write_parts", refuse)
        cache.put_soon(make_key(0), make_embedding(0))
        cache.flush()
    assert "No space left" in cache.problem
    assert same(cache.get(make_key(0)), make_embedding(0))
    cache.put_soon(make_key(1), make_embedding(1))
    cache.flush()
    assert cache.problem == ""


def test_what_cannot_be_kept_is_refused_at_once(tmp_path):
    cache = EmbeddingCache(directory=tmp_path)
    with pytest.raises(ValueError, match="another model"):
        cache.put_soon(make_key(0), make_embedding(0, OTHER))
    with pytest.raises(ValueError, match="cannot be stored"):
        cache.put_soon(make_key(0), make_embedding(0, dtype="complex64"))


def test_clearing_and_counting_wait_for_the_disk(tmp_path, monkeypatch):
    cache, write = EmbeddingCache(directory=tmp_path), diskstore.write_parts
    monkeypatch.setattr(
        diskstore, "write_parts", lambda *args: (threading.Event().wait(0.01), write(*args))
    )
    for seed in range(3):
        cache.put_soon(make_key(seed), make_embedding(seed))
    assert cache.stats().entries == 3
    cache.put_soon(make_key(3), make_embedding(3))
    cache.clear()
    assert EmbeddingCache(directory=tmp_path).stats().entries == 0


def test_a_cache_of_the_same_folder_finds_what_another_has_yet_to_write(tmp_path, monkeypatch):
    cache, write, begun = EmbeddingCache(directory=tmp_path), diskstore.write_parts, []
    monkeypatch.setattr(
        diskstore,
        "write_parts",
        lambda *args: (begun.append(0), threading.Event().wait(0.02), write(*args)),
    )
    cache.put_soon(make_key(0), make_embedding(0))
    assert same(EmbeddingCache(directory=tmp_path).get(make_key(0)), make_embedding(0))
    assert begun


SCRIPT = """
    import sys, time
    from pathlib import Path
    from napari_ditto.data import diskstore
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.testing.contracts.embeddings import *
    write = diskstore.write_parts
    diskstore.write_parts = lambda *args: (time.sleep(0.01), write(*args))
    cache = EmbeddingCache(memory_bytes=0, directory=Path(sys.argv[1]))
    for seed in range(4):
        cache.put_soon(make_key(seed), make_embedding(seed))
"""


def test_a_process_that_ends_writes_what_waits(tmp_path):
    script = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    done = subprocess.run(script, check=True, capture_output=True, timeout=60)
    assert done.stderr == b""
    cache = EmbeddingCache(directory=tmp_path)
    assert all(same(cache.get(make_key(seed)), make_embedding(seed)) for seed in range(4))


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("nap", [0.0, 0.02, 0.05, 0.09, 0.13, 0.2])
def test_a_kill_loses_what_waits_and_damages_nothing(tmp_path, nap):
    script = textwrap.dedent(SCRIPT) + "print('now', flush=True)\n"
    killed = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout.readline() == "now\n"
    threading.Event().wait(nap)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    cache = EmbeddingCache(directory=tmp_path)
    found = [cache.get(make_key(seed)) for seed in range(4)]
    there = [seed for seed, answer in enumerate(found) if answer is not None]
    assert there == list(range(len(there)))
    assert all(same(found[seed], make_embedding(seed)) for seed in there)
    assert not list((cache.path / "tmp").glob("*"))


def test_the_store_itself_still_raises(tmp_path):
    (tmp_path / "file").write_text("no folder")
    store = diskstore.DiskStore(tmp_path / "file", 1 << 20)
    with pytest.raises(StoreError):
        store.put(make_key(0), make_embedding(0))
