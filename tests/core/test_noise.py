"""Noise is measured whatever the image shows, and blurred away as far as is needed."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ditto.core.noise import QUIET, noise_level, quiet


def scene(noise):
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.random((128, 128)), 6)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (smooth + rng.normal(0, noise, smooth.shape)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.3])
def test_noise_is_measured(noise):
    assert noise_level(scene(noise)) == pytest.approx(noise, abs=0.005 + 0.05 * noise)


def test_quiet_images_stay_as_they_are():
    pair = (np.repeat(scene(0.02)[..., None], 3, 2),) * 2
    assert quiet(pair) is pair


def test_noisy_images_become_quiet():
    clean, noisy = (np.repeat(scene(n)[..., None], 3, 2) for n in (0.0, 0.3))
    first, second = quiet((noisy, noisy))
    assert (second - clean).std() < 2 * QUIET
    np.testing.assert_array_equal(first, second)
    assert second.dtype == np.float32
    assert second.shape == noisy.shape


def test_both_planes_are_blurred_alike():
    clean, noisy = (np.repeat(scene(n)[..., None], 3, 2) for n in (0.0, 0.3))
    first, _ = quiet((clean, noisy))
    assert (first != clean).any()
