"""Splits on masks: parts hold the mask's pixels, each once, wherever the line or the clicks are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_ditto.core.masks import components
from napari_ditto.core.splitting import cut_along, split_at


@st.composite
def masks(draw, shape=(26, 31)):
    """Draw a mask of a few disks and rectangles, in one piece or several, holes too."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    mask = np.zeros(shape, dtype=bool)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for _ in range(draw(st.integers(1, 4))):
        y, x, r = rng.integers(0, shape[0]), rng.integers(0, shape[1]), rng.integers(2, 9)
        mask |= (rows - y) ** 2 + (columns - x) ** 2 <= r * r
    if draw(st.booleans()):
        mask &= (rows - rng.integers(0, shape[0])) ** 2 + (columns - 15) ** 2 > 9
    return mask


positions = st.tuples(st.floats(-4, 30), st.floats(-4, 35))


@settings(max_examples=40, deadline=None)
@given(masks(), st.lists(positions, min_size=2, max_size=4))
def test_a_cut_keeps_every_pixel_and_the_largest_comes_first(mask, path):
    parts = cut_along(mask, np.array(path))
    np.testing.assert_array_equal(parts > 0, mask)
    sizes = np.bincount(parts.ravel())[1:]
    assert (sizes > 0).all()
    assert sizes.tolist() == sorted(sizes, reverse=True)


@settings(max_examples=30, deadline=None)
@given(masks(), st.data())
def test_clicks_get_a_part_each_and_it_holds_them(mask, data):
    at = [tuple(p) for p in np.argwhere(mask).tolist()]
    assume(len(at) > 3)
    seeds = data.draw(st.lists(st.sampled_from(at), min_size=1, max_size=4, unique=True))
    parts = split_at(mask, seeds)
    np.testing.assert_array_equal(parts > 0, mask)
    assert [parts[seed] for seed in seeds] == list(range(1, len(seeds) + 1))


@settings(max_examples=20, deadline=None)
@given(masks(), st.data())
def test_large_volumes_are_looked_at_roughly_and_lose_nothing(mask, data):
    volume = np.stack([mask, mask, np.roll(mask, 3, axis=1), mask])
    at = [tuple(p) for p in np.argwhere(volume).tolist()]
    assume(len(at) > 3)
    seeds = data.draw(st.lists(st.sampled_from(at), min_size=2, max_size=3, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_ditto.core.splitting.MOST_COSTED", 500)
        parts = split_at(volume, seeds)
    np.testing.assert_array_equal(parts > 0, volume)
    assert [parts[seed] for seed in seeds] == list(range(1, len(seeds) + 1))


def test_two_balls_are_parted():
    z, y, x = np.ogrid[:30, :30, :50]
    near = [(z - 15) ** 2 + (y - 15) ** 2 + (x - at) ** 2 <= 12**2 for at in (16, 35)]
    parts = split_at(near[0] | near[1], [(12, 13, 13), (18, 17, 39)])
    assert (parts[:, :, :22][near[0][:, :, :22]] == 1).mean() > 0.98
    assert (parts[:, :, 29:][near[1][:, :, 29:]] == 2).mean() > 0.98


@pytest.mark.parametrize("turn", range(4))
def test_a_diagonal_line_lets_no_pixel_through(turn):
    mask = np.ones((20, 20), dtype=bool)
    parts = np.rot90(cut_along(mask, np.array([[-1.0, -1.0], [20.0, 20.0]])), turn)
    assert parts.max() == 2
    assert all(components(parts == i)[1] == 1 for i in (1, 2))


def test_other_pieces_stay_with_the_largest():
    mask = np.zeros((20, 40), dtype=bool)
    mask[5:15, 2:20] = mask[5:15, 30:38] = True
    parts = cut_along(mask, np.array([[0.0, 6.0], [19.0, 6.0]]))
    assert parts.max() == 2
    assert (parts[5:15, 30:38] == 1).all()


def test_debris_of_a_cut_is_no_part():
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 5:15] = True
    mask[4, 9] = True
    parts = cut_along(mask, np.array([[4.6, 0.0], [4.6, 19.0]]))
    assert parts.max() == 1


@pytest.mark.parametrize(
    "seeds", [[(5, 5), (5, 5)], [(0, 0), (5, 5)]], ids=["twice the same", "beside"]
)
def test_refuses_clicks_that_mean_nothing(seeds):
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:8, 2:8] = True
    with pytest.raises(ValueError, match="different pixels"):
        split_at(mask, seeds)


def test_two_nuclei_are_parted_at_their_waist():
    rows, columns = np.ogrid[:40, :70]
    left = (rows - 20) ** 2 + (columns - 22) ** 2 <= 15**2
    right = (rows - 18) ** 2 + (columns - 46) ** 2 <= 12**2
    parts = split_at(left | right, [(12, 18), (22, 52)])
    for i, part in ((1, left & ~right), (2, right & ~left)):
        assert ((parts == i) & part).sum() > 0.97 * part.sum()


def test_a_large_mask_is_parted_at_its_waist_too():
    rows, columns = np.ogrid[:450, :750]
    mask = (rows - 225) ** 2 + (columns - 225) ** 2 <= 200**2
    mask |= (rows - 225) ** 2 + (columns - 550) ** 2 <= 175**2
    parts = split_at(mask, [(225, 150), (225, 600)])
    assert (parts[225, 150], parts[225, 600]) == (1, 2)
    # The waist is where the circles meet, at column 402.
    border = np.flatnonzero(parts[225, :-1] != parts[225, 1:])
    assert abs(border[border > 30][0] - 402) < 12
