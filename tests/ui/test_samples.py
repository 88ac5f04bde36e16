"""Every sample opens without a network, with axes, scale and units."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from napari.layers import Layer

from napari_ditto.errors import SourceError
from napari_ditto.ui import samples
from napari_ditto.ui.adapters import axis_names, source_from_layer

REAL = ("coins", "cell", "tissue", "retina", "galaxies")
MADE = ("stack", "movie", "em", "huge")
ON_EARTH = "village"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def opened(name):
    return [Layer.create(*entry) for entry in getattr(samples, name)()]


@pytest.mark.parametrize("name", [*REAL, *MADE, ON_EARTH])
def test_samples_open_as_images_that_can_be_annotated(name):
    image = opened(name)[0]
    assert set(axis_names(image)) <= {"t", "z", "y", "x"}
    assert image.axis_labels == axis_names(image)
    source = source_from_layer(image)
    assert source.axes == axis_names(image)
    assert source.channels == (3 if name in ("tissue", "retina", "galaxies", ON_EARTH) else 1)


@pytest.mark.parametrize("name", REAL)
def test_real_images_are_real(name):
    image = np.asarray(opened(name)[0].data)
    assert image.dtype == np.uint8
    assert len(np.unique(image)) > 100


@pytest.mark.parametrize("name", ["cell", *MADE])
def test_known_pixel_sizes_are_given(name):
    for layer in opened(name):
        assert [str(unit) for unit in layer.units[-2:]] == ["micrometer"] * 2
        assert (layer.scale[-2:] < 1).all()


@pytest.mark.parametrize("name", ["stack", "movie", "em", ON_EARTH])
def test_the_truth_is_hidden_and_fits(name):
    image, truth = opened(name)
    assert not truth.visible
    assert truth.data.shape == image.data.shape[: truth.ndim]
    np.testing.assert_array_equal(truth.scale, image.scale)
    inside, outside = (image.data[where].mean(0) for where in (truth.data > 0, truth.data == 0))
    assert np.abs(inside - outside).max() > 30


def test_cells_divide():
    _, truth = opened("movie")
    parents = truth.metadata["parents"]
    assert parents
    for daughter, mother in parents.items():
        born = np.flatnonzero((truth.data == daughter).any(axis=(1, 2)))
        alive = np.flatnonzero((truth.data == mother).any(axis=(1, 2)))
        assert born.size == 0 or alive.max() < born.min()


def test_the_huge_raster_is_opened_without_being_computed():
    start = time.perf_counter()
    (image,) = opened("huge")
    assert image.multiscale
    assert image.data[0].shape == (60_000, 60_000)
    assert image.data[-1].shape[0] <= 512
    # A full computation takes minutes.
    assert time.perf_counter() - start < 20


def test_a_missing_sample_is_said_clearly(monkeypatch):
    from skimage import data

    def missing():
        raise ModuleNotFoundError("pooch")

    monkeypatch.setattr(data, "coins", missing)
    with pytest.raises(SourceError, match="pip install pooch"):
        samples.coins()


def test_the_coin_that_is_labelled_is_one(monkeypatch):
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    image, labels = opened("one_coin")
    inside = labels.data > 0
    assert np.asarray(image.data)[inside].mean() > 1.4 * np.asarray(image.data)[~inside].mean()
