"""Sums over sliding windows, put together from windows of 1, 2, 4, ... values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.sliding import sliding_sum, window_sums


@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 9))
def test_sums_at_steps(count, step, more):
    values = np.random.default_rng(count).integers(0, 9, (2, (count - 1) * step + 1 + more))
    starts = range(1 + more)
    expected = [values[:, i : i + count * step : step][:, :count].sum(axis=1) for i in starts]
    np.testing.assert_array_equal(sliding_sum(values, count, step), np.array(expected).T)


@pytest.mark.parametrize("side", [1, 2, 7, 13])
def test_sums_of_windows(side):
    maps = np.random.default_rng(0).integers(0, 100, (3, 13, 17))
    windows = np.lib.stride_tricks.sliding_window_view(maps, (side, side), axis=(1, 2))
    np.testing.assert_array_equal(window_sums(maps, side), windows.sum(axis=(3, 4)))


def test_the_type_stays():
    assert window_sums(np.ones((1, 15, 15), np.uint8), 13).dtype == np.uint8
    assert int(window_sums(np.ones((1, 15, 15), np.uint8), 13).max()) == 169
