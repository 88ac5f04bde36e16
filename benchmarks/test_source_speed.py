"""Reading one 1024 x 1024 tile: how long, and whether the size of the image matters."""

import dask.array as da  # noqa: TID253
import numpy as np
import pytest
import zarr  # noqa: TID253

from napari_ditto.core.geometry import Box
from napari_ditto.data.source import open_source

TILE = 1024


def image_of(kind, side, folder):
    if kind == "numpy":
        return np.broadcast_to(np.arange(side, dtype="uint16"), (side, side))
    if kind == "dask":
        return da.ones((side, side), chunks=1024, dtype="uint16")
    array = zarr.create_array(
        folder / f"{side}.zarr", shape=(side, side), chunks=(512, 512), dtype="uint16"
    )
    middle = slice(side // 2 - TILE // 2, side // 2 + TILE // 2)
    array[middle, middle] = np.random.default_rng(0).integers(0, 4000, (TILE, TILE))
    return array


@pytest.mark.parametrize("side", [2_000, 100_000])
@pytest.mark.parametrize("kind", ["numpy", "zarr", "dask"])
def test_read_tile(benchmark, tmp_path, kind, side):
    source = open_source(image_of(kind, side, tmp_path), window=(0, 4000))
    start = side // 2 - TILE // 2
    box = Box(start, start, start + TILE, start + TILE)
    image = benchmark(source.read, source.plane(), box)
    assert image.shape == (TILE, TILE, 3)


@pytest.mark.parametrize("level", [1, 3])
def test_read_virtual_tile(benchmark, tmp_path, level):
    source = open_source(image_of("zarr", 16_384, tmp_path), window=(0, 4000))
    image = benchmark(source.read, source.plane(), Box(0, 0, TILE, TILE), level)
    assert image.shape == (TILE, TILE, 3)


@pytest.mark.parametrize("side", [2_000, 100_000])
def test_open_and_sample(benchmark, tmp_path, side):
    array = image_of("zarr", side, tmp_path)
    window = benchmark(lambda: open_source(array).window)
    assert window.channels == 1
