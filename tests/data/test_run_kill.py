"""kill -9 at random moments: what was put is there, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_ditto.data.run_folder import RunFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")

KILLS = 200 if os.environ.get("DITTO_STRESS") else 12
KEY = "5eed" * 16

# Forks one writer per line of input, so that n kills do not cost n imports.
WRITERS = """
import os
import sys
from pathlib import Path

import numpy as np
from numcodecs import Zstd

from napari_ditto.data.run_folder import RunFolder

def say(*words):
    # One system call, so that a kill cannot tear the line.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def write(folder, first, key):
    run = RunFolder(Path(folder))
    with run.lock():
        run.sweep()
        say("writer", os.getpid())
        for number in range(int(first), int(first) + 1000):
            labels = np.full((256, 256), number, np.uint32)
            run.put("tiles", number, key, {"n": number}, {"labels": labels})
            say("done", number)

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        write(*line.split())
        os._exit(0)
    say("end", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_what_was_put_survives_a_kill(tmp_path):
    run, rng = RunFolder.create(tmp_path, {}), np.random.default_rng(1)
    finished: set[int] = set()
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writers:
        for _ in range(KILLS):
            finished |= one_kill(writers, run, max(finished, default=-1) + 1, rng)
            there = run.finished("tiles", KEY)
            assert there >= finished, "what was put is lost"
            for number in there - finished:  # killed before it could say so
                assert run.check("tiles", number, KEY)
            finished = there
        writers.stdin.close()
    for number in finished:
        record = run.get("tiles", number, KEY)
        assert record.head == {"n": number}
        assert (record.arrays["labels"] == number).all()
    with run.lock():
        run.sweep()
    assert not list((run.folder / "tmp").iterdir())
    print(f"{KILLS} kills, {len(finished)} items put, 0 lost")


def one_kill(writers, run, first, rng) -> set[int]:
    """Let a writer put some items, kill it, and return what it said it had put."""
    writers.stdin.write(f"{run.target} {first} {KEY}\n")
    writers.stdin.flush()
    word, pid = writers.stdout.readline().split()
    assert word == "writer", "the lock of a dead writer was not taken over"
    done: set[int] = set()
    while len(done) < rng.integers(1, 6):
        done.add(int(writers.stdout.readline().split()[1]))
    time.sleep(rng.uniform(0, 0.004))
    os.kill(int(pid), signal.SIGKILL)
    for line in writers.stdout:
        word, number = line.split()
        if word == "end":
            assert int(number) == -signal.SIGKILL
            return done
        done.add(int(number))
    raise AssertionError("the writers died")
