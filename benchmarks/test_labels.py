"""What it costs to commit and undo an object of 100 x 100 pixels, by image size."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels

rows, columns = np.mgrid[:100, :100]
DISC = (rows - 50) ** 2 + (columns - 50) ** 2 < 2400
PLANE = PlaneAddress("y", "x")
SIDES = (4096, 16384, 65536)
EDITS = 200


def over_numpy(side):
    # Ones would not do: untouched zeros are not in memory, and searched too fast.
    array = np.ones((side, side), np.uint32)
    array[...] = 0
    return ArrayLabels(array, "yx")


def commits(store, side):
    rng = np.random.default_rng(0)
    while True:
        y, x = (int(v) for v in rng.integers(0, side - 100, 2))
        yield store.write(PLANE, Box(y, x, y + 100, x + 100), DISC, store.next_label())


def timed(call, *args):
    start = time.perf_counter()
    result = call(*args)
    return time.perf_counter() - start, result


def p95(seconds):
    return float(np.percentile(seconds, 95))


@pytest.mark.parametrize("side", [1024, 4096])
def test_commit_in_memory(benchmark, side):
    objects = commits(over_numpy(side), side)
    next(objects)
    benchmark.pedantic(lambda: next(objects), rounds=60)


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
@pytest.mark.parametrize("flushed", [False, True], ids=["commit", "commit and flush"])
def test_commit_and_undo_whatever_the_size(ngff, flushed):
    """The sizes take turns, so that what else the machine does falls on all of them alike.

    With the flush, each edit waits for the coarser levels; without, they follow behind its back.
    """
    stores = {side: PyramidLabels.create(None, (side, side), "yx", ngff=ngff) for side in SIDES}
    objects = {side: commits(store, side) for side, store in stores.items()}
    took = {(what, side): [] for what in ("commit", "undo", "redo") for side in SIDES}

    def edit(what, side, call, *args):
        seconds, result = timed(call, *args)
        took[what, side].append(seconds + (timed(stores[side].flush)[0] if flushed else 0))
        return result

    for i in range(EDITS):
        for side, store in stores.items():
            delta = edit("commit", side, next, objects[side])
            if i % 2:
                edit("undo", side, store.revert, delta)
                edit("redo", side, store.apply, delta)
    print(f"\nOME-Zarr {ngff}{', flushed' if flushed else ''}: median / p95 in ms")
    for what in ("commit", "undo", "redo"):
        found = [took[what, side] for side in SIDES]
        figures = [f"{np.median(t) * 1e3:5.1f} /{p95(t) * 1e3:6.1f}" for t in found]
        ratio = np.median(found[-1]) / np.median(found[0])
        print(f"  {what:6}  {'   '.join(figures)}   ratio {ratio:.2f}")
        assert max(map(p95, found)) < 0.05 or flushed
        assert ratio < 1.5 or flushed


@pytest.mark.parametrize("side", [4096, 1 << 20])
def test_create(benchmark, side):
    benchmark.pedantic(lambda: PyramidLabels.create(None, (side, side), "yx"), rounds=10)
