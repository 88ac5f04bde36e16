"""Commit and undo of one object, against zarr alone; and how long the program takes to start."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.records import race, report, samples_of
from benchmarks.test_labels import DISC, PLANE, commits, over_numpy
from napari_ditto.core.geometry import Box
from napari_ditto.data.pyramid_labels import PyramidLabels

LARGE, EDITS = 16_384, 60


def in_memory(folder):
    return over_numpy(4096), np.zeros((4096, 4096), np.uint32), 4096


def on_disk(folder):
    import zarr

    store = PyramidLabels.create(folder / "labels.zarr", (LARGE, LARGE), "yx")
    like = store.data
    bare = zarr.create_array(
        folder / "bare.zarr", shape=like.shape, dtype=like.dtype, chunks=like.chunks
    )
    return store, bare, LARGE


@pytest.mark.parametrize(("where", "make"), [("memory", in_memory), ("disk", on_disk)])
def test_commit_and_undo(benchmark, tmp_path, where, make):
    store, bare, side = make(tmp_path)
    objects, rng, deltas = commits(store, side), np.random.default_rng(1), []
    next(objects)

    def alone():
        y, x = (int(v) for v in rng.integers(0, side - 100, 2))
        part = bare[y : y + 100, x : x + 100]
        part[DISC] = 7
        bare[y : y + 100, x : x + 100] = part

    ways = {
        "commit": lambda: deltas.append(next(objects)),
        "undo": lambda: store.revert(deltas.pop()),
        "alone": alone,
    }
    found = race(benchmark, ways, EDITS, warmups=5)
    peer = "numpy alone" if where == "memory" else "zarr alone, one level"
    for what in ("commit", "undo"):
        report(
            f"labels/{what}, {where}", found[what], "ms", reference=(peer, found["alone"]),
            benchmark=benchmark, side=side,
        )  # fmt: skip
    assert store.write(PLANE, Box(0, 0, 100, 100), DISC, store.next_label()) is not None


STARTS = {
    "import": ("-c", "import napari_ditto"),
    "help": ("-m", "napari_ditto.cli", "--help"),
    "numpy": ("-c", "import numpy"),
    "python": ("-c", "pass"),
}


def test_start(benchmark):
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}

    def start(*words):
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=env)

    ways = {name: (lambda words=words: start(*words)) for name, words in STARTS.items()}
    found = race(benchmark, ways, rounds=10, warmups=1)
    bare = np.array(found["python"].wall)
    for name, what in (("import", "import"), ("help", "command --help")):
        # The interpreter's own start is not ours.
        ours = samples_of(list(np.array(found[name].wall) - bare))
        numpy = samples_of(list(np.array(found["numpy"].wall) - bare))
        report(
            f"program/{what}", ours, "ms", reference=("import numpy", numpy), benchmark=benchmark,
            python_itself_ms=1000 * float(np.median(bare)),
        )  # fmt: skip
