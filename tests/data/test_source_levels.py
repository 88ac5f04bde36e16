"""Stored and virtual levels: sizes, factors, and what their pixels are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.data import pyramid
from napari_ditto.data.pyramid import SMALLEST, stored_factors
from napari_ditto.data.source import open_source


def block_mean(plane, f):
    """The definition, slowly: mean of the finite pixels of each block, edges smaller."""
    height, width = (-(-n // f) for n in plane.shape)
    mean = np.empty((height, width))
    for i, j in np.ndindex(height, width):
        block = plane[i * f : (i + 1) * f, j * f : (j + 1) * f].astype("f8")
        finite = block[np.isfinite(block)]
        mean[i, j] = finite.mean() if finite.size else block[0, 0]
    return mean


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_virtual_levels_are_block_means_whatever_the_pieces(data):
    height = data.draw(st.sampled_from([1, 2, 25, 30, 61]))
    width = data.draw(st.sampled_from([51, 64, 103]))
    dtype = data.draw(st.sampled_from(["bool", "uint8", ">i2", "float16", "float64"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    raw = (rng.random((height, width)) * 100).astype(dtype)
    if raw.dtype.kind == "f":
        raw[rng.random(raw.shape) < 0.3] = np.nan
        raw[rng.random(raw.shape) < 0.05] = np.inf
        raw[:9, :9] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "SMALLEST", 8)
        patch.setattr(pyramid, "PIECE_PIXELS", data.draw(st.sampled_from([1, 300, 2**22])))
        source = open_source(raw, window=(0, 100))
        level = data.draw(st.integers(1, source.levels - 1))
        plane = source.plane()
        h, w = source.plane_shape(plane, level)
        y0, x0 = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
        box = Box(y0, x0, data.draw(st.integers(y0 + 1, h)), data.draw(st.integers(x0 + 1, w)))
        image = source.read(plane, box, level)
    wanted = source.window.apply(block_mean(raw, 2**level)[box.slices][..., None])
    np.testing.assert_allclose(image, np.repeat(wanted, 3, axis=2), atol=1e-6)


@pytest.mark.parametrize("channels", [(0, 1, 2), (3, 0)])
def test_virtual_levels_keep_the_channels_apart(channels):
    raw = np.arange(4, dtype="u1")[:, None, None] * 10 + np.zeros((4, 700, 800), dtype="u1")
    source = open_source(raw, axes="cyx", channels=channels, window=(0, 100))
    image = source.read(source.plane(), Box(0, 0, 50, 50), 1)
    for i in range(3):
        wanted = channels[i] / 10 if i < len(channels) else 0
        np.testing.assert_allclose(image[..., i], wanted, atol=1e-6)


def test_virtual_levels_go_down_to_one_small_tile():
    source = open_source(np.zeros((3, 3000, 5000), dtype="u1"))
    sides = [source.plane_shape(source.plane(), i) for i in range(source.levels)]
    assert sides == [(3000, 5000), (1500, 2500), (750, 1250), (375, 625), (188, 313), (94, 157)]
    assert max(sides[-1]) <= SMALLEST < max(sides[-2])


def test_a_virtual_level_of_an_xz_plane_halves_z_and_x():
    raw = np.random.default_rng(0).integers(0, 99, (300, 5, 260), dtype="u2")
    source = open_source(raw, window=(0, 100))
    plane = source.plane({"y": 3}, ("z", "x"))
    assert source.plane_shape(plane, 1) == (150, 130)
    assert source.factor(plane, 1) == (2, 2)
    image = source.read(plane, Box(0, 0, 150, 130), 1)
    np.testing.assert_allclose(image[..., 0] * 100, block_mean(raw[:, 3], 2), atol=1e-4)


def test_a_transposed_plane_is_the_transposed_image_at_every_level():
    raw = np.random.default_rng(0).integers(0, 99, (2, 700, 300), dtype="u2")
    source = open_source([raw, raw[:, ::2, ::2]], window=(0, 100))
    upright, turned = source.plane({"z": 1}), source.plane({"z": 1}, ("x", "y"))
    assert source.levels == 3
    for level in range(3):
        y, x = source.plane_shape(upright, level)
        image = source.read(turned, Box(3, 7, x, y), level)
        wanted = source.read(upright, Box(7, 3, y, x), level).swapaxes(0, 1)
        np.testing.assert_array_equal(image, wanted)


def test_stored_levels_that_leave_z_alone_keep_its_factor():
    levels = [np.full((9, 800 >> i, 800 >> i), i, dtype="u1") for i in range(2)]
    levels[1][:] = np.arange(9)[:, None, None]
    source = open_source(levels, window=(0, 10))
    assert source.factor(source.plane({"y": 0}, ("z", "x")), 1) == (1, 2)
    image = source.read(source.plane({"z": 7}), Box(0, 0, 1, 1), 1)
    np.testing.assert_allclose(image, 0.7, rtol=1e-6)


def test_a_fixed_index_finds_its_slice_at_every_level():
    fine = np.broadcast_to(np.arange(10, dtype="u1")[:, None, None], (10, 64, 64))
    coarse = np.broadcast_to(np.arange(5, dtype="u1")[:, None, None], (5, 32, 32))
    source = open_source([fine, coarse], window=(0, 10))
    for z in range(10):
        image = source.read(source.plane({"z": z}), Box(0, 0, 1, 1), 1)
        np.testing.assert_allclose(image, (z // 2) / 10, rtol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 10**6), st.sampled_from([2, 3, 4, 8, 16]), st.booleans())
def test_factors_agree_with_the_shapes_and_with_the_metadata(size, factor, up):
    coarse = -(-size // factor) if up else size // factor
    if coarse < 16:
        return
    ((_, found),) = zip(*stored_factors([(size,), (coarse,)], None), strict=True)
    assert abs(size / found - coarse) <= 1
    told = stored_factors([(size,), (coarse,)], [(0.5,), (0.5 * factor,)])
    assert told[1] == (factor,)


@pytest.mark.parametrize("scale", [0.0, 1e9, -2.0])
def test_senseless_scales_give_way_to_the_shapes(scale):
    assert stored_factors([(1000,), (500,)], [(1.0,), (scale,)])[1] == (2.0,)
