"""Long stacks and whole images: what a plane and a megapixel cost once things are under way.

Beside each stands the floor: the time of the encoder alone, with all cores.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.records import race, report, samples_of
from benchmarks.test_following import EVERYTHING, OBJECTS, SIDE
from napari_ditto.core.jobs import drain
from napari_ditto.core.propagation import PlaneDone
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine import outlining
from napari_ditto.engine.propagate import propagate_steps
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.run import run_steps
from napari_ditto.engine.whole.segmenter import all_task
from napari_ditto.models.registry import load_model

PLANES = 16
"""Besides the given one; the first has to learn what the user's labels look like."""

WHOLE = 1280
"""One tile of a run, which its workers share; larger images have tiles for each."""


def scene():
    """Return bright discs that drift on a noisy background, and their labels."""
    y, x = np.indices((SIDE, SIDE))
    labels = np.zeros((PLANES + 1, SIDE, SIDE), np.uint32)
    for label in range(1, OBJECTS + 1):
        row, column = divmod(label - 1, 4)
        cy, cx, radius = 90 + 150 * row, 70 + 110 * column, 22 + 2 * label
        for z in range(PLANES + 1):
            labels[z][np.hypot(y - cy - z, x - cx - z) <= radius] = label
    noise = np.random.default_rng(0).normal(0, 8, labels.shape)
    return np.clip(60 + 110 * (labels > 0) + noise, 0, 255).astype(np.uint8), labels


def planes(source, example, model, cache):
    """Return the seconds of every plane, the first that is walked to first."""
    took, last = [], time.perf_counter()
    steps = propagate_steps(source, {0: example}, "z", model, gate=EVERYTHING, cache=cache)
    for progress in steps:
        if isinstance(progress.partial, PlaneDone):
            now = time.perf_counter()
            took.append(now - last)
            last = now
    return took[1:]  # what comes first is the example itself


def encoding(model, pixels, rounds=5):
    """Return the median seconds of encoding a tile."""
    tile = np.repeat(pixels[None, ..., None] / np.float32(255), 3, 3).astype(np.float32)
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        model.encode(tile)
        took.append(time.perf_counter() - start)
    return float(np.median(took))


@pytest.mark.parametrize(
    ("name", "trusted"), [("ditto", True), ("ditto", False), ("classic", True)]
)
def test_planes_under_way(benchmark, monkeypatch, name, trusted):
    if not trusted:
        monkeypatch.setattr(outlining, "TRUSTED", 2.0)
    case = "" if trusted else ", none trusted"
    model = load_model(name)
    pixels, labels = scene()
    source, cache = open_source(pixels, axes="zyx"), EmbeddingCache(4 << 30, directory=None)
    found = {way: planes(source, labels[0], model, cache) for way in ("fresh", "cached")}
    benchmark.pedantic(lambda: None)
    floor = encoding(model, pixels[0])
    for way, took in found.items():
        report(
            f"{name}/propagate on, {way}{case}", samples_of(took[1:]), "planes/s",
            floor=("encoding alone", 1 / floor) if way == "fresh" else None,
            benchmark=benchmark, objects=OBJECTS, first_plane_s=took[0],
        )  # fmt: skip


@pytest.mark.parametrize("name", ["ditto", "classic"])
def test_workers(benchmark, name, tmp_path):
    model = load_model(name)
    image = render(blobs((WHOLE, WHOLE), 490, radius=16, seed=1), seed=1)
    source = open_source(image, axes="yx", window=(0, 255))

    def run(workers):
        plan = make_plan(source, model, all_task(), tmp_path / f"{time.monotonic_ns()}.zarr")
        drain(run_steps(plan, source=source, model=model, executor=ThreadExecutor(workers)))

    ways = {"two workers": lambda: run(2), "one worker": lambda: run(1)}
    found = race(benchmark, ways, rounds=1, warmups=0)
    floor = encoding(model, image[:512, :512]) * WHOLE**2 / 384**2  # tiles overlap by a quarter
    report(
        f"{name}/whole image, two workers", found["two workers"], "Mpx/s", amount=WHOLE**2 / 1e6,
        reference=("one worker", found["one worker"]), benchmark=benchmark,
        floor=("encoding its tiles alone", WHOLE**2 / 1e6 / floor),
    )  # fmt: skip
