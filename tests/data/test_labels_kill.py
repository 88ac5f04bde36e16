"""Label pyramids whose writer is killed: every write is whole, and all levels agree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.scratch import scratch_name

PLANE = PlaneAddress("y", "x")
SIDE = 1400
KILLS = 40 if os.environ.get("DITTO_STRESS") else 2

# Each write fills a square with its own id and says so, before and after; some are undone.
WRITER = """
    import sys
    import numpy as np
    from napari_ditto.core.geometry import Box, PlaneAddress
    from napari_ditto.data import pyramid_labels
    pyramid_labels.IDLE_SECONDS = 0.01
    labels = pyramid_labels.PyramidLabels.open(sys.argv[1])
    rng, plane = np.random.default_rng(int(sys.argv[2])), PlaneAddress("y", "x")
    while True:
        y, x = (int(v) for v in rng.integers(0, 1400 - 300, 2))
        mask = np.ones((300, 300), bool)
        label = labels.next_label()
        delta = labels.write(plane, Box(y, x, y + 300, x + 300), mask, label, "replace")
        print("wrote", label, y, x, flush=True)
        if label % 3 == 0:
            labels.revert(delta)
            print("undid", label, y, x, flush=True)
"""


def write_until_killed(path, seed, seconds):
    """Return the lines that the writer has printed."""
    script = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(seed)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as writer:
        first = writer.stdout.readline()
        time.sleep(seconds)
        os.kill(writer.pid, signal.SIGKILL)
        return [first.strip(), *writer.stdout.read().splitlines()]


def replay(image, lines):
    """Do the acknowledged writes to a plain array, and return the last few states."""
    states, before = [image.copy()], {}
    for line in lines:
        done, label, y, x = (int(w) if w.isdigit() else w for w in line.split())
        box = np.s_[y : y + 300, x : x + 300]
        if done == "wrote":
            before[label] = image[box].copy()
            image[box] = label
        else:
            image[box] = before[label]
        states = [*states[-1:], image.copy()]
    return states


def check(path, known):
    """Open the labels after a kill; at most one write more than acknowledged is there."""
    labels = PyramidLabels.open(path)
    fine, *coarser = (level[...] for level in labels.levels)
    differs = np.argwhere(fine != known)
    if len(differs):
        (y0, x0), (y1, x1) = differs.min(axis=0), differs.max(axis=0) + 1
        assert max(y1 - y0, x1 - x0) <= 300
    for level in coarser:
        height, width = level.shape
        full = np.pad(fine, [(0, n % 2) for n in fine.shape])
        fine = full.reshape(height, 2, width, 2).max(axis=(1, 3))
        np.testing.assert_array_equal(level, fine)
    assert not list(path.glob("*.ditto-writes"))
    return labels.levels[0][...]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_killed_in_the_middle_of_commits(tmp_path, ngff):
    path = tmp_path / "labels.zarr"
    PyramidLabels.create(path, (SIDE, SIDE), "yx", ngff=ngff)
    known, rng, acknowledged = np.zeros((SIDE, SIDE), np.uint32), np.random.default_rng(0), 0
    for kill in range(KILLS):
        lines = write_until_killed(path, kill, rng.uniform(0, 0.2))
        acknowledged += len(lines)
        known = check(path, replay(known, lines)[-1])
    print(f"{KILLS} kills, {acknowledged} acknowledged writes, none lost or half done")


@pytest.mark.parametrize("cut", [0.0, 0.3, 1.0])
def test_a_write_of_a_dead_process_is_done_as_a_whole(tmp_path, monkeypatch, cut):
    """The log was written; of the write itself nothing was."""
    path = tmp_path / "labels.zarr"
    labels = PyramidLabels.create(path, (SIDE, SIDE), "yx")
    mask = np.ones((20, 20), bool)
    labels.write(PLANE, Box(0, 0, 20, 20), mask, 1)
    labels.flush()
    monkeypatch.setattr(PyramidLabels, "_write_block", lambda *_: None)
    monkeypatch.setattr(PyramidLabels, "_flush_soon", lambda _: None)
    labels.write(PLANE, Box(250, 250, 270, 270), mask, 2)
    (log,) = path.glob("*.ditto-writes")
    os.truncate(log, int(log.stat().st_size * cut))
    monkeypatch.undo()
    assert PyramidLabels.open(path).levels[0][260, 260] == 0  # its writer lives: hands off
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    log.rename(log.with_name(log.name.replace(f"-{os.getpid()}-", f"-{dead.stdout.strip()}-")))
    again = PyramidLabels.open(path)
    whole = 2 * (cut == 1.0)
    assert (again.levels[0][250:270, 250:270] == whole).all()
    assert (again.levels[-1][63:67, 63:67] == whole).all()
    assert not list(path.glob("*.ditto-writes"))


def test_a_log_that_somebody_made_up_writes_nowhere_else(tmp_path):
    path = tmp_path / "labels.zarr"
    PyramidLabels.create(path, (SIDE, SIDE), "yx")
    square, far = b'{"region": [[0, 5], [0, 5]], ', b'{"region": [[0, 9999], [0, 5]], '
    heads = [
        *(b"", b"[]\n", b"{}\n", b"\xff\n", b"[" * 4000 + b"\n"),
        *(far + b'"bytes": 3}\nabc', b'{"region": [[-5, 5], [0, 5]], "bytes": 3}\nabc'),
        *(square + b'"bytes": -1}\nabc', square + b'"bytes": 1e400}\n'),
        square + b'"bytes": 20}\n' + b"\x02\x01\x01\x04" + b"\xff" * 16,
        b'{"region": [[0, 5]], "bytes": 3}\nabc',
    ]
    for head in heads:
        (
            path / f"{scratch_name()}.ditto-writes".replace(f"-{os.getpid()}-", "-4194999-")
        ).write_bytes(head)
        assert not PyramidLabels.open(path).data[...].any()
        assert not list(path.glob("*.ditto-writes"))
