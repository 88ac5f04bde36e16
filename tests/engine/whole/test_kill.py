"""kill -9 at random moments of a run: the labels stay the same, no finished tile is done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

ROOT = Path(__file__).parents[3]
KILLS = 200 if os.environ.get("DITTO_STRESS") else 4


@pytest.mark.parametrize("stage", ["encode", "merge"])
def test_kills(tmp_path, capsys, stage):
    command = [sys.executable, "-m", "tests.engine.whole.zygote", tmp_path, stage, KILLS, 1]
    done = subprocess.run(map(str, command), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        print(f"\nkilled in {stage}: {told}")
    assert told["kills"] == KILLS
    assert told["redone"] == told["wrong"] == 0
    assert told["runs"] > 0
