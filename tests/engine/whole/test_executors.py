"""Threads: the contract of executors, no thread left behind, flat memory."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.core.control import Control
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.errors import JobCancelled
from napari_ditto.testing.arithmetic import Arithmetic, Script
from napari_ditto.testing.contracts.executors import ExecutorContract

CANCELS = 100 if os.environ.get("DITTO_STRESS") else 10


class TestThreadExecutor(ExecutorContract):
    @pytest.fixture(params=[1, 2, 4])
    def executor(self, request: pytest.FixtureRequest) -> ThreadExecutor:
        return ThreadExecutor(request.param)


def ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("ditto-")]


@pytest.mark.parametrize("how", ["cancel", "close", "error"])
def test_leaves_no_thread(how: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for _ in range(CANCELS):
        script = Script(seconds=0.001, full="7" if how == "error" else "")
        worker, control = Arithmetic.ordered(tmp_path, script), Control()
        run = ThreadExecutor(3).run(worker, tmp_path, "tiles", range(500), control)
        next(run)
        assert ours()
        if how == "error":
            with pytest.raises(Exception, match="full"):
                list(run)
        elif how == "close":
            time.sleep(rng.uniform(0, 0.02))
            run.close()
        else:
            threading.Timer(rng.uniform(0, 0.02), control.cancel).start()
            with pytest.raises(JobCancelled):
                list(run)
        assert ours() == []
        assert worker.halves() == []
