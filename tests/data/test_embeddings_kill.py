"""kill -9 at random moments: nothing damaged is used, nothing finished is encoded twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.testing.contracts.embeddings import make_embedding, make_key, same

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

KILLS = 100 if os.environ.get("DITTO_STRESS") else 25
SHAPE = (64, 64, 64)
UNLIMITED = 1 << 40

# Forks one writer per line of input, so that n kills do not cost n imports of zarr.
WRITERS = """
import os
import sys
from pathlib import Path

from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.entry import encode_entry
from napari_ditto.testing.contracts.embeddings import make_embedding, make_key

def say(*words):
    # One system call, so that a kill cannot tear the line.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def write(folder, first, last, quota):
    cache = EmbeddingCache(memory_bytes=0, directory=Path(folder), disk_bytes=int(quota))
    say("writer", os.getpid())
    for seed in range(int(first), int(last)):
        if cache.get(make_key(seed)) is None:
            embedding = make_embedding(seed, shape=(64, 64, 64))
            say("encode", seed)
            cache.put(make_key(seed), embedding)
            say("done", seed)

encode_entry(make_key(0), make_embedding(0))  # imports what zarr imports late
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        write(*line.split())
        os._exit(0)
    say("end", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class Writers:
    """One writer after the other, each a process that encodes tiles and tells what it does."""

    def __init__(self, folder: Path, quota: int = UNLIMITED) -> None:
        self.folder, self.quota = folder, quota
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, first: int, last: int) -> int:
        """Start a writer of tiles `first` to `last`; return its process id."""
        self.process.stdin.write(f"{self.folder} {first} {last} {self.quota}\n")
        self.process.stdin.flush()
        word, pid = self.process.stdout.readline().split()
        assert word == "writer"
        self.told = {"encode": set(), "done": set()}
        return int(pid)

    def wait_for_tiles(self, count: int) -> float:
        """Return when `count` tiles are done and the next is begun; seconds since the first."""
        begun = None
        while len(self.told["done"]) < count or len(self.told["encode"]) <= count:
            word, number = self.process.stdout.readline().split()
            self.told[word].add(int(number))
            begun = begun or time.perf_counter()
        return time.perf_counter() - begun

    def finish(self) -> tuple[int, set[int], set[int]]:
        """Wait for the writer; return its exit code and the tiles it began and finished."""
        for line in self.process.stdout:
            word, number = line.split()
            if word == "end":
                return int(number), self.told["encode"], self.told["done"]
            self.told[word].add(int(number))
        raise AssertionError("the writers died")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def start_writers() -> Iterator[type[Writers]]:
    started: list[Writers] = []

    def start(*args: object) -> Writers:
        started.append(Writers(*args))
        return started[-1]

    yield start
    for writers in started:
        writers.close()


def check_all(folder: Path, seeds: range) -> set[int]:
    """Return the seeds that are there; all of them must be what was encoded."""
    cache = EmbeddingCache(memory_bytes=0, directory=folder)
    found = {seed: cache.get(make_key(seed)) for seed in seeds}
    there = {seed for seed, answer in found.items() if answer is not None}
    assert all(same(found[seed], make_embedding(seed, shape=SHAPE)) for seed in there)
    assert not list((cache.path / "tmp").glob("*")), "an orphan was not swept"
    return there


def test_kill_at_random_moments(tmp_path, start_writers):
    rng = np.random.default_rng(20240917)
    writers = start_writers(tmp_path)
    finished: set[int] = set()
    interrupted = first = 0
    for _ in range(KILLS):
        pid = writers.start(max(0, first - 3), first + 1000)
        # Moments spread over one tile, however slow the machine is just now.
        tiles = int(rng.integers(1, 4))
        time.sleep(rng.uniform(0.0, 1.2) * writers.wait_for_tiles(tiles) / tiles)
        os.kill(pid, signal.SIGKILL)
        code, encoded, done = writers.finish()
        assert code == -signal.SIGKILL
        assert not encoded & finished, "a finished tile was encoded twice"
        interrupted += len(encoded - done)
        recent = range(max(0, first - 3), max(encoded, default=first) + 1)
        # A tile may be complete although its writer was killed before it could say so.
        finished |= done | check_all(tmp_path, recent)
        assert finished.issuperset(done)
        first = recent.stop - 1
    assert check_all(tmp_path, range(first + 1)) == finished, "a finished tile was lost"
    print(f"{KILLS} kills, {len(finished)} tiles finished, {interrupted} interrupted")
    assert len(finished) > KILLS / 5
    assert interrupted > KILLS / 5


def test_kill_while_evicting(tmp_path, start_writers):
    rng = np.random.default_rng(7)
    quota = 6 * make_embedding(0, shape=SHAPE).nbytes
    writers = start_writers(tmp_path, quota)
    for _ in range(KILLS // 4):
        pid = writers.start(0, 1000)
        time.sleep(float(rng.uniform(0.02, 0.1)))
        os.kill(pid, signal.SIGKILL)
        writers.finish()
        check_all(tmp_path, range(40))
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path, disk_bytes=quota)
    cache.put(make_key(5000), make_embedding(5000, shape=SHAPE))
    assert cache.stats().nbytes <= quota


def test_two_processes_agree(tmp_path, start_writers):
    both = [start_writers(tmp_path) for _ in range(2)]
    for writers in both:
        writers.start(0, 40)
    answers = [writers.finish() for writers in both]
    assert [code for code, _, _ in answers] == [0, 0]
    assert answers[0][1] | answers[1][1] == set(range(40))
    assert check_all(tmp_path, range(40)) == set(range(40))
    assert EmbeddingCache(directory=tmp_path).stats().entries == 40
