"""What it costs to keep what a run has finished, and how often chunks are read."""

from __future__ import annotations

import itertools
import os
import time

import numpy as np
import pytest
from scipy.spatial import cKDTree  # noqa: TID253

from napari_ditto.core.geometry import Box
from napari_ditto.data.chunk_cache import ChunkCache, buffered
from napari_ditto.data.run_folder import RunFolder
from napari_ditto.data.source import open_source
from tests.data.counting import counting_zarr

KEY = "5eed" * 16
SIDE = 2048
RECORDS = 100_000


def tissue(cells: int = 3000) -> np.ndarray:
    """Return labels of confluent cells, all of them different."""
    centres = np.random.default_rng(0).random((cells, 2)) * SIDE
    pixels = np.stack(np.mgrid[:SIDE, :SIDE], -1).reshape(-1, 2)
    return (cKDTree(centres).query(pixels)[1].reshape(SIDE, SIDE) + 1).astype(np.uint32)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return tissue()


def test_put_of_a_window(benchmark, tmp_path, labels):
    run, numbers = RunFolder.create(tmp_path, {}), itertools.count()
    benchmark.pedantic(
        lambda: run.put("tiles", next(numbers), KEY, {}, {"labels": labels}), rounds=40
    )
    print(f"{run.nbytes / 40 / 1e6:.2f} MB per window")


def test_get_of_a_window(benchmark, tmp_path, labels):
    run = RunFolder.create(tmp_path, {})
    run.put("tiles", 0, KEY, {}, {"labels": labels})
    record = benchmark.pedantic(lambda: run.get("tiles", 0, KEY), rounds=40)
    np.testing.assert_array_equal(record.arrays["labels"], labels)


def test_told(benchmark, tmp_path):
    run = RunFolder.create(tmp_path, {})
    run.put("tiles", 0, KEY, {"objects": 3})
    assert benchmark(lambda: run.told("tiles", 0, KEY))


def test_finished_of_100_000_records(benchmark, tmp_path):
    run = RunFolder.create(tmp_path, {})
    run.put("tiles", 0, KEY, {})
    (first,) = (run.folder / "tiles" / "done" / "0").iterdir()
    ending, raw = first.name.partition("-")[2], first.read_bytes()
    for shard in range(RECORDS // 1000):
        folder = run.folder / "tiles" / "done" / str(shard)
        folder.mkdir(exist_ok=True)
        for number in range(1000 * shard, 1000 * shard + 1000):
            (folder / f"{number}-{ending}").write_bytes(raw)
    found = benchmark.pedantic(lambda: run.finished("tiles", KEY), rounds=5)
    assert found == set(range(RECORDS))


def walk(side: int, window: int, overlap: int) -> list[Box]:
    starts = sorted({min(at, side - window) for at in range(0, side, window - overlap)})
    return [Box(y, x, y + window, x + window) for y in starts for x in starts]


@pytest.mark.parametrize("chunk", [512, 1024])
@pytest.mark.parametrize("megabytes", [0, 32, 64, 128])
def test_reads_of_a_chunk(chunk, megabytes):
    side = 16_384
    array, store = counting_zarr((side, side), (chunk, chunk), "uint16")
    source = open_source(array, axes="yx", window=(0, 1))
    cache = ChunkCache(megabytes << 20)
    source = buffered(source, cache=cache) if megabytes else source
    start = time.perf_counter()
    for box in walk(side, 2048, 128):
        source.read(source.plane(), box)
    reads = sum(store.reads.values()) / (side // chunk) ** 2
    print(
        f"\nchunks of {chunk}, {megabytes} MB: {reads:.2f} reads of each, at most "
        f"{max(store.reads.values())}, {time.perf_counter() - start:.1f} s, load "
        f"{os.getloadavg()[0]:.1f}"
    )
    assert len(store.reads) == (side // chunk) ** 2
    assert not megabytes or reads <= 1.6
