"""What it costs to commit and undo an object of 100 x 100 pixels, by image size."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels

rows, columns = np.mgrid[:100, :100]
DISC = (rows - 50) ** 2 + (columns - 50) ** 2 < 2400
PLANE = PlaneAddress("y", "x")


def over_numpy(side):
    # Ones would not do: untouched zeros are not in memory, and searched too fast.
    array = np.ones((side, side), np.uint32)
    array[...] = 0
    return ArrayLabels(array, "yx")


def over_zarr(side):
    return PyramidLabels.create(None, (side, side), "yx")


STORES = pytest.mark.parametrize(
    ("make", "side"),
    [
        (over_numpy, 1024),
        (over_numpy, 4096),
        (over_zarr, 4096),
        (over_zarr, 16384),
        (over_zarr, 65536),
        (over_zarr, 1 << 20),
    ],
    ids=lambda value: value if isinstance(value, int) else value.__name__,
)


def commits(store, side):
    rng = np.random.default_rng(0)
    while True:
        y, x = (int(v) for v in rng.integers(0, side - 100, 2))
        yield store.write(PLANE, Box(y, x, y + 100, x + 100), DISC, store.next_label())


@STORES
def test_commit(benchmark, make, side):
    objects = commits(make(side), side)
    next(objects)
    benchmark.pedantic(lambda: next(objects), rounds=60)


@STORES
def test_undo(benchmark, make, side):
    store = make(side)
    objects = commits(store, side)
    benchmark.pedantic(store.revert, setup=lambda: ((next(objects),), {}), rounds=60)


@pytest.mark.parametrize("side", [4096, 1 << 20])
def test_create(benchmark, side):
    benchmark.pedantic(over_zarr, args=(side,), rounds=10)
