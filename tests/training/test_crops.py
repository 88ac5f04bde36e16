"""Crops keep image and labels aligned, whatever the window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.crops import crop, crops, objects, scaled, window


def squares(shape: tuple[int, int], size: int, gap: int) -> np.ndarray:
    """Return a chequer of squares with ids from 1, apart by ``gap`` pixels."""
    labels, count = np.zeros(shape, np.uint16), 0
    for y in range(gap, shape[0] - size, size + gap):
        for x in range(gap, shape[1] - size, size + gap):
            count += 1
            labels[y : y + size, x : x + size] = count
    return labels


@given(
    y=st.floats(-30, 60),
    x=st.floats(-30, 90),
    side=st.floats(24, 200),
    size=st.integers(8, 40),
)
def test_the_image_shows_what_the_labels_say(y: float, x: float, side: float, size: int) -> None:
    labels = squares((110, 150), size, 6)
    image = np.repeat((labels > 0)[..., None], 3, -1).astype(np.float32)
    made = crop(image, labels, (y, x, side), 64)
    assert made is not None
    shown, layers = made
    assert shown.shape == (64, 64, 3)
    assert not layers[1:].any()
    # A pixel whose neighbourhood in the label crop is uniform is far from any edge.
    padded = np.pad(layers[0] > 0, 2, mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    filled, empty = views.all((2, 3)), ~views.any((2, 3))
    inner = np.zeros_like(filled)
    inner[3:-3, 3:-3] = True
    assert (shown[filled & inner] >= 250).all()
    if side < 64 * 1.5:  # gaps are then wider than the filter
        assert (shown[empty & inner] <= 5).all()
    np.testing.assert_array_equal(
        np.unique(layers[0][layers[0] > 0]), np.arange(1, layers[0].max() + 1)
    )


def test_a_window_of_the_same_size_returns_the_pixels() -> None:
    labels = squares((160, 160), 20, 5)
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3))
    made = crop((image / 255).astype(np.float32), labels, (0, 0, 160))
    assert made is not None
    np.testing.assert_array_equal(made[0], image)
    np.testing.assert_array_equal(made[1][0], labels)


def test_a_shrunk_checkerboard_is_grey_not_aliased() -> None:
    board = (np.indices((320, 320)).sum(0) % 2).astype(np.float32)
    made = crop(np.repeat(board[..., None], 3, -1), np.ones((320, 320), int), (0, 0, 320))
    assert made is not None
    inner = made[0][1:-1, 1:-1].astype(int)  # the reflection breaks the pattern at the border
    assert np.abs(inner - 127).max() <= 2


def test_a_reflected_copy_gets_an_id_of_its_own() -> None:
    labels = np.zeros((50, 50), np.uint8)
    labels[10:20, 20:30] = 7
    made = crop(np.zeros((50, 50, 3), np.float32), labels, (-50, 0, 50), 50)
    assert made is not None
    assert made[1][0].max() == 1
    both = crop(np.zeros((50, 50, 3), np.float32), labels, (-25, 0, 60), 60)
    assert both is not None
    assert both[1][0].max() == 2


def test_more_objects_than_ids_give_no_crop() -> None:
    labels = np.arange(1, 401).reshape(20, 20)
    assert crop(np.zeros((20, 20, 3), np.float32), labels, (0, 0, 20), 40) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_picked_object_lies_wholly_in_its_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = squares((120, 200), 30, 9)
    box = objects(labels)[int(rng.integers(10))]
    y, x, side = window(rng, box, labels.shape)
    assert y <= box[0].start
    assert box[0].stop <= y + side
    assert x <= box[1].start
    assert box[1].stop <= x + side
    assert 0.1 <= 30 / side <= 0.8


def test_tiny_objects_are_not_picked() -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[0, :5] = 1
    assert objects(labels) == []
    assert crops(np.random.default_rng(0), labels, labels, 3) == []


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_intensities_are_stretched_per_channel(channels: int | None) -> None:
    shape = (30, 40) if channels is None else (30, 40, channels)
    image = np.random.default_rng(0).integers(500, 9000, shape).astype(np.uint16)
    shown = scaled(image)
    assert shown.shape == (30, 40, 3)
    np.testing.assert_array_equal(shown.reshape(-1, 3).min(0), 0)
    np.testing.assert_array_equal(shown.reshape(-1, 3).max(0), 1)
