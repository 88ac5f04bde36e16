"""Labels are never wholly in memory when they are written out."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.propagation import Carried, PlaneDone, Step
from napari_ditto.data.source import open_source
from napari_ditto.engine import propagation_run
from napari_ditto.engine.propagate import propagate_steps
from napari_ditto.testing.steppers import CopyStepper

FROM = 60


class Movie:
    """Frames that are made when they are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, frames: int, side: int) -> None:
        self.shape = (frames, side, side)

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        t, y, x = (np.arange(n)[i] for n, i in zip(self.shape, index, strict=True))
        return ((t[:, None, None] + y[:, None] + x) % 251).astype(np.uint8)


class Handing(CopyStepper):
    """Copies one square, and hands 64 kB on."""

    key = "handing"

    def step(self, address, before, anchors):
        yield from ()
        box = Box(8, 8, 40, 40)
        mask = PlacedMask(box, np.ones(box.shape, bool))
        return Step((Carried(7, mask, mask),), {"far": np.full(8192, address.index["t"])})


def walk(frames: int, side: int, out: Path):
    """Propagate from the first frame; yield the number of planes done."""
    labels = np.zeros((side, side), np.uint32)
    labels[8:40, 8:40] = 7
    source = open_source(Movie(frames, side), axes="tyx", window=(0, 255))
    steps = propagate_steps(source, {0: labels}, "t", stepper=Handing(), out=out)
    for progress in steps:
        if isinstance(progress.partial, PlaneDone):
            yield progress.done


def test_memory_does_not_grow_with_the_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propagation_run, "RECENT_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        held = {n: tracemalloc.get_traced_memory()[0] for n in walk(180, 128, tmp_path / "a.zarr")}
    finally:
        tracemalloc.stop()
    assert len(held) == 180
    # From there on the labels alone would take 8 MB, and what the steps hand on as much again;
    # Python's table of interned names doubles once in a while, by 4 MB in a process of many tests.
    assert max(held.values()) - held[FROM] < 6 << 20


@pytest.mark.skipif(not os.environ.get("DITTO_STRESS"), reason="2,000 frames take minutes")
def test_two_thousand_frames(tmp_path: Path) -> None:
    process = psutil.Process()
    held = {n: process.memory_info().rss for n in walk(2000, 512, tmp_path / "a.zarr")}
    growth = max(v for n, v in held.items() if n >= 100) - held[100]
    print(f"grew by {growth / 1e6:.0f} MB after frame 100")
    assert growth < 100e6
