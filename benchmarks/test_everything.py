"""What "everything" costs per object and per square of 1,024 pixels, and in which part of it."""

import time

import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.source import open_source
from napari_ditto.engine.everything import segment_all
from napari_ditto.models.device import threads
from napari_ditto.models.registry import load_model

SIDE, OBJECTS, RADIUS = 1024, 300, 16
WARM = Box(0, 0, 256, 256)
TWICE = 1.5
"""Most prompts per object: tiles overlap, but each object is asked about in one of them."""


class Clocked:
    """Passes everything on, and adds up the seconds of processor time."""

    def __init__(self, model):
        self.model, self.spec, self.asked = model, model.spec, 0
        self.seconds = {}

    def encode(self, tiles):
        return self._clocked("encode", tiles)

    def suggest(self, embedding):
        return self._clocked("suggest", embedding)

    def decode(self, embedding, prompts):
        return self._clocked("decode", embedding, prompts)

    def decode_crops(self, embedding, prompts):
        self.asked += len(prompts)
        return self._clocked("decode", embedding, prompts, call="decode_crops")

    def _clocked(self, name, *arguments, call=""):
        start = time.process_time()
        found = getattr(self.model, call or name)(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        return found


def run(name):
    """Return the model, the processor seconds in all, and how many objects were found."""
    truth = blobs((SIDE, SIDE), OBJECTS, radius=RADIUS, seed=1)
    source, model = open_source(render(truth, seed=1), axes="yx", window=(0, 255)), load_model(name)
    segment_all(source, model, region=WARM)
    clocked, start = Clocked(model), time.process_time()
    found = segment_all(source, clocked)
    return clocked, time.process_time() - start, int(found.max())


@pytest.mark.parametrize("name", ["classic", "ditto"])
def test_each_object_is_asked_about_once(benchmark, name):
    with threads(1):
        model, total, objects = benchmark.pedantic(run, (name,), rounds=1, iterations=1)
    numbers = {part: f"{s:.1f} s" for part, s in model.seconds.items()}
    numbers |= {
        "model": name, "processor": f"{total:.1f} s", "objects": objects, "asked": model.asked,
        "per object": f"{1000 * model.seconds['decode'] / model.asked:.0f} ms",
    }  # fmt: skip
    benchmark.extra_info.update(numbers)
    print("\n" + ", ".join(f"{key} {value}" for key, value in numbers.items()))
    assert objects > 0.8 * OBJECTS
    assert model.asked < TWICE * objects
