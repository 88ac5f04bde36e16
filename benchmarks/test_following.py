"""Planes per second that labels follow with `ditto`, ten objects, embeddings made and at hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.records import race, report
from napari_ditto.core.propagation import Gate
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine import outlining
from napari_ditto.engine.propagate import propagate
from napari_ditto.models.registry import load_model

SIDE, OBJECTS, PLANES = 512, 10, 12
"""Planes besides the given one."""

EVERYTHING = Gate(0, 0, 0, np.inf)


def scene(seed=0):
    """Return bright discs that drift on a noisy background, and their labels."""
    y, x = np.indices((SIDE, SIDE))
    rng = np.random.default_rng(seed)
    labels = np.zeros((PLANES + 1, SIDE, SIDE), np.uint32)
    for label in range(1, OBJECTS + 1):
        row, column = divmod(label - 1, 4)
        cy, cx, radius = 90 + 150 * row, 70 + 115 * column, 22 + 2 * label
        for z in range(PLANES + 1):
            labels[z][np.hypot(y - cy - z, x - cx - 2 * z) <= radius] = label
    image = 60 + 110 * (labels > 0) + rng.normal(0, 8, labels.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize(
    ("name", "trusted"), [("ditto", True), ("ditto", False), ("classic", True)]
)
def test_propagate_ten_objects(benchmark, monkeypatch, name, trusted):
    """Discs that the model gives back; and the same as if it gave none back, as with neurons."""
    if not trusted:
        monkeypatch.setattr(outlining, "TRUSTED", 2.0)
    model, case = load_model(name), "" if trusted else ", none trusted"
    pixels, labels = scene()
    source, warm = open_source(pixels, axes="zyx"), EmbeddingCache(4 << 30, directory=None)

    def follow(cache):
        propagate(source, {0: labels[0]}, "z", model, gate=EVERYTHING, cache=cache)

    ways = {
        "cached": lambda: follow(warm),
        "fresh": lambda: follow(EmbeddingCache(4 << 30, directory=None)),
    }
    follow(warm)
    found = race(benchmark, ways, rounds=3, warmups=0)
    for way, samples in found.items():
        report(
            f"{name}/propagate, {way}{case}", samples, "planes/s", amount=PLANES,
            benchmark=benchmark, objects=OBJECTS,
            processor=PLANES / float(np.median(samples.cpu)),
        )  # fmt: skip
