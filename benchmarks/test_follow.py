"""Planes per second of propagation for each family, with embeddings to be made and at hand.

SAM, SAM 2 and SegGPT are of the published sizes with seeded random weights: what they find is
noise, only their time counts. So that noise is not dropped as doubtful, everything is believed.
"""

import logging
import time

import numpy as np
import psutil
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Carried, Gate, PlaneDone, Step
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.propagate import propagate, propagate_steps
from napari_ditto.models.registry import load_model
from napari_ditto.testing.fakes import CountingModel

SIDE, OBJECTS = 512, 5
PLANES = {"ditto": 12, "classic": 12, "sam": 2, "sam2": 2, "sam2_video": 2, "seggpt": 1}
"""Planes besides the given one; few where one takes long."""

EVERYTHING = Gate(0, 0, 0, np.inf)


def scene(planes, objects=OBJECTS):
    """Return bright discs that drift on a noisy background, and their labels."""
    y, x = np.indices((SIDE, SIDE))
    rng = np.random.default_rng(0)
    labels = np.zeros((planes, SIDE, SIDE), np.uint32)
    for label in range(1, objects + 1):
        cy, cx = 60 + 95 * (label - 1), 120 + 50 * label
        for z in range(planes):
            labels[z][np.hypot(y - cy - z, x - cx - 2 * z) <= 24 + 2 * label] = label
    noise = rng.normal(0, 8, labels.shape)
    return np.clip(60 + 110 * (labels > 0) + noise, 0, 255).astype(np.uint8), labels


def random_checkpoint(family, folder):
    """Save a network of the published size with seeded weights; return its name."""
    import torch
    import transformers as t

    logging.getLogger("transformers").setLevel(logging.ERROR)
    kinds = {
        "sam": (t.SamConfig, t.SamModel),
        "sam2": (t.Sam2Config, t.Sam2Model),
        "sam2_video": (t.Sam2VideoConfig, t.Sam2VideoModel),
        "seggpt": (t.SegGptConfig, t.SegGptForImageSegmentation),
    }
    config, network = kinds[family]
    torch.manual_seed(0)
    network(config()).save_pretrained(folder)
    return f"{family.removesuffix('_video')}:{folder}"


def report(benchmark, **numbers):
    benchmark.extra_info.update(numbers)
    print("\n" + ", ".join(f"{name} {value}" for name, value in numbers.items()))


def timed(source, example, model, cache):
    """Return planes per second of processor time and of the clock."""
    start, ticks = time.perf_counter(), time.process_time()
    propagate(source, {0: example}, "z", model, gate=EVERYTHING, cache=cache)
    walked = source.shape[0] - 1
    return walked / (time.process_time() - ticks), walked / (time.perf_counter() - start)


@pytest.mark.parametrize("family", PLANES)
def test_planes_per_second(benchmark, family, tmp_path):
    heavy = family not in ("ditto", "classic")
    model = load_model(random_checkpoint(family, tmp_path) if heavy else family)
    pixels, labels = scene(PLANES[family] + 1)
    source, cache = open_source(pixels, axes="zyx"), EmbeddingCache(4 << 30, directory=None)
    fresh = timed(source, labels[0], model, cache)
    cached = timed(source, labels[0], model, cache)
    benchmark.pedantic(lambda: None)
    report(
        benchmark,
        family=family,
        objects=OBJECTS,
        planes_per_s_fresh=round(fresh[0], 2),
        planes_per_s_cached=round(cached[0], 2),
        by_the_clock_fresh=round(fresh[1], 2),
        by_the_clock_cached=round(cached[1], 2),
    )


@pytest.mark.parametrize("family", ["ditto", "classic"])
def test_time_by_the_number_of_objects(benchmark, family):
    model = load_model(family)
    found = {}
    for objects in (1, 5):
        pixels, labels = scene(PLANES[family] + 1, objects)
        source, cache = open_source(pixels, axes="zyx"), EmbeddingCache(directory=None)
        timed(source, labels[0], model, cache)
        found[objects] = round(timed(source, labels[0], model, cache)[0], 2)
    benchmark.pedantic(lambda: None)
    report(benchmark, family=family, planes_per_s_cached_by_objects=found)


@pytest.mark.parametrize("family", ["ditto", "classic"])
def test_every_plane_is_encoded_once(benchmark, family):
    counting = CountingModel(load_model(family))
    pixels, labels = scene(8)
    source = open_source(pixels, axes="zyx")
    benchmark.pedantic(propagate, args=(source, {3: labels[3]}, "z", counting), rounds=1)
    report(benchmark, family=family, planes=8, encoded=counting.encoded)
    assert counting.encoded == 8


class Frames:
    """A long movie of drifting discs, drawn when read."""

    ndim, dtype = 3, np.dtype(np.uint8)

    def __init__(self, count):
        self.shape = (count, SIDE, SIDE)
        y, x = np.indices((61, 61)) - 30
        self.disc = np.hypot(y, x) <= 28

    def frame(self, t):
        """Return the labels of a frame."""
        out = np.zeros((SIDE, SIDE), np.uint32)
        for label in range(1, OBJECTS + 1):
            y = round(95 * label - 65 + 20 * np.sin(t / 30))
            x = round(226 + 150 * np.sin(t / 50 + label))
            out[y : y + 61, x : x + 61][self.disc] = label
        return out

    def __getitem__(self, at):
        planes = [60 + 110 * (self.frame(t) > 0) for t in range(self.shape[0])[at[0]]]
        return np.array(planes, np.uint8)[(slice(None), *at[1:])]


class Truth:
    """A stepper that costs nothing, so that only the loop is seen."""

    key = "truth"

    def __init__(self, frames):
        self.frames = frames

    def step(self, address, before, anchors):
        yield Progress("decode", 0, 1, "looking")
        labels = self.frames.frame(address.index["t"])
        plane = Box.of_shape(labels.shape)
        masks = [(n, PlacedMask(plane, labels == n).cropped()) for n in range(1, OBJECTS + 1)]
        return Step(tuple(Carried(n, mask, mask) for n, mask in masks))


@pytest.mark.parametrize(("family", "count"), [("the loop", 2000), ("classic", 400)])
def test_memory_is_flat(benchmark, family, count, tmp_path):
    frames = Frames(count)
    source = open_source(frames, axes="tyx", window=(0, 255))
    how = {"stepper": Truth(frames)} if family == "the loop" else {"model": load_model(family)}
    process, held = psutil.Process(), []

    def run():
        steps = propagate_steps(source, {0: frames.frame(0)}, "t", out=tmp_path / "l.zarr", **how)
        done = (p for p in steps if isinstance(p.partial, PlaneDone))
        held.extend(process.memory_info().rss / 2**20 for _ in done)

    benchmark.pedantic(run, rounds=1)
    growth = max(held[100:]) - held[100]
    report(benchmark, family=family, frames=len(held), growth_after_100_MB=round(growth, 1))
    assert growth < 100
