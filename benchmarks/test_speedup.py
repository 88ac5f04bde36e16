"""How much faster two workers are than one: threads, and processes of dask. Wants idle cores."""

import os
import time
from contextlib import closing

import psutil
import pytest

from benchmarks.slides import slide
from napari_ditto.core.jobs import drain
from napari_ditto.data.source import open_source
from napari_ditto.engine.whole.launch import executor_for
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.run import run_steps
from napari_ditto.engine.whole.segmenter import all_task
from napari_ditto.models.registry import load_model

SIDE, WINDOW, OBJECTS, RADIUS = 1088, 640, 340, 16
WAYS = {"1 thread": (1, None), "2 threads": (2, None), "2 processes": (2, "local")}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return slide(tmp_path_factory.mktemp("image"), SIDE, OBJECTS, RADIUS, chunk=256)


def processor_seconds():
    """Of this process and those that it has started."""
    me = psutil.Process()
    times = [p.cpu_times() for p in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def run(image, name, executor, target):
    source = open_source(image, axes="yx", window=(0, 255))
    model = load_model(name)
    plan = make_plan(source, model, all_task(), target, window=WINDOW, empty_below=0)
    start, before = time.perf_counter(), processor_seconds()
    summary = drain(run_steps(plan, source=source, model=model, executor=executor))
    assert summary.tiles == 4
    return summary.objects, time.perf_counter() - start, processor_seconds() - before


@pytest.mark.parametrize("name", ["classic", "ditto"])
def test_two_workers(benchmark, name, image, tmp_path):
    found = {}

    def all_ways():
        for number, (way, (workers, dask)) in enumerate(WAYS.items()):
            with closing(executor_for(workers, dask)) as executor:
                if dask:  # processes load PyTorch and the model only once
                    run(image, name, executor, tmp_path / "warm.zarr")
                load = os.getloadavg()[0]
                found[way] = (*run(image, name, executor, tmp_path / f"{number}.zarr"), load)

    benchmark.pedantic(all_ways, rounds=1, iterations=1)
    alone = found["1 thread"][1]
    for way, (objects, seconds, processor, load) in found.items():
        print(
            f"\n{name}, {way}: {seconds:.1f} s, {alone / seconds:.2f} times as fast, "
            f"{processor:.1f} s of processor, {objects} objects, load before {load:.1f}",
            end="",
        )
    assert len({objects for objects, *_ in found.values()}) == 1
