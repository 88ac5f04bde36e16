"""Masks in boxes: placed, compared, selected, resampled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import (
    PlacedMask,
    bounding_box,
    components_meeting,
    containment,
    deepest_pixels,
    drop_denied,
    intersection,
    iou,
    place,
    suppress,
    upsample,
)
from napari_ditto.core.prompts import Frame

PLANE = (40, 50)


@st.composite
def placed(draw):
    y, x = draw(st.integers(0, 30)), draw(st.integers(0, 40))
    box = Box(y, x, y + draw(st.integers(1, 10)), x + draw(st.integers(1, 10)))
    seed = draw(st.integers(0, 2**32 - 1))
    return PlacedMask(box, np.random.default_rng(seed).random(box.shape) < 0.5, 1.0)


def in_plane(mask):
    return mask.in_box(Box.of_shape(PLANE))


@given(placed(), placed())
def test_comparisons_agree_with_whole_planes(a, b):
    full_a, full_b = in_plane(a), in_plane(b)
    shared, union = (full_a & full_b).sum(), (full_a | full_b).sum()
    assert intersection(a, b) == shared
    assert iou(a, b) == pytest.approx(shared / max(union, 1))
    assert containment(a, b) == pytest.approx(shared / max(1, min(full_a.sum(), full_b.sum())))


@given(placed())
def test_cropping_keeps_the_pixels(mask):
    small = mask.cropped()
    assert np.array_equal(in_plane(small), in_plane(mask))
    assert small.area == 0 or (
        small.mask.any(axis=0)[[0, -1]].all() and small.mask.any(axis=1)[[0, -1]].all()
    )


@given(placed(), placed())
def test_placing_shows_what_the_box_shows(mask, other):
    expected = in_plane(mask)[other.box.slices]
    assert np.array_equal(place(mask.mask, mask.box, other.box), expected)


@given(st.lists(placed(), max_size=12), st.randoms())
def test_what_is_kept_is_pairwise_different_and_the_rest_is_not(masks, random):
    masks = [PlacedMask(m.box, m.mask, random.random()) for m in masks]
    kept = suppress(masks)
    for i in kept:
        assert masks[i].area
        for j in kept:
            assert i == j or (
                iou(masks[i], masks[j]) <= 0.5 and containment(masks[i], masks[j]) <= 0.8
            )
    for i in set(range(len(masks))) - set(kept):
        better = [j for j in kept if masks[j].score >= masks[i].score]
        assert not masks[i].area or any(
            iou(masks[i], masks[j]) > 0.5 or containment(masks[i], masks[j]) > 0.8 for j in better
        )


def test_bounding_box_of_nothing_is_empty():
    assert bounding_box(np.zeros((5, 5), bool)).is_empty


def test_components_connect_over_corners():
    mask, marker = np.eye(5, dtype=bool), np.zeros((5, 5), bool)
    marker[0, 0] = marker[0, 4] = True
    mask[0, 3] = True
    assert np.array_equal(components_meeting(mask, marker), np.eye(5, dtype=bool))


def test_a_piece_with_a_negative_goes_unless_a_positive_is_on_it():
    mask = np.zeros((9, 20), bool)
    mask[2:5, 1:4] = mask[2:5, 8:11] = mask[2:5, 15:18] = True
    outside = [[-3, 5], [50, 50]]
    kept = drop_denied(mask, np.array([[3, 2], [3, 9], *outside]), np.array([[4, 10]]))
    assert kept[:, 8:].sum() == 18
    assert not kept[:, :5].any()
    none = np.zeros((0, 2), int)
    assert drop_denied(mask, none, none) is mask


def test_without_a_positive_the_largest_piece_stays():
    mask = np.zeros((9, 20), bool)
    mask[2:5, 1:4] = mask[2:7, 8:18] = True
    none = np.zeros((0, 2), int)
    assert np.array_equal(drop_denied(mask, np.array([[3, 10]]), none), mask)
    assert drop_denied(mask, np.array([[3, 10], [3, 2]]), none).sum() == 50


def test_deep_pixels_are_inside_and_apart():
    bar = np.zeros((20, 60), bool)
    bar[5:16, 3:57] = True
    picks = deepest_pixels(bar, 3)
    assert len(picks) == 3
    assert all(bar[p] and abs(p[0] - 10) <= 1 for p in picks)
    assert min(abs(a[1] - b[1]) for a in picks for b in picks if a != b) >= 10
    assert deepest_pixels(np.zeros((4, 4), bool), 3) == []
    assert deepest_pixels(np.ones((1, 1), bool), 3) == [(0, 0)]


class TestUpsample:
    def test_a_ramp_stays_the_ramp_of_the_half_pixel_rule(self):
        box, factor = Box(3, 5, 13, 25), (4.0, 2.0)
        rows, columns = np.mgrid[box.slices].astype(np.float32)
        target = Box(20, 16, 44, 44)
        fine = upsample(2 * rows - columns, box, factor, target)
        frame = Frame(factor)
        for y, x in ((20, 16), (31, 29), (43, 43)):
            expected = np.dot((2, -1), frame.to_frame(y, x))
            assert fine[y - 20, x - 16] == pytest.approx(expected, abs=1e-4)

    def test_factor_one_changes_nothing(self):
        values = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
        box = Box(2, 3, 8, 10)
        assert np.array_equal(upsample(values, box, (1.0, 1.0), box), values)

    def test_beyond_the_border_the_outermost_value_goes_on(self):
        values = np.array([[1.0, 2.0]], np.float32)
        assert (
            upsample(values, Box(0, 0, 1, 2), (2.0, 2.0), Box(0, 0, 2, 4)).tolist()
            == [[1.0, 1.25, 1.75, 2.0]] * 2
        )
