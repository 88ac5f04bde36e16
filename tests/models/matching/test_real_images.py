"""Real images, with the bundled encoder and decoder in place of those of SAM."""

from pathlib import Path

import numpy as np
import pytest

from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like
from napari_ditto.models.ditto.model import load_ditto
from napari_ditto.models.matching.matcher import Learnt, dice
from napari_ditto.models.protocols import UNKNOWN, Example
from napari_ditto.testing.matching import MatchingModel, ditto_features

NUCLEI = Path(__file__).parents[3] / "../shared/data/train/dsb2018"


@pytest.fixture(scope="module")
def model():
    return MatchingModel(load_ditto("cpu"), ditto_features)


@pytest.fixture(scope="module")
def coins():
    """The photograph of coins, and their labels by a threshold, as in scikit-image's tutorial."""
    from scipy.ndimage import binary_fill_holes
    from skimage import data, filters, measure, segmentation

    image = data.coins()
    markers = np.select([image < 30, image > 150], [1, 2])
    solid = binary_fill_holes(segmentation.watershed(filters.sobel(image), markers) == 2)
    labels = measure.label(solid)
    small = np.flatnonzero(np.bincount(labels.ravel()) < 100)
    return image, np.where(np.isin(labels, small), 0, labels)


def encode(model, image):
    tile = np.repeat((image / np.float32(255))[..., None], 3, axis=-1)
    return model.encode(tile[None])[0]


def one_of(labels, number):
    """Return labels that show one object and the ground beside it."""
    from scipy.ndimage import distance_transform_edt

    own = labels == number
    near = distance_transform_edt(~own) <= np.sqrt(own.sum() / np.pi)
    return np.select([own, near & (labels == 0)], [1, 0], UNKNOWN)


def test_all_coins_after_one(model, coins):
    image, labels = coins
    shown = one_of(labels, np.unique(labels)[8])
    memory = model.remember([Example(encode(model, image), shown)])
    found = model.recall(encode(model, image), memory).probability
    assert dice(found, (labels > 0).astype(int), (1,)) > 0.93
    source = open_source(image, axes="yx", window=(0, 255))
    objects = segment_like(source, [(source, shown)], model, instances=True)
    assert abs(len(np.unique(objects)) - len(np.unique(labels))) <= 1


@pytest.mark.data
def test_nuclei_are_outlined_by_the_decoder(model):
    from skimage.io import imread

    if not NUCLEI.is_dir():
        pytest.skip("no real images here")
    names = sorted(p.name for p in (NUCLEI / "images").iterdir())
    read = [(imread(NUCLEI / "images" / n), imread(NUCLEI / "masks" / n)) for n in names[:40]]
    pairs = [(i, m) for i, m in read if i.shape == (256, 256) and m.max() > 5 and i.mean() < 60]
    (first, shown), (second, truth) = pairs[:2]
    memory = model.remember([Example(encode(model, first), (shown > 0).astype(int))])
    query, true = encode(model, second), (truth > 0).astype(int)
    plain = Learnt.of(memory).chances(ditto_features(query))
    sharp = model.recall(query, memory).probability
    assert dice(sharp, true, (1,)) > max(0.65, dice(plain, true, (1,)) + 0.05)
