"""dask: the contract of executors over two processes, workers that die, clusters that are not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_ditto.core.control import Control
from napari_ditto.data.cluster import Cluster, connect
from napari_ditto.engine.whole.dask_executor import DaskExecutor
from napari_ditto.testing.arithmetic import Arithmetic, Script
from napari_ditto.testing.contracts.executors import ITEMS, ExecutorContract


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = connect("local:2")
    yield cluster
    cluster.close()


class TestDaskExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, cluster: Cluster) -> DaskExecutor:
        return DaskExecutor(cluster)

    def wait_for_workers(self) -> None:
        time.sleep(0.3)  # items that run go on to their end


def test_two_processes_work(cluster: Cluster, tmp_path: Path) -> None:
    worker = Arithmetic.ordered(tmp_path, Script(seconds=0.01))
    list(DaskExecutor(cluster).run(worker, tmp_path, "tiles", range(ITEMS), Control()))
    assert len(worker.processes()) == 2
    assert os.getpid() not in worker.processes()


def test_survives_the_death_of_a_worker(cluster: Cluster, tmp_path: Path) -> None:
    worker = Arithmetic.ordered(tmp_path, Script(seconds=0.02, kills={"4": 1, "9": 1}))
    told = list(DaskExecutor(cluster).run(worker, tmp_path, "tiles", range(20), Control()))
    assert sorted(o.item for o in told if o) == list(range(20))
    assert not any(o.error for o in told if o)
    assert worker.records("tiles") == {n: n * n for n in range(20)}
    again = sum(worker.notes()["compute", n] - 1 for n in range(20))
    assert 2 <= again <= 2 * 4
