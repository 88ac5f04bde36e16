"""Thresholds, smoothing, holes, pieces and sizes: what each step promises, and all together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.logits import PlacedLogits, stack
from napari_ditto.core.masks import components
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.refinement import (
    Clicks,
    Refinement,
    clicked_pieces,
    drop_small,
    fill_holes,
    largest_piece,
    refine,
    smoothed,
    tidy,
)

PLANE = Box(0, 0, 60, 70)


@st.composite
def masks(draw):
    """Blobs with holes: noise at a random scale."""
    shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=shape)
    return gaussian_filter(noise, draw(st.sampled_from([0.0, 0.7, 1.5]))) > 0


@st.composite
def placed_logits(draw):
    factor = draw(st.sampled_from([1.0, 2.0, 1.7]))
    box = Box(2, 3, 2 + draw(st.integers(4, 20)), 3 + draw(st.integers(4, 20)))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=box.shape)
    values = 20 * gaussian_filter(noise, draw(st.sampled_from([0.5, 2.0])))
    return PlacedLogits(values.astype(np.float32), box, (factor, factor), (60, 60))


refinements = st.builds(
    Refinement,
    st.floats(-5, 5),
    st.sampled_from([0.0, 0.8, 2.0]),
    st.booleans(),
    st.sampled_from(["all", "largest", "clicked"]),
    st.integers(0, 30),
)
clicks = st.lists(st.tuples(st.integers(-5, 65), st.integers(-5, 65)), max_size=4).map(
    lambda p: np.array(p, np.intp).reshape(-1, 2)
)
told = st.builds(Clicks, clicks, clicks)


def whole(placed):
    return placed.in_box(PLANE)


@given(placed_logits())
def test_default_is_the_models_mask(logits):
    found, plain = refine(logits, Refinement(), Clicks.none()), logits.mask()
    assert found.box == plain.box
    assert (found.mask == plain.mask).all()


@given(placed_logits(), st.floats(-6, 6), st.floats(0, 5), st.sampled_from([0.0, 1.5]))
def test_a_higher_threshold_takes_in_no_more(logits, low, more, sigma):
    wide = refine(logits, Refinement(low, sigma), Clicks.none())
    tight = refine(logits, Refinement(low + more, sigma), Clicks.none())
    assert not (whole(tight) & ~whole(wide)).any()


@given(placed_logits(), st.floats(-3, 3))
def test_a_threshold_at_full_resolution_is_a_comparison(logits, threshold):
    logits = replace(logits, factor=(1.0, 1.0))
    found = refine(logits, Refinement(threshold), Clicks.none())
    assert (found.in_box(logits.box) == (logits.values > np.float32(threshold))).all()


@given(placed_logits(), st.sampled_from([0.8, 2.0]))
def test_smoothing_the_neighbourhood_alone_is_smoothing_everything(logits, sigma):
    far = 40
    values = np.pad(logits.values, far, mode="edge")
    around = PlacedLogits(values, logits.box.grow(far), logits.factor, logits.plane_shape)
    alone = smoothed(logits, sigma).mask()
    both = smoothed(around, sigma).cropped(logits.box).mask()
    assert (whole(alone) == whole(both)).all()


@given(masks())
def test_filled_masks_have_no_holes_and_lose_nothing(mask):
    filled = fill_holes(mask)
    outside, _ = label(~np.pad(filled, 1))
    assert not (mask & ~filled).any()
    assert outside.max() == 1, "background is in one piece with what lies round the mask"
    assert (fill_holes(filled) == filled).all()


@given(masks())
def test_the_largest_piece_is_one_piece_and_none_is_larger(mask):
    largest = largest_piece(mask)
    numbered, count = components(mask)
    assert components(largest)[1] == min(1, count)
    assert largest.sum() == np.bincount(numbered.ravel())[1:].max(initial=0)
    assert not (largest & ~mask).any()


@given(masks(), clicks)
def test_clicked_pieces_are_those_clicked_on_or_the_largest(mask, pixels):
    found = clicked_pieces(mask, pixels)
    numbered, _ = components(mask)
    on = [p for p in pixels if (p >= 0).all() and (p < mask.shape).all() and mask[tuple(p)]]
    wanted = {int(numbered[tuple(p)]) for p in on}
    if wanted:
        assert (found == np.isin(numbered, list(wanted))).all()
    else:
        assert (found == largest_piece(mask)).all()


@given(masks(), st.integers(0, 40))
def test_no_small_piece_is_left_and_no_large_one_lost(mask, least):
    kept = drop_small(mask, least)
    sizes = np.bincount(components(kept)[0].ravel())[1:]
    assert (sizes >= least).all()
    gone = np.bincount(components(mask & ~kept)[0].ravel())[1:]
    assert (gone < least).all()


@given(placed_logits(), refinements, told)
def test_what_needs_no_logits_does_nothing_twice(logits, how, said):
    once = refine(logits, how, said)
    again = tidy(once, how, said)
    assert (whole(again) == whole(once)).all()


@given(placed_logits(), refinements, told)
def test_the_steps_come_in_the_order_that_is_written(logits, how, said):
    found = refine(logits, how, said)
    pixels = whole(found)
    pieces = components(pixels)[1]
    if how.pieces == "largest":
        assert pieces <= 1
    if how.fill_holes:
        assert (fill_holes(pixels) == pixels).all()
    if pieces:
        assert np.bincount(components(pixels)[0].ravel())[1:].min() >= how.min_area
    mask, _ = stack([found])
    assert mask.shape[1:] == found.mask.shape == found.box.shape, "cropped to the object"


def test_a_lower_threshold_brings_no_denied_piece_back():
    values = np.full((9, 9), -5, np.float32)
    values[1:4, 1:4], values[6:8, 6:8] = 3, -2
    logits = PlacedLogits(values, Box(0, 0, 9, 9), (1.0, 1.0), (9, 9))
    said = Clicks(np.array([[2, 2]]), np.array([[7, 7]]))
    assert refine(logits, Refinement(-3), Clicks.none()).area == 13
    assert refine(logits, Refinement(-3), said).area == 9


def proposals(**changes):
    values = np.full((2, 8, 9), -4, np.float32)
    values[0, 2:5, 2:6], values[0, 3, 3], values[1, 1:7, 1:8] = 2, -1, 1
    values[0, 6, 8] = 2
    kept = tuple(PlacedLogits(v, Box(10, 20, 18, 29), (1.0, 1.0), (50, 50)) for v in values)
    masks, box = stack([logits.mask() for logits in kept])
    scores = np.array([0.9, 0.5], np.float32)
    said = PromptSet((PointPrompt(12.0, 22.0),))
    made = Proposals(masks, box, scores, 0, PlaneAddress(), said, logits=kept)
    return replace(made, **changes)


def test_every_candidate_is_refined_and_the_box_follows():
    found = proposals().refined(Refinement(fill_holes=True, pieces="clicked"))
    assert found.masks[0].sum() == 12
    assert found.masks[1].sum() == 42
    assert found.box == Box(11, 21, 17, 28)
    assert found.refinement.fill_holes
    assert found.scores is not None


def test_the_default_and_what_is_painted_stay_as_they_are():
    given = proposals()
    assert given.refined(Refinement()) is given
    painted = proposals(by_hand=True)
    assert painted.refined(Refinement(min_area=10**6)) is painted


def test_without_logits_the_outline_stays():
    given = proposals(logits=())
    found = given.refined(Refinement(threshold=5, smooth=3, fill_holes=True, pieces="largest"))
    assert found.masks[0].sum() == 12


def test_nothing_may_be_left():
    assert proposals().refined(Refinement(threshold=9)).is_empty
    assert proposals().refined(Refinement(min_area=1000)).is_empty


@pytest.mark.parametrize(
    "wrong", [{"threshold": np.nan}, {"smooth": -1}, {"smooth": np.inf}, {"min_area": -1}]
)
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Refinement(**wrong)


def test_only_what_differs_is_noted():
    assert Refinement().provenance == {}
    assert Refinement(-1.0, pieces="largest").provenance == {
        "threshold": -1.0,
        "pieces": "largest",
    }
    assert Refinement(0.0).probability == 0.5
