"""The intensity window maps the same raw value to the same input, always."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_ditto.core.window import Window


@given(
    hnp.arrays(
        st.sampled_from([">u2", "<i4", ">f4", "f8", "?", "u1", "f2"]), (5, 4, 2), fill=st.nothing()
    ),
    st.one_of(st.floats(-1e6, 1e6), st.floats(-1e300, 1e300)),
    st.floats(1e-12, 1e300),
)
def test_any_real_input_lands_in_zero_one(raw, low, span):
    assume(low + span > low)
    out = Window((low, 0.0), (low + span, 1.0)).apply(raw)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_special_values():
    window = Window((10.0,), (20.0,))
    raw = np.array([np.nan, np.inf, -np.inf, 10, 15, 25]).reshape(-1, 1)
    assert window.apply(raw).ravel().tolist() == [0, 1, 0, 0, 0.5, 1]


def test_a_value_does_not_depend_on_its_neighbours():
    window = Window((0.0,), (4095.0,))
    quiet = np.full((8, 8, 1), 1000, ">u2")
    hot = quiet.copy()
    hot[0, 0] = 65535
    assert window.apply(hot)[1, 1] == window.apply(quiet)[1, 1]


@pytest.mark.parametrize("pair", [(1, 1), (2, 1), (np.nan, 1), (0, np.inf)])
def test_impossible_limits_are_refused(pair):
    with pytest.raises(ValueError, match="finite and increasing"):
        Window.from_pairs([pair])
