"""The drawn EM stack and orthophoto: what is labelled can be seen, and a seed gives one picture."""

from __future__ import annotations

import numpy as np

from napari_ditto.core.synthetic_scenes import em_stack, orthophoto


def test_mitochondria_are_dark_separate_and_on_several_slices() -> None:
    image, labels = em_stack((10, 96, 96), count=3)
    assert (image.dtype, image.shape) == (np.uint8, labels.shape)
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]
    assert image[labels > 0].mean() < image[labels == 0].mean() - 30
    assert all((labels == i).any((1, 2)).sum() >= 3 for i in (1, 2, 3))
    again, same = em_stack((10, 96, 96), count=3)
    assert np.array_equal(image, again)
    assert np.array_equal(labels, same)


def test_roofs_lie_beside_the_road_and_apart() -> None:
    image, labels = orthophoto((200, 240), count=6)
    assert image.shape == (200, 240, 3)
    assert labels.max() == 6
    assert all((labels == i).sum() > 300 for i in range(1, 7))
    assert np.ptp(image[labels == 1].astype(int), axis=0).max() > 20, "two slopes, two tones"
