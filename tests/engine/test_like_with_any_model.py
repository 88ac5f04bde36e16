"""More like this with a model that only takes prompts: no suggestions, no centres."""

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.synthetic import blobs
from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like
from napari_ditto.testing.fakes import TRUTH_WINDOW, CountingModel, PerfectModel, paint_truth
from napari_ditto.testing.matching import MatchingModel, truth_features

KINDS = 3


def told(labels):
    return open_source(paint_truth(labels), axes="yxc", window=TRUTH_WINDOW)


def same_objects(found, truth):
    """Whether two label images have the same objects under any ids."""
    pairs = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(found)) == len(np.unique(truth))


@pytest.fixture
def counting():
    return CountingModel(PerfectModel(96, connected=True))


@pytest.fixture
def model(counting):
    return MatchingModel(counting, truth_features)


@pytest.fixture
def scene():
    """Objects of three kinds over several tiles, no two of which touch, and those of one kind."""
    truth = np.zeros((150, 190), int)
    number = 0
    for y in range(6, 130, 26):
        for x in range(6, 170, 26):
            number += 1
            truth[y : y + 18, x : x + 18] = number
    return truth, np.where(truth % KINDS == 1, truth, 0)


def test_objects_of_the_shown_kind_are_outlined_by_the_decoder(scene, model, counting):
    truth, shown = scene
    found = segment_like(told(truth), [(told(truth), shown)], model, instances=True)
    assert same_objects(found, shown)
    assert counting.decoded > 0


def test_no_grid_of_points_is_asked(scene, model, counting):
    truth, shown = scene
    segment_like(told(truth), [(told(truth), shown)], model, instances=True)
    assert counting.encoded <= 16
    assert counting.decoded < 32 * 32


def test_touching_objects_are_parted_by_the_decoder(model):
    truth = np.zeros((96, 96), int)
    truth[20:50, 20:50], truth[20:50, 50:80], truth[60:90, 20:50] = 1, 4, 2
    shown = np.where(truth % KINDS == 1, truth, 0)
    found = segment_like(told(truth), [(told(truth), shown)], model, instances=True)
    assert same_objects(found, shown)


def test_classes_get_sharp_borders(model):
    first, second = (blobs((96, 170), 25, radius=9, seed=s) for s in (0, 1))
    shown, expected = (np.where(t > 0, 1 + t % KINDS, 0) for t in (first, second))
    found = segment_like(told(second), [(told(first), shown)], model)
    assert (found != expected).mean() < 0.03


def test_a_region_is_enough(scene, model):
    truth, shown = scene
    region = Box(20, 30, 120, 140)
    found = segment_like(told(truth), [(told(truth), shown)], model, instances=True, region=region)
    assert found.shape == region.shape
    assert ((found > 0) == (shown[region.slices] > 0)).mean() > 0.98
