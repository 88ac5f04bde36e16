"""What a whole-image run costs besides its model, and what it does not."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import napari_ditto as nd
from napari_ditto.cli.demo_large_child import ModelClock, peak_bytes
from napari_ditto.cli.demo_large_mosaic import Mosaic, Recipe
from napari_ditto.core.jobs import drain
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.run import run_steps
from napari_ditto.engine.whole.segmenter import all_task
from tests.engine.whole import scale

DATA = Path(__file__).parents[1] / "../shared/data/eval/dsb2018"
REGION = 512 + 7 * 384
"""Pixels of 8 x 8 of the model's own tiles, which overlap by a quarter."""


def report(what, **numbers):
    told = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in numbers.items()
    )
    print(f"\n{what}: {told}; load {os.getloadavg()[0]:.1f}")


@pytest.mark.parametrize("name", ["bounded", "ditto"])
def test_memory_and_reads(name, tmp_path):
    small, large = (
        scale.in_a_process(name, side, REGION, tmp_path / str(side)) for side in (4000, 100_000)
    )
    growth = large["peak"] - small["peak"]
    report(f"{name}, 64 of its tiles of 4,000 x 4,000", **small)
    report(f"{name}, 64 of its tiles of 100,000 x 100,000", **large)
    report(name, growth_mb=growth)
    assert growth <= 100
    assert max(small["reads"], large["reads"]) <= 1.6


def in_a_process(call, *words):
    code = (
        "import json, sys; from pathlib import Path; from benchmarks import test_whole as t;"
        f"print(json.dumps(t.{call}(*sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, words)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def plan_of_100_000(folder):
    took = scale.planned(600_000, Path(folder))
    return {**took, "peak": (peak_bytes() or 0) / 1e6}


def scan_of(done, folder):
    took = scale.scanned(600_000, int(done), Path(folder))
    return {**took, "peak": (peak_bytes() or 0) / 1e6}


def test_a_plan_of_100_000_tiles(tmp_path):
    took = in_a_process("plan_of_100_000", tmp_path)
    report("a new run", **took)
    assert took["total"] <= 5
    assert took["peak"] <= 500


@pytest.mark.parametrize(("done", "most"), [(10_000, 2.0), (99_000, 20.0)])
def test_going_on(tmp_path, done, most):
    took = in_a_process("scan_of", done, tmp_path)
    report("until a run knows what is done", **took)
    assert took["cpu"] <= most
    assert took["peak"] <= 500


@pytest.fixture(scope="module")
def mosaic():
    if not DATA.exists():
        pytest.skip("needs the evaluation data")
    return Mosaic(Recipe(4096, 1.0, str(DATA)))


def run(mosaic, folder, model, executor):
    source = nd.open_source(mosaic.image, axes="yx", window=mosaic.window)
    plan = make_plan(source, model, all_task(), folder / "a.zarr")
    clock, cpu = time.perf_counter(), time.process_time()
    summary = drain(run_steps(plan, source=source, model=model, executor=executor))
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    shutil.rmtree(folder / "a.zarr")
    return summary, seconds, cpu


def test_overhead_of_a_run(mosaic, tmp_path):
    model, clock = nd.load_model("ditto"), ModelClock()
    clock.watch(model)
    summary, seconds, cpu = run(mosaic, tmp_path, model, ThreadExecutor(1))
    cpu -= mosaic.image.cpu
    outside = 1 - sum(clock.cpu.values()) / cpu
    report(
        "a mosaic of 4,096 x 4,096 nuclei by ditto",
        objects=summary.objects,
        seconds=seconds,
        cpu=cpu,
        encoder=clock.cpu["encode"] / cpu,
        model=1 - outside,
        outside=outside,
    )
    assert outside <= 0.1


def test_two_workers(mosaic, tmp_path):
    """Threads of one process; for dask see docs/howto/cluster.md."""
    times = {
        workers: run(mosaic, tmp_path, nd.load_model("ditto"), ThreadExecutor(workers))[1]
        for workers in (1, 2)
    }
    report("two threads", cores=os.cpu_count(), speedup=times[1] / times[2])
    assert np.isfinite(times[1])
