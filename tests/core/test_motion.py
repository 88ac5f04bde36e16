"""Flow between planes: found where there is motion, none where there is not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_ditto.core.motion import estimate_flow, move


@pytest.fixture
def image() -> np.ndarray:
    noise = np.random.default_rng(0).random((120, 140))
    smooth = gaussian_filter(noise, 3)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize("offset", [(9, -7), (0, 12), (-5, 0)])
def test_a_shift_is_found(image, offset):
    now = shift(image, offset, order=1, mode="reflect").astype(np.float32)
    flow = estimate_flow(image, now)
    inner = flow[:, 20:-20, 20:-20]
    assert np.abs(inner.mean(axis=(1, 2)) + offset).max() < 1.0


def test_labels_are_moved_with_the_image(image):
    labels = np.zeros(image.shape, np.uint32)
    labels[40:70, 50:90] = 70_000
    now = shift(image, (8, 8), order=1, mode="reflect").astype(np.float32)
    moved = move(labels, estimate_flow(image, now))
    assert moved.dtype == labels.dtype
    expected = shift(labels, (8, 8), order=0)
    assert (moved == expected)[10:-10, 10:-10].mean() > 0.98
    assert set(np.unique(moved)) <= {0, 70_000}


def test_what_stands_still_is_not_moved(image):
    noise = np.random.default_rng(1).normal(0, 0.02, image.shape)
    flow = estimate_flow(image, (image + noise).astype(np.float32))
    assert not flow.any()
    assert move(image, flow) is image


@pytest.mark.parametrize("shape", [(8, 200), (31, 31), (1, 1)])
def test_windows_too_small_for_a_flow_stand_still(shape):
    random = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    flow = estimate_flow(random[0], random[1])
    assert flow.shape == (2, *shape)
    assert not flow.any()


@pytest.mark.parametrize("shape", [(33, 64), (65, 47)])
def test_odd_sides_are_allowed(shape):
    image = gaussian_filter(np.random.default_rng(2).random(shape), 2).astype(np.float32)
    flow = estimate_flow(image, np.roll(image, 3, 0))
    assert flow.shape == (2, *shape)
    assert np.isfinite(flow).all()


def test_planes_without_content_stand_still():
    flat = np.zeros((64, 64), np.float32)
    assert not estimate_flow(flat, flat).any()
