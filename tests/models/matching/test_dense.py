"""The grid of features: how much of each cell is labelled, and back to pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.models.matching.dense import Dense


def grid(tile_shape, cell):
    """Return features on square cells of a side in pixels; the last ones may stick out."""
    extent = tuple(n / cell for n in tile_shape)
    rows, columns = (int(np.ceil(e)) for e in extent)
    return Dense(np.zeros((2, rows, columns), np.float32), extent, tile_shape)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.5, 3.0, 8.0, 16.0]))
def test_coverage_accounts_for_every_pixel(height, width, cell):
    mask = np.random.default_rng(0).random((height, width)) < 0.5
    found = grid((height, width), cell).coverage(mask)
    assert found.sum() * cell**2 == pytest.approx(mask.sum(), rel=1e-4)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-4


def test_coverage_of_half_a_cell():
    mask = np.zeros((16, 32), bool)
    mask[:, :8] = True
    assert grid((16, 32), 16.0).coverage(mask).tolist() == [0.5, 0.0]


def test_cells_in_the_padding_are_cut_off():
    dense = Dense.cut(np.ones((3, 8, 8), np.float32), (4.0, 6.5), (64, 104))
    assert dense.shape == (4, 7)


def test_a_ramp_stays_a_ramp():
    dense = grid((64, 48), 8.0)
    ramp = np.repeat(np.arange(8, dtype=np.float32)[:, None], 6, axis=1)
    found = dense.to_tile(ramp.reshape(1, -1))
    assert found.shape == (1, 64, 48)
    assert found[0, 4:-4, 20] == pytest.approx((np.arange(4, 60) + 0.5) / 8 - 0.5, abs=1e-5)


def test_directions_have_length_one_or_none():
    dense = Dense(np.zeros((4, 1, 2), np.float32), (1.0, 2.0), (8, 16))
    dense.values[:, 0, 1] = 3
    assert np.linalg.norm(dense.cells, axis=1) == pytest.approx([0, 1])
