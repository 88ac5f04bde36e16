"""A run over a part of a virtual plane, in a process of its own, for what it takes.

``python -m tests.engine.whole.scale MODEL SIDE PIXELS FOLDER`` prints it as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import napari_ditto as nd
from napari_ditto.cli.demo_large_child import peak_bytes
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.run_plan import Plan
from napari_ditto.core.synthetic import Raster
from napari_ditto.data.run_folder import FOLDER, RunFolder
from napari_ditto.data.virtual import CHUNK, VirtualArray
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.run import create_run, run_status, run_steps
from napari_ditto.engine.whole.segmenter import all_task
from napari_ditto.testing.bounded import BoundedModel

ROOT = Path(__file__).parents[3]
CORNER = 400


@dataclass(frozen=True)
class Counted(VirtualArray):
    """Counts how often each chunk is read; for the stand-in it shows each object by one value."""

    plain: bool = False
    reads: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint16 if self.plain else np.uint8)

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (
            range(s.indices(n)[0] // CHUNK, -(-s.indices(n)[1] // CHUNK))
            for s, n in zip(index, self.shape, strict=True)
        )
        self.reads.update((row, column) for row in rows for column in columns)
        if not self.plain:
            return super().__getitem__(index)
        ids = VirtualArray(self.raster, self.level, truth=True)[index]
        return np.where(ids > 0, ids * 7919 % 65519 + 1, 0).astype(np.uint16)


def source_of(name: str, side: int) -> tuple[Any, Any, Counted]:
    """Return a virtual plane, the model, and its finest level."""
    raster, plain = Raster((side, side)), name == "bounded"
    levels = [Counted(raster, level, plain=plain) for level in range(raster.levels)]
    model = BoundedModel(tile=512) if plain else nd.load_model(name)
    window = (0, 65535) if plain else (0, 255)
    return nd.open_source(levels, axes="yx", window=window), model, levels[0]


def run_part(name: str, side: int, pixels: int, folder: Path) -> dict[str, float]:
    """Label a square of so many pixels near the corner of a plane."""
    source, model, level = source_of(name, side)
    box = Box(CORNER, CORNER, CORNER + pixels, CORNER + pixels)
    plan = make_plan(source, model, all_task(), folder / "a.zarr", region=box, empty_below=0)
    before, begun = peak_bytes() or 0, time.perf_counter()
    steps = run_steps(plan, source=source, model=model, executor=ThreadExecutor(1))
    summary = drain(steps)
    painted = (folder / "a.zarr" / FOLDER / "paint" / "done").rglob("*")
    return {
        "objects": summary.objects,
        "blocks": sum(path.is_file() for path in painted),
        "tiles": summary.tiles,
        "seconds": time.perf_counter() - begun,
        "before": before / 1e6,
        "peak": (peak_bytes() or 0) / 1e6,
        "reads": level.reads.total() / len(level.reads),
    }


def in_a_process(name: str, side: int, pixels: int, folder: Path) -> dict[str, float]:
    """Return what a process of its own has measured."""
    words = ["-m", "tests.engine.whole.scale", name, str(side), str(pixels), str(folder)]
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def large_plan(side: int, folder: Path) -> tuple[Plan, Any, Any]:
    """Return the plan of a plane of about ``(side / 1906) ** 2`` tiles."""
    source, model, _ = source_of("bounded", side)
    model = BoundedModel()
    plan = make_plan(source, model, all_task(), folder / "large.zarr", window=2048, halo=71)
    return plan, source, model


def planned(side: int, folder: Path) -> dict[str, float]:
    """Return what it takes to make a large plan, to create its run, and to look at that."""
    times, start = {}, time.perf_counter()
    plan, _, _ = large_plan(side, folder)
    times["plan"] = time.perf_counter() - start
    create_run(plan)
    times["create"] = time.perf_counter() - start - times["plan"]
    run_status(plan.target)
    total = time.perf_counter() - start
    return {**times, "status": total - sum(times.values()), "total": total, "tiles": plan.count}


def scanned(side: int, done: int, folder: Path) -> dict[str, float]:
    """Return how long a run takes to see that so many of its tiles are done.

    They are done records as of empty tiles.
    """
    plan, source, model = large_plan(side, folder)
    run = create_run(plan)
    fill(run, plan, done)
    start, cpu = time.perf_counter(), time.process_time()
    steps = run_steps(plan, source=source, model=model)
    first = next(steps)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    steps.close()
    assert (first.stage, first.done) == ("tiles", done)
    return {"done": done, "seconds": seconds, "cpu": cpu}


def fill(run: RunFolder, plan: Plan, done: int) -> None:
    """Write records of tiles that are done."""
    head = {"objects": 0, "skipped": True, "seconds": 0.1}
    for number in range(done):
        run.put("tiles", number, plan.digest, head, {"areas": np.zeros(0, np.int64)})


if __name__ == "__main__":
    name, side, pixels, place = sys.argv[1:]
    print(json.dumps(run_part(name, int(side), int(pixels), Path(place))))
