"""10,000 objects of a plane of 16,384 x 16,384, from a pyramid on disk, in every format."""

import os
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.export import export
from napari_ditto.data.pyramid_labels import PyramidLabels

SIDE, EACH = 16_384, 164


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory) -> Path:
    """Blobs about 130 pixels wide, one in each cell of a grid of 100 x 100."""
    from scipy.ndimage import gaussian_filter

    path = tmp_path_factory.mktemp("labels") / "a.ome.zarr"
    store = PyramidLabels.create(path, (SIDE, SIDE), "yx")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:EACH, :EACH] - EACH / 2
    shapes = [np.hypot(y, x) + 25 * _rough(gaussian_filter, rng) < 60 for _ in range(50)]
    for row in range(SIDE // EACH):
        strip = np.zeros((EACH, SIDE), np.uint32)
        for column in range(SIDE // EACH):
            label = 1 + row * (SIDE // EACH) + column
            cell = strip[:, column * EACH : (column + 1) * EACH]
            cell[shapes[label % 50]] = label
        store.paint(PlaneAddress(), Box(row * EACH, 0, (row + 1) * EACH, SIDE), strip)
    assert label > 9_800
    return path


def _rough(gaussian_filter, rng):
    return gaussian_filter(rng.standard_normal((EACH, EACH)), 16) * 40


@pytest.mark.parametrize(
    "name",
    ["a.geojson", "s.geojson", "a.gpkg", "a.json", "p.json", "a.zip", "a.tif", "a.ome.zarr"],
)
def test_export(benchmark, pyramid, tmp_path, name):
    options = {
        "s.geojson": {"simplify": 1.0}, "p.json": {"coco": "polygons"}
    }.get(name, {})  # fmt: skip
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    target = tmp_path / name
    busy = time.process_time()
    benchmark.pedantic(lambda: export(pyramid, target, **options), rounds=1)
    busy = time.process_time() - busy
    files = [target] if target.is_file() else [p for p in target.rglob("*") if p.is_file()]
    megabytes = sum(p.stat().st_size for p in files) / 1e6
    grown = (process.memory_info().rss - before) / 1e6
    print(
        f"\n{name}: {benchmark.stats.stats.min:.1f} s, {busy:.1f} s of processor, "
        f"{megabytes:.1f} MB, memory {grown:+.0f} MB"
    )
