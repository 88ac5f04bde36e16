"""kill -9 at random planes, then again: the same labels, and nothing finished is done twice."""

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

from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.engine.propagate import propagate
from napari_ditto.testing.scenes import drifting, truth_stack
from napari_ditto.testing.steppers import PerfectStepper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

KILLS = 20 if os.environ.get("DITTO_STRESS") else 5
DEPTH = 60
ANCHORS = (7, 40)

# Forks one run per line of input, so that n kills do not cost n imports of zarr.
RUNS = """
import os
import sys

from napari_ditto.engine.propagate import propagate, propagate_steps
from napari_ditto.testing.scenes import drifting, truth_stack
from napari_ditto.testing.steppers import CountingStepper, PerfectStepper

def say(*words):
    # One system call, so that a kill cannot tear the line.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Telling(CountingStepper):
    def step(self, address, before, anchors):
        say("begin", address.index["z"])
        return (yield from super().step(address, before, anchors))

def run(out, depth, *anchors):
    truth = drifting(depth, (300, 310), 5)
    source = truth_stack(truth)
    examples = {z: truth[z] for z in anchors}
    stepper = Telling(PerfectStepper(source))
    for progress in propagate_steps(source, examples, stepper=stepper, out=out):
        if progress.partial is not None:
            say("done", progress.partial.address.index["z"])

import zarr.core.sync  # noqa: what zarr imports late
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        out, *numbers = line.split()
        say("run", os.getpid())
        run(out, *map(int, numbers))
        os._exit(0)
    say("end", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class Runs:
    """One run after the other, each a process that tells what it does."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self) -> int:
        """Start a run; return its process id."""
        numbers = " ".join(map(str, (DEPTH, *ANCHORS)))
        self.process.stdin.write(f"{self.out} {numbers}\n")
        self.process.stdin.flush()
        word, pid = self.process.stdout.readline().split()
        assert word == "run"
        self.told = {"begin": [], "done": []}
        return int(pid)

    def read(self) -> int | None:
        """Take one line in; return the exit code if it was the last."""
        word, number = self.process.stdout.readline().split()
        if word == "end":
            return int(number)
        self.told[word].append(int(number))
        return None

    def finish(self) -> int:
        """Wait for the end of the run."""
        while (code := self.read()) is None:
            pass
        return code

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    started = Runs(tmp_path / "out.zarr")
    yield started
    started.close()


def expected() -> np.ndarray:
    truth = drifting(DEPTH, (300, 310), 5)
    source = truth_stack(truth)
    return propagate(source, {z: truth[z] for z in ANCHORS}, stepper=PerfectStepper(source)).labels


def test_kill_at_random_planes(runs: Runs) -> None:
    rng = np.random.default_rng(20261122)
    finished: set[int] = set()
    begun_twice = 0
    for number in range(KILLS):
        pid = runs.start()
        # Moments spread over the whole run and over one plane, however slow the machine is.
        left = DEPTH - len(ANCHORS) - len(finished)
        target = int(rng.integers(0, max(1, left // (KILLS - number)) + 1))
        while len(runs.told["begin"]) <= target and runs.read() is None:
            pass
        time.sleep(float(rng.uniform(0, 0.02)))
        os.kill(pid, signal.SIGKILL)
        runs.finish()
        begun = set(runs.told["begin"])
        assert not begun & finished, "a finished plane was done twice"
        assert len(begun) == len(runs.told["begin"])
        begun_twice += len(begun - set(runs.told["done"]))
        # A plane may be kept although its run was killed before it could say so.
        finished |= {z for z in runs.told["done"] if z not in ANCHORS}
    runs.start()
    assert runs.finish() == 0
    assert not set(runs.told["begin"]) & finished
    assert sorted(runs.told["done"]) == list(range(DEPTH))
    labels = PyramidLabels.open(runs.out)
    assert np.array_equal(labels.data[:], expected())
    runs.start()
    assert runs.finish() == 0
    assert runs.told["begin"] == [], "a finished run does nothing"
    assert not list((runs.out / ".ditto-steps" / "tmp").iterdir())
    print(f"{KILLS} kills, {len(finished)} planes finished before, {begun_twice} interrupted")


def test_kill_while_the_labels_are_created(runs: Runs) -> None:
    rng = np.random.default_rng(1)
    for _ in range(KILLS):
        pid = runs.start()
        time.sleep(float(rng.uniform(0, 0.1)))
        os.kill(pid, signal.SIGKILL)
        runs.finish()
    runs.start()
    assert runs.finish() == 0
    assert [p.name for p in runs.out.parent.iterdir()] == ["out.zarr"]
    assert np.array_equal(PyramidLabels.open(runs.out).data[:], expected())
