"""dask: the contract of executors over two processes, workers that die, clusters that are not."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from napari_ditto.core.control import Control
from napari_ditto.core.jobs import drain
from napari_ditto.data import cluster as clusters
from napari_ditto.data.cluster import Cluster, connect
from napari_ditto.engine.whole import dask_executor
from napari_ditto.engine.whole.context import TileLost
from napari_ditto.engine.whole.dask_executor import DaskExecutor
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.remote import Call, error_in, run_item
from napari_ditto.engine.whole.run import run_steps
from napari_ditto.engine.whole.segmenter import all_task
from napari_ditto.engine.whole.work import Outcome
from napari_ditto.errors import DittoError, SourceError, StoreError
from napari_ditto.models.registry import load_model
from napari_ditto.testing.arithmetic import Arithmetic, Script
from napari_ditto.testing.contracts.executors import ITEMS, ExecutorContract

from .running import hash_of, labels_of


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = connect("local:2")
    yield cluster
    cluster.close()


class TestDaskExecutor(ExecutorContract):
    slack = 0.5  # a question to the scheduler comes between

    @pytest.fixture
    def executor(self, cluster: Cluster) -> DaskExecutor:
        return DaskExecutor(cluster)

    def wait_for_workers(self) -> None:
        time.sleep(0.3)  # items that run go on to their end


def run(
    cluster: Cluster, worker: Arithmetic, n: int = ITEMS, patience: float = 60
) -> list[Outcome]:
    executor = DaskExecutor(cluster, patience=patience)
    told = executor.run(worker, worker.folder, "tiles", range(n), Control())
    return [outcome for outcome in told if outcome is not None]


def test_two_processes_work(cluster: Cluster, tmp_path: Path) -> None:
    worker = Arithmetic.ordered(tmp_path, Script(seconds=0.01))
    run(cluster, worker)
    assert len(worker.processes()) == 2
    assert os.getpid() not in worker.processes()


def test_survives_the_death_of_workers(cluster: Cluster, tmp_path: Path) -> None:
    worker = Arithmetic.ordered(tmp_path, Script(seconds=0.02, kills={"4": 1, "9": 1}))
    told = run(cluster, worker, 20)
    assert sorted(o.item for o in told) == list(range(20))
    assert not any(o.error for o in told)
    assert worker.records("tiles") == {n: n * n for n in range(20)}
    assert len(worker.processes()) >= 3, "the dead were replaced, or nobody died"
    again = sum(worker.notes()["compute", n] - 1 for n in range(20))
    assert 2 <= again <= 2 * 4, "more than what was under way was done again"


@pytest.mark.skipif(not os.environ.get("DITTO_STRESS"), reason="kills four workers, 10 s")
def test_gives_up_what_kills_every_worker(cluster: Cluster, tmp_path: Path) -> None:
    worker = Arithmetic.ordered(tmp_path, Script(kills={"3": 99}))
    failed = {o.item: str(o.error) for o in run(cluster, worker, 8) if o.error}
    assert set(failed) == {3}
    assert "every worker that tried it died" in failed[3]


def test_labels_are_those_of_threads(cluster: Cluster, tmp_path: Path) -> None:
    import zarr

    import napari_ditto as nd

    image = zarr.create_array(tmp_path / "image.zarr", shape=(200, 120), dtype="uint8")
    y, x = np.mgrid[:200, :120]
    image[:] = np.uint8(120 + 100 * np.sin(y / 9) * np.sin(x / 11))
    source = nd.open_source(tmp_path / "image.zarr", axes="yx", window=(0, 255))
    model, hashes = load_model("classic"), []
    for name, executor in (("threads", ThreadExecutor(2)), ("dask", DaskExecutor(cluster))):
        target = tmp_path / f"{name}.zarr"
        plan = make_plan(source, model, all_task(), target, window=120, halo=20)
        summary = drain(run_steps(plan, source=source, model=model, executor=executor))
        assert (summary.tiles, summary.state) == (2, "finished")
        assert summary.objects > 20
        hashes.append(hash_of(labels_of(target)))
    assert hashes[0] == hashes[1]


def test_an_image_in_memory_cannot_be_sent(cluster: Cluster, tmp_path: Path) -> None:
    import napari_ditto as nd

    source = nd.open_source(np.zeros((200, 200), np.uint8), axes="yx", window=(0, 255))
    plan = make_plan(source, load_model("classic"), all_task(), tmp_path / "out.zarr")
    with pytest.raises(SourceError, match="lives in the memory of another process"):
        drain(run_steps(plan, source=source, executor=DaskExecutor(cluster)))


# --- workers that cannot -------------------------------------------------------------------------


def test_workers_that_do_not_see_the_target(cluster: Cluster, tmp_path: Path) -> None:
    worker = Arithmetic.ordered(tmp_path / "here", Script())
    (tmp_path / "here").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"a worker does not see .*here .*share"):
        run(cluster, worker)


def test_workers_of_other_versions(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {**dask_executor.versions(), "torch": "1.0"}
    monkeypatch.setattr(dask_executor, "versions", lambda: ours)
    with pytest.raises(DittoError, match=r"a worker has torch \S+, not 1.0"):
        run(cluster, Arithmetic.ordered(tmp_path, Script()))


def test_workers_without_napari_ditto(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "_RUN_ITEM", "no_such_package.remote:run_item")
    pids = cluster._client.run(os.getpid)
    with pytest.raises(DittoError, match="cannot run napari-ditto: No module named") as caught:
        run(cluster, Arithmetic.ordered(tmp_path, Script()))
    assert "\n" not in str(caught.value)
    assert cluster._client.run(os.getpid) == pids, "a worker died of it"


def test_errors_keep_their_kind_on_the_way(tmp_path: Path) -> None:
    call = Call(f"{__name__}:lost", str(tmp_path), "pairs", 3, dask_executor.versions())
    error = error_in(run_item(json.dumps(asdict(call))))
    assert isinstance(error, TileLost)
    assert str(error) == "the record of tile 3 is damaged (here). Wait"


def lost(_: str) -> Arithmetic:
    raise TileLost("the record of tile 3 is damaged", where="here", todo="Wait")


# --- clusters that are not -----------------------------------------------------------------------


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DittoError, match=r'pip install "napari-ditto\[cluster\]"'):
        connect("local")


@pytest.mark.parametrize("spec", ["", "locale", "local:x", "local:-1", "host:8786", 4, None])
def test_what_names_no_cluster(spec: object) -> None:
    with pytest.raises(DittoError, match="names no dask workers"):
        connect(spec)


@pytest.mark.parametrize("spec", ["tcp://127.0.0.1:9", "tcp://no-such-host.invalid:8786", "x://y"])
def test_nobody_answers(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_CONNECT", 0.3)
    with pytest.raises(DittoError, match="no dask scheduler answers") as caught:
        connect(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '"x"', '{"address": '])
def test_what_is_no_scheduler_file(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DittoError, match=r"no scheduler file.*--scheduler-file"):
        connect(str(file))


@pytest.fixture
def empty() -> Iterator[LocalCluster]:
    """Return a cluster without workers."""

    with LocalCluster(
        n_workers=0,
        processes=False,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        silence_logs=50,
    ) as local:
        yield local


def test_a_scheduler_file_of_a_cluster_without_workers(empty, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": empty.scheduler_address}))
    found = connect(str(file))
    start = time.monotonic()
    try:
        with pytest.raises(DittoError, match=r"no dask worker for 0.5 s .*resume"):
            run(found, Arithmetic.ordered(tmp_path / "run", Script()), patience=0.5)
    finally:
        found.close()
    assert time.monotonic() - start < 5


def test_a_client_is_left_open(empty, tmp_path: Path) -> None:
    with Client(empty, set_as_default=False) as client:
        connect(client).close()
        assert client.status == "running"


def test_the_scheduler_goes_away(empty, tmp_path: Path) -> None:
    found = connect(empty.scheduler_address)
    worker = Arithmetic.ordered(tmp_path, Script())
    steps = DaskExecutor(found).run(worker, tmp_path, "tiles", range(4), Control())
    assert next(steps) is None
    found._client._timeout = 0.5  # how long dask tries to connect again
    empty.close()
    with pytest.raises(DittoError, match="the dask scheduler is gone"):
        list(steps)
    found.close()
