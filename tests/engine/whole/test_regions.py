"""Regions of a run: what touches a polygon or a mask, pixel by pixel and tile by tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.engine.whole.regions import Region, box_polygon, read_mask
from napari_ditto.errors import SourceError

PLANE = (60, 80)
positions = st.tuples(st.floats(-5, 65), st.floats(-5, 85))
boxes = st.builds(
    lambda y, x, h, w: Box(y, x, min(y + h, 60), min(x + w, 80)),
    *(st.integers(0, 59), st.integers(0, 79), st.integers(1, 30), st.integers(1, 30)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(positions, min_size=3, max_size=6), boxes)
def test_a_tile_with_a_wanted_pixel_is_never_missed(polygon, box):
    y, x = np.array(polygon).T
    # What has no area is drawn by chance: nobody wants it.
    assume(abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) > 8)
    region = Region((tuple(polygon),), None, PLANE)
    inside = region.inside(box)
    assert inside.shape == box.shape
    assert region.touches(box) >= inside.any()


@settings(max_examples=50, deadline=None)
@given(boxes, boxes)
def test_a_box_is_itself(one, other):
    region = Region((box_polygon(one),), None, PLANE)
    inside = region.inside(other)
    common = one.intersect(other).shift(-other.y0, -other.x0)
    assert inside.sum() == one.intersect(other).area
    if not common.is_empty:
        assert inside[common.slices].all()


def test_a_mask_covers_the_plane_at_any_resolution():
    mask = np.zeros((6, 8), dtype=bool)
    mask[2, 3] = True
    region = Region((), mask, PLANE)
    inside = region.inside(Box.of_shape(PLANE))
    assert inside[20:30, 30:40].all()
    assert inside.sum() == 100
    assert region.touches(Box(25, 35, 26, 36))
    assert not region.touches(Box(0, 0, 20, 80))


def test_no_region_is_everywhere():
    region = Region((), None, PLANE)
    assert region.inside(Box(0, 0, 5, 5)) is None
    assert region.touches(Box(0, 0, 5, 5))


def test_a_mask_that_is_no_plane_is_refused(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 6, 7), dtype=np.uint16))
    with pytest.raises(SourceError, match="one plane"):
        read_mask(tmp_path / "stack.tif")
