"""Megapixels per second of a run over a whole image, read from zarr and written to OME-Zarr."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.records import race, report
from benchmarks.slides import slide
from napari_ditto.core.geometry import Box
from napari_ditto.data.source import open_source
from napari_ditto.engine.everything import segment_all
from napari_ditto.models.registry import load_model

SIDE, OBJECTS, RADIUS = 1536, 675, 16
"""As many objects per area as in a dense image of nuclei, 300 per megapixel."""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return slide(tmp_path_factory.mktemp("image"), SIDE, OBJECTS, RADIUS, chunk=512)


@pytest.mark.parametrize("name", ["ditto", "classic"])
def test_whole_image(benchmark, name, image, tmp_path):
    model, numbers = load_model(name), itertools.count()
    source = open_source(image, axes="yx", window=(0, 255))
    segment_all(source, model, region=Box(0, 0, 256, 256))
    objects = []

    def run():
        found = segment_all(source, model, out=tmp_path / f"{next(numbers)}.zarr")
        objects.append(int(found[:].max()))

    samples = race(benchmark, {"ours": run}, rounds=2 if name == "ditto" else 1, warmups=0)["ours"]
    report(
        f"{name}/whole image", samples, "Mpx/s", amount=SIDE**2 / 1e6, benchmark=benchmark,
        objects=objects[-1], processor_seconds=sum(samples.cpu) / len(samples.cpu),
    )  # fmt: skip
    assert objects[-1] > 0.5 * OBJECTS
