"""The product's promise: label one coin, find the others."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, filters, segmentation

from napari_ditto.core.jobs import drain
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.context import segment_like_steps
from napari_ditto.engine.examples import PlaneExample
from napari_ditto.models.registry import load_model

COINS = 24
CACHE = EmbeddingCache(directory=None)


@pytest.fixture(scope="module")
def ditto():
    return load_model("ditto")


@pytest.fixture(scope="module")
def truth():
    """The coins by the watershed of scikit-image's tutorial, each with an id."""
    image = data.coins()
    markers = np.select([image < 30, image > 150], [1, 2])
    coins = segmentation.watershed(filters.sobel(image), markers) == 2
    numbered, _ = ndimage.label(ndimage.binary_fill_holes(coins))
    areas = np.bincount(numbered.ravel())[1:]
    large = np.sort(np.argsort(-areas)[:COINS]) + 1
    ids = np.zeros(len(areas) + 1, int)
    ids[large] = np.arange(1, COINS + 1)
    return ids[numbered]


def accepted(source, truth, coin, model):
    """Return the labels after one accepted click in the middle of a coin."""
    annotator = Annotator(source, model, cache=CACHE)
    middle = ndimage.center_of_mass(truth == coin)
    annotator.accept(annotator.predict(points=[middle]))
    return np.asarray(annotator.labels)


def found_coins(found, truth):
    """How many coins have an object with an IoU of at least one half."""
    pairs, counts = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1, return_counts=True)
    areas = np.bincount(found.ravel()), np.bincount(truth.ravel())
    good = {
        coin for (i, coin), n in zip(pairs.T, counts, strict=True)
        if i and coin and n >= (areas[0][i] + areas[1][coin] - n) / 2
    }  # fmt: skip
    return len(good)


@pytest.mark.parametrize("coin", [3, 8, 15])
@pytest.mark.parametrize("name", ["ditto", "classic"])
def test_one_coin_shows_all_the_others(ditto, truth, coin, name):
    source = open_source(data.coins(), axes="yx", name="coins")
    labels = accepted(source, truth, coin, ditto)
    example = PlaneExample(source, source.plane(), labels, partial=True)
    model = ditto if name == "ditto" else load_model(name)
    found = drain(segment_like_steps(source, [example], model, instances=True, cache=CACHE))
    assert found_coins(found.labels, truth) >= 22
    assert found.labels.max() <= COINS + 1


def test_a_stroke_across_one_coin_is_enough(ditto, truth):
    from napari_ditto.engine.examples import sharpen_steps

    source = open_source(data.coins(), axes="yx", name="coins")
    y, x = (round(c) for c in ndimage.center_of_mass(truth == 3))
    stroke = np.zeros(truth.shape, np.uint8)
    stroke[y - 1 : y + 2, x - 12 : x + 13] = 1
    rough = PlaneExample(source, source.plane(), stroke, partial=True)
    sharp = drain(sharpen_steps(rough, ditto, CACHE))
    coin = truth == 3
    assert ((sharp.labels > 0) & coin).sum() / ((sharp.labels > 0) | coin).sum() > 0.7
    found = drain(segment_like_steps(source, [sharp], ditto, instances=True, cache=CACHE))
    assert found_coins(found.labels, truth) >= 20
