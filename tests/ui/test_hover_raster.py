"""The contour as cells: nothing is lost or moved, whatever the zoom."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.testing.strategies import boxes_in
from napari_ditto.ui.hover.raster import (
    BRIGHT,
    CELL_SCREEN_PX,
    DARK,
    LARGEST,
    cell_size,
    line_width,
    sampled,
    two_tones,
    window_around,
)

SHAPE = (90, 70)


@st.composite
def placed(draw):
    box = draw(boxes_in(SHAPE))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).random(box.shape) < 0.6, box


@given(placed(), st.sampled_from([0.125, 0.5, 1.0, 2.0, 3.0, 7.0]))
def test_each_cell_shows_the_pixel_in_its_middle(mask_and_box, step):
    mask, box = mask_and_box
    plane = np.zeros(SHAPE, bool)
    plane[box.slices] = mask
    cells, where = sampled(mask, box, step)
    assert cells.shape == where.shape
    rows, columns = (
        np.floor((np.arange(low, high) + 0.5) * step).astype(int)
        for low, high in ((where.y0, where.y1), (where.x0, where.x1))
    )
    assert (cells == plane[np.ix_(rows, columns)]).all()


@given(placed(), st.integers(1, 3))
def test_bright_is_the_rim_and_dark_just_outside(mask_and_box, width):
    mask, _ = mask_and_box
    drawn, on = two_tones(mask, width), np.pad(mask, 1)
    assert not (drawn[on] == DARK).any()
    assert not (drawn[~on] == BRIGHT).any()
    around = np.pad(on, 1)
    sides = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    assert ((drawn == DARK) == (~on & np.any(sides, axis=0))).all()
    if width == 1:
        assert ((drawn == BRIGHT) == (on & ~np.all(sides, axis=0))).all()


@given(st.floats(1e-6, 1e4), st.integers(1, 60_000), st.integers(1, 60_000))
def test_cells_suit_the_screen_and_are_never_too_many(screen, height, width):
    box = Box(0, 0, height, width)
    step = cell_size(screen, box)
    assert max(height, width) / step <= LARGEST
    assert step >= 1 or screen * step >= CELL_SCREEN_PX
    assert (1 / step if step < 1 else step) % 1 == 0
    assert 1 <= line_width(screen, step) <= 3


@given(boxes_in(SHAPE), st.sampled_from([8, 16, 64, 512]))
def test_the_window_holds_the_box_and_stays_on_the_plane(box, side):
    room = Box.of_shape(SHAPE)
    window = window_around(box, side, room)
    assert window.covers(box)
    assert room.covers(window)


@pytest.mark.parametrize("step", [1.0, 0.25, 4.0])
def test_an_empty_mask_is_no_trouble(step):
    cells, _ = sampled(np.zeros((3, 3), bool), Box(5, 5, 8, 8), step)
    assert not two_tones(cells).any()
