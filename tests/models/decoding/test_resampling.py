"""Coarse masks at tile size equal the library's interpolation, whole or in part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from napari_ditto.models.decoding.resampling import axis, upsample

CPU = torch.device("cpu")
COARSE, CANVAS = 32, 128


def by_hand(masks, kept, shape):
    full = interpolate(masks[None], (CANVAS, CANVAS), mode="bilinear", align_corners=False)
    cut = full[..., : kept[0], : kept[1]]
    return interpolate(cut, shape, mode="bilinear", align_corners=False)[0]


def axes(kept, shape):
    return [axis(COARSE, CANVAS, k, n, CPU) for k, n in zip(kept, shape, strict=True)]


@pytest.mark.parametrize(
    "shape", [(128, 128), (90, 120), (17, 33), (1, 128), (64, 5), (96, 64), (1, 1)]
)
def test_it_is_the_bilinear_interpolation_in_two_steps(shape):
    masks = torch.randn(3, COARSE, COARSE, generator=torch.manual_seed(0))
    kept = [max(1, int(n * CANVAS / max(shape) + 0.5)) for n in shape]
    out = torch.empty(3, *shape)
    upsample(masks, *axes(kept, shape), (0, 0), out)
    np.testing.assert_allclose(out, by_hand(masks, kept, shape), atol=1e-5)


@pytest.mark.parametrize(("size", "period"), [(128, 4), (64, 2), (100, 0), (32, 0)])
def test_tiles_of_a_few_times_the_pixels_have_an_order(size, period):
    found = axis(COARSE, CANVAS, CANVAS, size, CPU)
    assert found.period == period
    if period:
        assert found.inner[0] <= period
        assert size - found.inner[1] <= period


def test_it_is_the_interpolation_in_one_step_where_there_is_no_canvas():
    masks = torch.randn(2, COARSE, COARSE, generator=torch.manual_seed(0))
    rows, columns = (axis(COARSE, COARSE, COARSE, n, CPU) for n in (90, 121))
    out = torch.empty(2, 90, 121)
    upsample(masks, rows, columns, (0, 0), out)
    expected = interpolate(masks[None], (90, 121), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(out, expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), height=st.integers(1, 150), width=st.integers(1, 150))
def test_a_part_is_cut_out_of_the_whole(data, height, width):
    masks = torch.randn(1, COARSE, COARSE, generator=torch.manual_seed(0))
    rows, columns = axes((CANVAS, 90), (height, width))
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    whole, part = torch.empty(1, height, width), torch.empty(1, y1 - y0, x1 - x0)
    upsample(masks, rows, columns, (0, 0), whole)
    upsample(masks, rows, columns, (y0, x0), part)
    np.testing.assert_allclose(part, whole[:, y0:y1, x0:x1], atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(first=st.integers(0, COARSE - 1), more=st.integers(0, 8), size=st.integers(1, 200))
def test_nothing_is_made_of_a_coarse_pixel_out_of_its_reach(first, more, size):
    last = min(first + more, COARSE - 1)
    rows = axis(COARSE, CANVAS, 100, size, CPU)
    start, stop = rows.reach(first, last)
    made = np.flatnonzero((rows.weights[:, first : last + 1] != 0).any(1).numpy())
    assert not len(made) or (start <= made[0] and made[-1] < stop)
