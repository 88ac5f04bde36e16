"""Our run lengths are COCO's."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_ditto.core.geometry import Box
from napari_ditto.core.run_lengths import counts_of, decode, encode, mask_of

coco = pytest.importorskip("pycocotools.mask")
masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


@settings(max_examples=2000 if os.environ.get("DITTO_STRESS") else 40)
@given(masks, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_the_text_is_pycocotools_own(mask, top, left, bottom, right):
    full = np.pad(mask, [(top, bottom), (left, right)])
    box = Box.of_shape(mask.shape).shift(top, left)
    text = encode(counts_of(mask, box, full.shape))
    assert text == coco.encode(np.asfortranarray(full, dtype=np.uint8))["counts"].decode()
    found, inside = mask_of(decode(text), full.shape)
    back = np.zeros_like(full)
    back[found.slices] = inside
    np.testing.assert_array_equal(back, full)


def test_runs_of_a_large_plane():
    mask = np.ones((3, 4), bool)
    shape = (60_000, 70_000)
    counts = counts_of(mask, Box(50_000, 60_000, 50_003, 60_004), shape)
    np.testing.assert_array_equal(decode(encode(counts)), counts)
    assert mask_of(counts, shape)[0] == Box(50_000, 60_000, 50_003, 60_004)


@pytest.mark.parametrize("text", ["~~", "P" * 40, "1", "P", "\x00", "é"])
def test_what_is_no_run_length_encoding_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any line will do
        mask_of(decode(text), (10, 10))
