"""Boxes and plane addresses."""

from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box, PlaneAddress

edges = st.integers(-(2**41), 2**41)


@st.composite
def boxes(draw):
    y0, x0 = draw(edges), draw(edges)
    return Box(y0, x0, y0 + draw(st.integers(0, 2**40)), x0 + draw(st.integers(0, 2**40)))


@given(boxes(), boxes())
def test_intersection_lies_in_both_and_union_around_both(a, b):
    both = a.intersect(b)
    assert both.is_empty or (a.covers(both) and b.covers(both))
    assert a.union(b).covers(a)
    assert a.union(b).covers(b)
    assert both.area == b.intersect(a).area


@given(boxes(), edges, edges, st.integers(0, 50))
def test_shift_and_grow_undo_themselves(box, dy, dx, margin):
    assert box.shift(dy, dx).shift(-dy, -dx) == box
    assert box.grow(margin).grow(-margin) == box


@given(boxes(), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_scaled_box_covers_the_scaled_edges(box, f):
    scaled = box.scale(f, f)
    assert scaled.y0 <= box.y0 * f
    assert scaled.y1 >= box.y1 * f


def test_contains_follows_napari_pixel_edges():
    box = Box(0, 0, 2, 3)
    assert box.contains(-0.5, 2.4)
    assert not box.contains(1.5, 0)
    assert not box.contains(0, -0.51)
    assert box.center == (0.5, 1.0)


def test_empty_boxes_are_well_formed():
    empty = Box(0, 0, 5, 5).intersect(Box(9, 9, 12, 12))
    assert empty.is_empty
    assert empty.area == 0
    assert Box(0, 0, 5, 5).union(empty) == Box(0, 0, 5, 5)


def test_plane_address_says_where_it_is():
    plane = PlaneAddress("z", "x", (("t", 1), ("y", 40)))
    assert plane.with_index({"t": 2}).index == {"t": 2, "y": 40}
    assert str(plane) == "zx plane at t=1, y=40"
    assert hash(plane) == hash(PlaneAddress("z", "x", (("t", 1), ("y", 40))))
