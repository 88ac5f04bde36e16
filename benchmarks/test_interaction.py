"""What a user waits for with `ditto` and `classic`, without a window.

First click, further click, the answer of the live preview, and everything in a tile.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks import roofline
from benchmarks.records import race, report
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.everything import segment_all
from napari_ditto.models.registry import load_model

SIDE, OBJECTS, RADIUS = 512, 75, 16
"""As many objects per area as in a dense image of nuclei, 300 per megapixel."""


@pytest.fixture(scope="module", params=["ditto", "classic"])
def model(request):
    return load_model(request.param)


def scene(seed):
    """Return a new tile and the middles of its objects."""
    labels = blobs((SIDE, SIDE), OBJECTS, radius=RADIUS, seed=seed)
    ids = np.unique(labels)[1:]
    middles = [np.argwhere(labels == i).mean(axis=0) for i in ids]
    return render(labels, seed=seed), [tuple(m) for m in middles]


def annotator(model, image):
    source = open_source(image, axes="yx", window=(0, 255))
    return Annotator(source, model, cache=EmbeddingCache(directory=None))


def products_of(call):
    """Return the seconds of the matrix products in a call, None where it makes none."""
    products = roofline.products_of(call)
    return roofline.products_alone(products) if products else None


def floor_of(call, scale=1.0):
    """Return the floor of a call as `report` takes it."""
    seconds = products_of(call)
    return None if seconds is None else ("its products and convolutions alone", seconds * scale)


def test_first_click_on_a_new_tile(benchmark, model):
    seeds = itertools.count()

    def new():
        image, middles = scene(next(seeds))
        return annotator(model, image), middles[0]

    def click(given):
        ours, middle = given
        assert not ours.predict(points=[middle]).is_empty

    found = race(benchmark, {"ours": click}, rounds=15, setup=new, warmups=2)["ours"]
    floor = floor_of(lambda: click(new()), 1000)
    report(f"{model.spec.id}/first click", found, "ms", floor=floor, benchmark=benchmark)


def test_further_clicks(benchmark, model):
    image, middles = scene(0)
    ours, rng = annotator(model, image), np.random.default_rng(0)
    state = {"points": []}

    def more():
        """Begin with another object after five clicks; add one near it otherwise."""
        if not 0 < len(state["points"]) < 5:
            state["points"] = [middles[rng.integers(len(middles))]]
            ours.predict(points=state["points"])
        near = np.array(state["points"][0]) + rng.uniform(-25, 25, 2)
        state["points"] = [*state["points"], tuple(np.clip(near, 0, SIDE - 1))]
        return state["points"]

    def click(points):
        positive = [True] + [False] * (len(points) - 1)
        ours.predict(points=points, positive=positive)

    found = race(benchmark, {"ours": click}, rounds=80, setup=more, warmups=5)["ours"]
    floor = floor_of(lambda: click(more()), 1000)
    report(f"{model.spec.id}/further click", found, "ms", floor=floor, benchmark=benchmark)


def test_hover_answer(benchmark, model):
    """What the live preview asks while the mouse moves over a tile that is encoded."""
    image, middles = scene(0)
    ours, rng = annotator(model, image), np.random.default_rng(1)
    ours.predict(points=[middles[0]])

    def place():
        return tuple(rng.uniform(12, SIDE - 12, 2))

    def answer(at):
        ours.predict(points=[at])

    found = race(benchmark, {"ours": answer}, rounds=60, setup=place, warmups=3)["ours"]
    floor = floor_of(lambda: answer(middles[1]), 1000)
    report(f"{model.spec.id}/hover answer", found, "ms", floor=floor, benchmark=benchmark)


def test_everything(benchmark, model):
    seeds = itertools.count(10)

    def new():
        return open_source(scene(next(seeds))[0], axes="yx", window=(0, 255))

    counted = []

    def find(source):
        counted.append(int(segment_all(source, model).max()))

    found = race(benchmark, {"ours": find}, rounds=5, setup=new)["ours"]
    floor = floor_of(lambda: find(new()))
    report(
        f"{model.spec.id}/everything", found, "s", floor=floor, benchmark=benchmark,
        objects=float(np.mean(counted)),
    )  # fmt: skip
    assert min(counted) > 0.8 * OBJECTS
