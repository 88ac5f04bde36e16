"""kill -9 at random moments after edits: what was acknowledged is there, in memory and on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.data.journal_replay import restore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

KILLS = 300 if os.environ.get("DITTO_STRESS") else 10
SIDE = 1024

# Forks one annotator per line of input, so that n kills do not cost n imports. Every second edit
# is followed by an undo now and then, as a user would.
ANNOTATORS = """
import os
import sys
from pathlib import Path

import numpy as np

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.journal import Journal
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_recorder import LabelRecorder
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels

SIDE = 1024

def say(*words):
    # One system call, so that a kill cannot tear the line.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def edits(seed):
    rng = np.random.default_rng(int(seed))
    while True:
        y, x = (int(n) for n in rng.integers(0, SIDE - 100, 2))
        h, w = (int(n) for n in rng.integers(20, 100, 2))
        yield Box(y, x, y + h, x + w), rng.random((h, w)) < 0.8, bool(rng.random() < 0.2)

def annotate(folder, seed, where):
    if where == "disk":
        labels = PyramidLabels.create(Path(folder, "l.zarr"), (SIDE, SIDE), ("y", "x"))
    else:
        labels = ArrayLabels(np.zeros((SIDE, SIDE), np.uint32), ("y", "x"))
    labels.recorder = LabelRecorder(Journal(Path(folder, "a.journal")), ImageNote(), fresh=True)
    say("annotator", os.getpid())
    for number, (box, mask, undo) in enumerate(edits(seed), 1):
        delta = labels.write(PlaneAddress(), box, mask, number, "replace")
        if undo:
            labels.revert(delta)
        say("done", number)

PyramidLabels.create(None, (8, 8), ("y", "x"))  # imports what zarr imports late
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        annotate(*line.split())
    say("end", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture(scope="module")
def annotators():
    process = subprocess.Popen(
        [sys.executable, "-c", ANNOTATORS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


def killed(process: subprocess.Popen[str], folder: Path, seed: int, where: str) -> int:
    """Let an annotator work, kill it, and return how many edits it was told are safe."""
    process.stdin.write(f"{folder} {seed} {where}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline().split()[1])
    assert process.stdout.readline() == "done 1\n"
    time.sleep(float(np.random.default_rng(seed).uniform(0, 0.1)))
    os.kill(pid, signal.SIGKILL)
    done = 1
    for line in iter(process.stdout.readline, ""):
        word, number = line.split()
        if word == "end":
            assert int(number) == -signal.SIGKILL
            return done
        done = int(number)
    raise AssertionError("the annotators are gone")


def expected(seed: int, count: int) -> list[np.ndarray]:
    """Return the labels after so many edits, and as the next one may have left them."""
    rng, labels = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint32)
    for number in range(1, count + 2):
        y, x = (int(n) for n in rng.integers(0, SIDE - 100, 2))
        h, w = (int(n) for n in rng.integers(20, 100, 2))
        mask = rng.random((h, w)) < 0.8
        undo = rng.random() < 0.2
        before = labels.copy() if undo or number > count else labels
        labels[y : y + h, x : x + w][mask] = number
        if number > count:
            return [before, labels]
        labels = before if undo else labels
    raise AssertionError("count is negative")


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_no_edit_that_was_acknowledged_is_lost(tmp_path, annotators, where):
    acknowledged = lost = 0
    for seed in range(KILLS // 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        done = killed(annotators, folder, seed, where)
        acknowledged += done
        store, story = restore(folder / "a.journal")
        assert story.lost == 0
        found = store.data[:]
        # The edit in flight may be there or not, but never a part of it.
        lost += not any(np.array_equal(found, state) for state in expected(seed, done))
    print(f"\n{where}: {KILLS // 2} kills, {acknowledged} edits acknowledged, {lost} lost")
    assert lost == 0
