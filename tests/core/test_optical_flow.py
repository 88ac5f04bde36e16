"""The flow is that of scikit-image, and sooner there."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_ditto.core import optical_flow
from napari_ditto.core.optical_flow import lucas_kanade, sample


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    image = gaussian_filter(rng.random((90, 121)), 2)
    image = (image - image.min()) / np.ptp(image)
    rows, columns = np.indices(image.shape)
    wave = 2 * np.sin(rows / 20)
    moved = map_coordinates(image, [rows + 1.5, columns + wave], order=1, mode="nearest")
    return moved.astype(np.float32), image.astype(np.float32)


def test_it_is_the_flow_of_scikit_image(pair, monkeypatch):
    from skimage.registration import optical_flow_ilk

    monkeypatch.setattr(optical_flow, "STILL", 0.0)
    np.testing.assert_allclose(lucas_kanade(*pair, 7), optical_flow_ilk(*pair, radius=7), atol=0.01)


def test_a_level_is_left_when_nothing_moves(pair, monkeypatch):
    early = lucas_kanade(*pair, 7)
    monkeypatch.setattr(optical_flow, "STILL", 0.0)
    assert np.abs(early - lucas_kanade(*pair, 7)).mean() < 0.01


def test_positions_between_pixels_and_beyond_the_edge():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    rows = np.array([[0.5, -2, 9, 2]], np.float32)
    columns = np.array([[1.5, -1, 9, 0.25]], np.float32)
    np.testing.assert_allclose(sample(image, rows, columns), [[3.5, 0, 11, 8.25]])
