"""The intensity window: one per channel and image, always legal, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_ditto.core.geometry import Box
from napari_ditto.core.window import Window
from napari_ditto.data.sampling import limits
from napari_ditto.data.source import open_source
from napari_ditto.errors import SourceError

DTYPES = ["bool", "u1", "<i2", ">i2", ">u4", "i8", "u8", "f2", "<f4", ">f8"]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_same_raw_value_gives_the_same_input_everywhere(data):
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    raw = data.draw(hnp.arrays(dtype, (2, 13, 17)))
    source = open_source(raw)
    seen = {}
    for z in range(2):
        plane = source.plane({"z": z})
        for y0, x0 in ((0, 0), (4, 3), (12, 16)):
            box = Box(y0, x0, min(y0 + 9, 13), min(x0 + 9, 17))
            image = source.read(plane, box)
            assert np.isfinite(image).all()
            assert (image[..., 0] == image[..., 2]).all()
            for value, got in zip(raw[z][box.slices].flat, image[..., 0].flat, strict=True):
                assert seen.setdefault(value.tobytes(), got) == got


@settings(deadline=None)
@given(hnp.arrays(st.sampled_from(DTYPES).map(np.dtype), st.integers(0, 30)))
def test_the_limits_are_legal_for_any_sample(values):
    low, high = limits(values, values.dtype)
    assert Window((low,), (high,))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (np.zeros((9, 9), bool), (0, 1)),
        (np.full((9, 9), 7, "u1"), (0, 255)),
        (np.full((9, 9), -7, "i2"), (-32768, 32767)),
        (np.full((9, 9), 70000, "u4"), (70000, 70070)),
        (np.full((9, 9), np.nan), (0, 1)),
        (np.full((9, 9), 2.5), (2.5, 3.5)),
        (np.full((9, 9), 1e308), (1e300, 1.001e300)),
    ],
    ids=["bool", "u1", "i2", "u4", "NaN", "float", "huge"],
)
def test_a_constant_image_still_has_a_window(raw, wanted):
    window = open_source(raw).window
    np.testing.assert_allclose((window.low[0], window.high[0]), wanted)


def test_an_image_of_rare_bright_pixels_falls_back_to_its_extremes():
    raw = np.zeros((500, 500), "u2")
    raw[3, 4] = 900
    assert open_source(raw).window == Window((0,), (900,))


def test_percentiles_leave_out_hot_pixels_and_what_is_not_finite():
    raw = np.random.default_rng(0).normal(100, 1, (300, 300)).astype("f4")
    raw[0, 0], raw[1], raw[2] = 1e9, np.nan, np.inf
    window = open_source(raw).window
    assert 96 < window.low[0] < window.high[0] < 104


def test_every_channel_has_its_own_window_and_colours_share_one():
    raw = np.random.default_rng(0).integers(0, 100, (60, 60, 3)).astype("u2") * [1, 10, 100]
    apart = open_source(np.moveaxis(raw, 2, 0), axes="cyx").window
    assert [round(h / 99) for h in apart.high] == [1, 10, 100]
    together = open_source(raw, axes="yxc").window
    assert len(set(together.high)) == len(set(together.low)) == 1
    assert open_source(raw.astype("u1"), axes="yxc").window == Window((0,) * 3, (255,) * 3)


def test_the_sample_is_the_same_for_every_opening():
    raw = np.random.default_rng(0).normal(size=(3, 1500, 1500)).astype("f4")
    first, second = open_source(raw).window, open_source(raw).window
    assert first == second
    np.testing.assert_allclose((first.low[0], first.high[0]), (-2.576, 2.576), atol=0.05)


@pytest.mark.parametrize(
    ("window", "wanted"),
    [
        ((0, 5), Window((0,) * 2, (5,) * 2)),
        (((0, 5), (1, 2)), Window((0, 1), (5, 2))),
        (Window((1, 2), (3, 4)), Window((1, 2), (3, 4))),
    ],
)
def test_a_window_can_be_given(window, wanted):
    raw = np.zeros((2, 9, 9))
    assert open_source(raw, axes="cyx", window=window).window == wanted
    assert open_source(raw, axes="cyx").with_window(window).window == wanted


@pytest.mark.parametrize(
    "window",
    [(5, 5), (5, 1), (0, np.nan), (0, np.inf), (1, 2, 3), "ab", ((0, 1),) * 3, Window((0,), (1,))],
)
def test_a_bad_window_is_one_clear_line(window):
    with pytest.raises(SourceError) as caught:
        open_source(np.zeros((2, 9, 9)), axes="cyx", window=window)
    assert "\n" not in str(caught.value)
