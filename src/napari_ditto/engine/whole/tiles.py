"""One tile of a run: read, found empty or segmented, measured, stored."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import Task
from napari_ditto.core.seams import measure
from napari_ditto.data.cropped import cropped
from napari_ditto.engine.whole.context import RunContext, Stored
from napari_ditto.errors import LabelsError

STEP = 4
"""Every so many pixels along both axes are looked at to tell whether a tile is empty."""

RARE = 0.0005
"""Part of the pixels that may be brighter or darker than all others in an empty tile."""


def tile_steps(run: RunContext, number: int) -> Generator[Progress, None, Stored]:
    """Do one tile."""
    begun = time.perf_counter()
    tile = run.plan.tile(number)
    part = cropped(run.source, tile.address, tile.window, hold=True)
    yield Progress("read", 0, 1, "reading…")
    wanted = run.region.inside(tile.window)
    unwanted = wanted is not None and not wanted.any()
    if unwanted or is_empty(part.pixels(tile.address), run.plan.empty_below):
        return Stored(lambda: _store_empty(run, number, time.perf_counter() - begun))
    found = yield from run.segmenter.steps(part, tile.address, run.threads)
    labels, count = compact(found.labels, run.plan.task)
    objects = measure(
        labels, count, tile.window, tile.core, run.plan.plane_shape, run.margin, wanted
    )
    arrays: dict[str, NDArray[Any]] = {
        "labels": labels,
        "areas": objects.areas,
        "centers": objects.centers,
        "cut": objects.cut,
        "wanted": objects.wanted,
        "in_core": objects.in_core,
        "scores": found.scores,
    }
    seconds = time.perf_counter() - begun
    head = {"objects": count, "skipped": False, "seconds": round(seconds, 3)}
    return Stored(lambda: _store(run, number, head, arrays))


def is_empty(pixels: NDArray[np.float32], least: float) -> bool:
    """Whether pixels show less contrast than `least`, in parts of the intensity window.

    Single odd pixels, such as hot ones, do not count.
    """
    if least <= 0:
        return False
    some = pixels[::STEP, ::STEP].reshape(-1, pixels.shape[2])
    low, high = np.quantile(some, (RARE, 1 - RARE), axis=0)
    return bool((high - low).max() < least)


def compact(labels: NDArray[np.integer], task: Task) -> tuple[NDArray[np.integer], int]:
    """Return labels of the smallest type, and the largest id that they may have.

    Classes become their place in the task's list, counted from 1.
    """
    count = int(labels.max(initial=0))
    if not task.instances:
        classes = np.array([0, *task.settings["classes"]], dtype=np.int64)
        order = np.argsort(classes)
        at = np.searchsorted(classes, labels, sorter=order)
        labels, count = order[np.minimum(at, len(order) - 1)], len(classes) - 1
    if count > np.iinfo(np.uint32).max:
        raise LabelsError(f"{count} objects in one tile", todo="Choose smaller tiles")
    return labels.astype(np.min_scalar_type(count)), count


def _store(
    run: RunContext, number: int, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Mapping[str, object]:
    digest = run.folder.put("tiles", number, run.plan.digest, head, arrays)
    return {**head, "digest": digest}


def _store_empty(run: RunContext, number: int, seconds: float) -> Mapping[str, object]:
    none = np.zeros(0, dtype=bool)
    arrays: dict[str, NDArray[Any]] = {
        "areas": np.zeros(0, dtype=np.int64),
        "centers": np.zeros((0, 2)),
        "cut": none,
        "wanted": none,
        "in_core": none,
        "scores": np.zeros(0, dtype=np.float32),
    }
    head = {"objects": 0, "skipped": True, "seconds": round(seconds, 3)}
    return _store(run, number, head, arrays)
