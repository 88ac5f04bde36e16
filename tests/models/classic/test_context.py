"""What a filter bank's ridge computes, against the plain formula."""

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.models.classic import context, features
from napari_ditto.models.classic.model import ClassicModel


@pytest.mark.parametrize("window", [Box(0, 0, 23, 30), Box(5, 3, 6, 4), Box(9, 13, 22, 30)])
def test_planes_are_enlarged_linearly(window):
    rows, columns = np.indices((6, 8), np.float32)
    planes = np.stack([rows, columns, 2 * rows - 3 * columns])
    y, x = np.indices(window.shape)
    y, x = np.minimum((y + window.y0) / 4, 5), np.minimum((x + window.x0) / 4, 7)
    found = features.upsample(planes, window)
    np.testing.assert_allclose(found, np.stack([y, x, 2 * y - 3 * x]), atol=1e-5)


def test_grey_tiles_cost_no_colour_and_give_the_same(monkeypatch):
    tile = np.repeat(np.random.default_rng(0).random((40, 50, 1), np.float32), 3, axis=2)
    found, smooth = features.compute_filters(tile), features.smooth
    # A colour so faint that it is seen as one, but changes nothing.
    monkeypatch.setattr(features, "smooth", lambda plane, sigma: smooth(plane + 1e-30, sigma))
    expected = features.compute_filters(tile)
    np.testing.assert_allclose(found.coarse, expected.coarse, atol=1e-6)
    np.testing.assert_allclose(found.color, expected.color, atol=1e-6)


@pytest.mark.parametrize("width", [7, 128, 150])
def test_scores_are_a_linear_function_of_the_features(width):
    model = ClassicModel()
    tile = np.random.default_rng(1).random((21, width, 3), np.float32)
    (embedding,) = model.encode(tile[None])
    places = np.arange(21 * width)
    x = context.sample(embedding, places)
    solution = np.random.default_rng(2).normal(size=(3, x.shape[1]))
    expected = (solution @ x.T).reshape(3, 21, width)
    np.testing.assert_allclose(context.score(embedding, solution), expected, atol=2e-4)
