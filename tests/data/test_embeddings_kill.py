"""kill -9 at random moments: nothing damaged is used, nothing finished is encoded twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.testing.contracts.embeddings import make_embedding, make_key, same

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

KILLS = 100 if os.environ.get("DITTO_STRESS") else 10
SHAPE = (64, 64, 64)

WORKER = """
import os
import sys
from pathlib import Path
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.entry import encode_entry
from napari_ditto.testing.contracts.embeddings import make_embedding, make_key

def say(line):
    os.write(1, line.encode() + b"\\n")  # one system call, so that a kill cannot tear it

folder, first, last, quota = Path(sys.argv[1]), *map(int, sys.argv[2:])
cache = EmbeddingCache(memory_bytes=0, directory=folder, disk_bytes=quota)
encode_entry(make_key(0), make_embedding(0))  # so that zarr is imported when the clock starts
say("ready")
for seed in range(first, last):
    if cache.get(make_key(seed)) is None:
        say(f"encode {seed}")
        cache.put(make_key(seed), make_embedding(seed, shape=(64, 64, 64)))
        say(f"done {seed}")
"""


class Worker:
    """A process that encodes tiles `first` to `last`, and what it told."""

    def __init__(self, folder: Path, first: int, last: int, quota: int = 1 << 40) -> None:
        numbers = map(str, (first, last, quota))
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), *numbers], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(self.process.stdout)

    def kill_after(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
        self.join()

    def join(self) -> None:
        self.process.wait(60)
        self._reader.join()
        self.process.stdout.close()

    def seeds(self, word: str) -> list[int]:
        return [int(line.split()[1]) for line in self.lines if line.startswith(word)]


def check_all(folder: Path, seeds: range) -> set[int]:
    """Return the seeds that are there; all of them must be what was encoded."""
    cache = EmbeddingCache(memory_bytes=0, directory=folder)
    found = {seed: cache.get(make_key(seed)) for seed in seeds}
    there = {seed for seed, answer in found.items() if answer is not None}
    assert all(same(found[seed], make_embedding(seed, shape=SHAPE)) for seed in there)
    tmp = cache.path / "tmp"
    assert not tmp.exists() or not list(tmp.iterdir()), "an orphan was not swept"
    return there


def test_kill_at_random_moments(tmp_path):
    rng = np.random.default_rng(20240917)
    finished: set[int] = set()
    first = killed = interrupted = 0
    while killed < KILLS:
        worker = Worker(tmp_path, max(0, first - 5), first + 1000)
        worker.kill_after(float(rng.uniform(0.0, 0.2)))
        killed += worker.process.returncode == -signal.SIGKILL
        encoded, done = set(worker.seeds("encode")), set(worker.seeds("done"))
        interrupted += len(encoded - done)
        assert not encoded & finished, "a finished tile was encoded twice"
        finished |= done
        recent = range(max(0, first - 5), max(encoded, default=first) + 1)
        there = check_all(tmp_path, recent)
        assert finished & set(recent) <= there, "a finished tile was lost"
        # Complete although its process was killed before it could say so: finished as well.
        finished |= there
        first = max(encoded, default=first)
    assert check_all(tmp_path, range(first + 1)) >= finished
    print(f"{killed} kills, {len(finished)} tiles finished, {interrupted} interrupted")
    assert interrupted > 0


def test_kill_while_evicting(tmp_path):
    rng = np.random.default_rng(7)
    quota = 6 * make_embedding(0, shape=SHAPE).nbytes
    for _ in range(max(3, KILLS // 4)):
        worker = Worker(tmp_path, 0, 1000, quota)
        worker.kill_after(float(rng.uniform(0.02, 0.2)))
        check_all(tmp_path, range(60))
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path, disk_bytes=quota)
    cache.put(make_key(5000), make_embedding(5000, shape=SHAPE))
    assert cache.stats().nbytes <= quota


def test_two_processes_agree(tmp_path):
    workers = [Worker(tmp_path, 0, 40) for _ in range(2)]
    for worker in workers:
        worker.join()
        assert worker.process.returncode == 0
    assert check_all(tmp_path, range(40)) == set(range(40))
    encoded = sum(len(worker.seeds("encode")) for worker in workers)
    assert 40 <= encoded <= 80
    assert EmbeddingCache(directory=tmp_path).stats().entries == 40
