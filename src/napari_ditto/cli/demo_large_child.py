"""The process that labels the mosaic of `demo-large`; the demo kills it and starts it again.

It tells what it has done on stdout, a line of JSON for every tile and every stage, so that what a
killed process has measured is known all the same.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli.demo_large_mosaic import Mosaic, Recipe

if TYPE_CHECKING:
    from napari_ditto.engine.whole.opening import Model

CALLS = ("encode", "suggest", "decode", "decode_crops")
"""What a run asks of a model."""


@dataclass
class ModelClock:
    """Time that a model takes, of the clock and of the processor, added up over threads.

    Attributes
    ----------
    seconds, cpu : dict of str to float
        By call.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _inside: threading.local = field(default_factory=threading.local)

    def watch(self, model: Model) -> None:
        """Time all calls of a model from now on."""
        for name in CALLS:
            if hasattr(model, name):
                setattr(model, name, self._timed(name, getattr(model, name)))

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:  # noqa: ANN401
            with self._counted(name):
                return call(*args)

        return timed

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        if getattr(self._inside, "now", False):
            yield
            return
        self._inside.now = True
        clock, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._inside.now = False
            clock, cpu = time.perf_counter() - clock, time.thread_time() - cpu
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + clock
                self.cpu[name] = self.cpu.get(name, 0.0) + cpu


def peak_bytes() -> int | None:
    """Return the most memory that this process has held, None where that is not told."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(lines[0][1]) if lines else None


def main(target: str, recipe: str, model_name: str, workers: int, tile: int) -> None:
    """Begin the run at `target`, or go on with it."""
    from napari_ditto.core.jobs import drain
    from napari_ditto.data.source import open_source
    from napari_ditto.engine.whole.executors import ThreadExecutor
    from napari_ditto.engine.whole.launch import has_run
    from napari_ditto.engine.whole.planning import make_plan
    from napari_ditto.engine.whole.run import open_plan, run_steps
    from napari_ditto.engine.whole.segmenter import all_task
    from napari_ditto.engine.whole.work import TileDone
    from napari_ditto.models.registry import load_model

    mosaic, clock = Mosaic(Recipe.from_json(recipe)), ModelClock()
    source = open_source(mosaic.image, axes="yx", window=mosaic.window, name="mosaic")
    model = load_model(model_name)
    begun = has_run(Path(target))
    side = tile or None
    plan = open_plan(target) if begun else make_plan(source, model, all_task(), target, window=side)
    clock.watch(model)
    start, cpu = time.perf_counter(), time.process_time()

    def tell(event: str, **facts: object) -> None:
        now = {
            "event": event,
            "seconds": round(time.perf_counter() - start, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "model_seconds": clock.seconds,
            "model_cpu": clock.cpu,
            "peak": peak_bytes(),
            "reads": mosaic.image.reads,
            "drawing_cpu": round(mosaic.image.cpu, 3),
        }
        print(json.dumps({**now, **facts}), flush=True)

    tell("begin", tiles=plan.count, window=plan.window, halo=plan.halo)
    stage = ""
    steps = run_steps(plan, source=source, model=model, executor=ThreadExecutor(workers))

    def show(progress: Any) -> None:  # noqa: ANN401
        nonlocal stage
        if progress.stage != stage:
            stage = progress.stage
            tell("stage", stage=stage)
        done = progress.partial
        if isinstance(done, TileDone):
            tell(
                "tile", number=done.number, objects=done.objects, skipped=done.skipped,
                reused=done.reused, text=progress.text,
            )  # fmt: skip

    summary = drain(steps, show)
    tell(
        "end", tiles=summary.tiles, done=summary.done, reused=summary.reused,
        skipped=summary.skipped, failed=len(summary.failed), objects=summary.objects,
        state=summary.state,
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    sys.stdout.flush()
    os._exit(0)
