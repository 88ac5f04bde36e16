"""Images halved and doubled: against scipy, whatever their sides."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ditto.core.optical_flow import sample
from napari_ditto.core.scaling import doubled, halved

SHAPES = [(40, 50), (33, 64), (65, 47), (34, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blur", [2 / 3, 1.0])
def test_a_half_is_the_mean_of_squares_of_the_blurred_image(shape, blur):
    image = np.random.default_rng(0).random(shape, np.float32)
    height, width = shape[0] // 2, shape[1] // 2
    smooth = gaussian_filter(image, blur)[: 2 * height, : 2 * width]
    expected = smooth.reshape(height, 2, width, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(halved(image, blur), expected, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_double_lies_between_the_pixels(shape):
    maps = np.random.default_rng(0).random((2, shape[0] // 2, shape[1] // 2), np.float32)
    rows, columns = (np.indices(shape, np.float32) - 0.5) / 2
    expected = [sample(one, rows, columns) for one in maps]
    np.testing.assert_allclose(doubled(maps, shape), expected, atol=1e-6)
