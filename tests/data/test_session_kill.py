"""A program that is killed while it saves leaves the old session or the new one, all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from napari_ditto.data import session_folder
from napari_ditto.data.session_folder import INDEX, read_session
from napari_ditto.data.session_pixels import read_labels
from tests.data.test_session_folder import a_session, saved

KILLS = 100 if os.environ.get("DITTO_STRESS") else 2

# Saves one session after the other, each with its number as the id of the object.
WRITER = """
    import sys
    from pathlib import Path
    from tests.data.test_session_folder import a_session, saved
    path, number = Path(sys.argv[1]), int(sys.argv[2])
    saved(path, a_session(value=number, shape=(300, 500)))
    print(number, flush=True)
    while True:
        number += 1
        saved(path, a_session(value=number, shape=(300, 500)))
        print(number, flush=True)
"""


def save_until_killed(path, number, seconds):
    """Return the number of the last session that was saved for certain."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        first = writer.stdout.readline()
        time.sleep(seconds)
        os.kill(writer.pid, signal.SIGKILL)
        return int([first, *writer.stdout.read().splitlines()][-1])


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_while_saving(tmp_path, monkeypatch):
    path, rng, last = tmp_path / "a.ditto-session", np.random.default_rng(11), 0
    for _ in range(KILLS):
        last = save_until_killed(path, last + 1, rng.uniform(0, 0.12))
        record = read_session(path)
        found = int(read_labels(path, record.labels[0]).data.max())
        assert found in (last, last + 1)
        last = found
    monkeypatch.setattr(session_folder, "_LEFT_SECONDS", -1.0)
    record = saved(path, a_session())
    assert {p.name for p in path.iterdir()} == {INDEX, *record.files}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    print(f"{KILLS} kills, {last} sessions saved, every one whole")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_the_first_save(tmp_path):
    """The folder is not there, or it is whole."""
    path, there = tmp_path / "a.ditto-session", 0
    command = [sys.executable, "-c", textwrap.dedent(FIRST), str(path)]
    for kill in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            writer.stdout.readline()
            time.sleep(0.02 * (kill % 16))
            os.kill(writer.pid, signal.SIGKILL)
        if path.exists():
            there += 1
            assert read_labels(path, read_session(path).labels[0]).data.max() == 1
            path.rename(tmp_path / f"{kill}.ditto-session")
    print(f"{KILLS} kills, {there} sessions were there, all whole")


FIRST = """
    import sys
    from pathlib import Path
    from tests.data.test_session_folder import a_session, saved
    content = a_session(shape=(300, 500))
    print("go", flush=True)
    saved(Path(sys.argv[1]), content)
    sys.stdin.read()
"""
