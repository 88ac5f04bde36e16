"""World to data to world under any invertible affine; layers that lie on each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Points

from napari_ditto.ui.transforms import (
    copy_transform,
    data_to_world,
    same_place,
    transform,
    transform_kwargs,
)

# napari warns whenever such a layer is sliced; we want the layer all the same.
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


@st.composite
def placements(draw, ndim: int = 3):
    """Scale, translate, rotate, shear and affine, all at once, well away from singular."""
    number = st.floats(-1, 1)
    scale = draw(st.lists(st.floats(0.05, 20), min_size=ndim, max_size=ndim))
    signs = draw(st.lists(st.sampled_from([-1, 1]), min_size=ndim, max_size=ndim))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    affine = np.eye(ndim + 1)
    affine[:ndim, :ndim] = np.linalg.qr(rng.normal(size=(ndim, ndim)))[0]
    affine[:ndim, :ndim] *= rng.uniform(0.2, 5, ndim)
    affine[:ndim, ndim] = rng.normal(size=ndim) * 10 ** draw(st.floats(0, 5))
    return {
        "scale": np.multiply(scale, signs),
        "translate": draw(st.lists(st.floats(-1e5, 1e5), min_size=ndim, max_size=ndim)),
        "rotate": np.linalg.qr(rng.normal(size=(ndim, ndim)))[0],
        "shear": draw(st.lists(number, min_size=3, max_size=3)) if ndim == 3 else [draw(number)],
        "affine": affine,
    }


def image(placement, shape=(4, 5, 6)):
    return Image(np.zeros(shape, np.uint8), **placement)


@settings(max_examples=60, deadline=None)
@given(placements(), st.integers(0, 2**32 - 1))
def test_the_matrix_does_what_the_layer_does(placement, seed):
    layer = image(placement)
    points = np.random.default_rng(seed).uniform(-1000, 1000, (5, 3))
    world = transform(data_to_world(layer), points)
    expected = np.array([layer.data_to_world(p) for p in points])
    np.testing.assert_allclose(world, expected, rtol=1e-9, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(placements(), st.integers(0, 2**32 - 1))
def test_data_to_world_and_back_under_any_affine(placement, seed):
    matrix = data_to_world(image(placement))
    points = np.random.default_rng(seed).uniform(0, 1e4, (5, 3))
    back = transform(np.linalg.inv(matrix), transform(matrix, points))
    np.testing.assert_allclose(back, points, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(placements(), st.tuples(*[st.integers(-50, 50)] * 3))
def test_a_box_lies_exactly_where_it_was_cut(placement, offset):
    layer = image(placement)
    for preview in (
        Labels(np.zeros((1, 3, 4), np.uint8), **transform_kwargs(layer, offset)),
        Labels(np.zeros((1, 3, 4), np.uint8)),
    ):
        if not np.any(preview.translate):
            copy_transform(layer, preview, offset)
        for index in np.ndindex(1, 3, 4):
            np.testing.assert_allclose(
                preview.data_to_world(index),
                layer.data_to_world(np.add(index, offset)),
                rtol=1e-9,
                atol=1e-6,
            )


def test_a_layer_can_be_moved_again_and_again():
    src, dst = image({"scale": (2, 3, 4)}), Labels(np.zeros((1, 2, 2), np.uint8))
    tilted = image({"rotate": [10, 20, 30], "scale": (1, 2, 3)})
    for target in (src, tilted, src):
        copy_transform(target, dst, (1, 1, 1))
    np.testing.assert_allclose(dst.scale, (2, 3, 4))
    np.testing.assert_allclose(dst.translate, (2, 3, 4))


def test_plain_scale_and_translate_stay_readable():
    kwargs = transform_kwargs(image({"scale": (2, 0.5, 0.5), "translate": (1, 2, 3)}))
    np.testing.assert_array_equal(kwargs["scale"], (2, 0.5, 0.5))
    np.testing.assert_array_equal(kwargs["affine"], np.eye(4))


def test_the_first_axis_can_be_left_out():
    channels = Image(np.zeros((2, 5, 6)), scale=(1, 0.5, 0.25), translate=(0, 3, 4))
    labels = Labels(np.zeros((5, 6), np.uint8), **transform_kwargs(channels, ndim=2))
    assert tuple(labels.data_to_world((2, 2))) == channels.data_to_world((0, 2, 2))[1:]


def test_compatible_units_are_converted_and_foreign_ones_are_not():
    mm = Points(np.zeros((1, 2)), units=("mm", "mm"), scale=(2, 2))
    um = Image(np.zeros((5, 5)), units=("um", "um"))
    world = data_to_world(mm, um.units)
    np.testing.assert_allclose(world[:2, :2], np.eye(2) * 2000)
    np.testing.assert_allclose(data_to_world(mm, None)[:2, :2], np.eye(2) * 2)


@pytest.mark.parametrize(("shift", "same"), [(0.001, True), (0.02, False)])
def test_same_place_allows_a_hundredth_of_a_pixel(shift, same):
    moved = np.eye(3)
    moved[0, 2] = shift
    assert same_place(np.eye(3), moved, (100, 100)) is same
