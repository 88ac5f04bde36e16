"""Prompts: checked against their plane, none dropped on the way to a tile."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)
from napari_ditto.core.routing import (
    anchor,
    check_prompts,
    pixels,
    share,
    to_level,
    to_tile,
    translate,
)
from napari_ditto.core.tiling import plan_tiles
from napari_ditto.errors import PromptError
from napari_ditto.testing.strategies import plane_shapes, prompt_sets

SHAPE = (512, 512)


def points(*positions):
    return PromptSet(tuple(PointPrompt(*p) for p in positions))


def test_a_diameter_goes_with_the_prompts_and_shrinks_with_the_level():
    said = PromptSet((PointPrompt(100.0, 100.0),), diameter=40.0)
    checked = check_prompts(said, SHAPE)
    assert checked.diameter == 40.0
    coarse = to_level(checked, (2.0, 2.0), (256, 256))
    assert to_tile(coarse, Box(0, 0, 128, 128)).diameter == 20.0


@pytest.mark.parametrize("diameter", [0.0, -3.0, math.inf, math.nan])
def test_a_diameter_that_is_none_is_refused(diameter):
    with pytest.raises(PromptError, match="diameter"):
        check_prompts(PromptSet((PointPrompt(1.0, 1.0),), diameter=diameter), SHAPE)


@given(st.data())
def test_whatever_lies_on_the_plane_passes_and_ends_on_pixels(data):
    shape = data.draw(plane_shapes())
    prompts = data.draw(prompt_sets(shape))
    checked = check_prompts(prompts, shape)
    assert len(checked.points) == len(prompts.points)
    assert len(checked.scribbles) == len(prompts.scribbles)
    assert (checked.box is None) == (prompts.box is None)
    assert (checked.mask is None) == (prompts.mask is None)
    for sign in (True, False):
        found = pixels(checked, positive=sign)
        assert ((found >= 0) & (found < shape)).all()


@given(st.data())
def test_no_prompt_is_dropped_between_the_tiles(data):
    """Every click, stroke pixel, box and mask pixel is told to some tile of its level."""
    shape = data.draw(plane_shapes())
    prompts = check_prompts(data.draw(prompt_sets(shape)), shape)
    level = tuple(-(-n // 2) for n in shape)
    for factor, level_shape in (((1.0, 1.0), shape), ((2.0, 2.0), level)):
        said = to_level(prompts, factor, level_shape)
        shares = [(t.box, share(said, t.box)) for t in plan_tiles(level_shape, 24)]
        for p in said.points:
            assert any(p in part.points for _, part in shares)
        paths = [s.path for _, part in shares for s in part.scribbles]
        heard = np.array([v for path in paths for v in path]).reshape(-1, 2)
        for vertex in (v for s in said.scribbles for v in s.path):
            assert np.abs(heard - vertex).sum(axis=1).min() <= 1
        if said.mask:
            told = np.zeros(level_shape, bool)
            for box, part in shares:
                if part.mask:
                    told[box.slices] |= part.mask.rasterize(level_shape)[box.slices]
            assert np.array_equal(told, said.mask.rasterize(level_shape))
        if said.box:
            covered = [part.box for _, part in shares if part.box]
            assert min(b.y0 for b in covered) == said.box.y0
            assert max(b.x1 for b in covered) == said.box.x1


@given(st.data())
def test_a_tile_hears_its_share_in_its_own_pixels(data):
    shape = data.draw(plane_shapes())
    prompts = check_prompts(data.draw(prompt_sets(shape)), shape)
    for tile in plan_tiles(shape, 32):
        heard = to_tile(prompts, tile.box)
        corner = (tile.box.y0, tile.box.x0)
        inside = [p for p in prompts.points if tile.box.contains(p.y, p.x)]
        back = [(p.y + corner[0], p.x + corner[1]) for p in heard.points]
        assert np.allclose(back, [(p.y, p.x) for p in inside])
        if heard.mask:
            assert Box.of_shape(tile.box.shape).covers(heard.mask.box)


@pytest.mark.parametrize("edge", [-0.5, 511.5, 0.0, 511.0])
def test_the_very_edge_is_on_the_plane(edge):
    (point,) = check_prompts(points((edge, 10)), SHAPE).points
    assert 0 <= point.y <= 511


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (points((10, 10), (5, 900)), r"point 2 at \(5, 900\) lies outside the 512 x 512 plane"),
        (points((-0.6, 10)), "point 1"),
        (points((math.nan, 10)), "not a finite"),
        (points((10, math.inf)), "not a finite"),
        (PromptSet((PointPrompt(5, 5, positive=False),)), "say where the object is first"),
        (PromptSet(), "say where the object is first"),
        (PromptSet(box=BoxPrompt(5, 5, 5, 90)), "thinner than one pixel"),
        (PromptSet(box=BoxPrompt(5, 5, 5.4, 5.4)), "thinner than one pixel"),
        (PromptSet(box=BoxPrompt(600, 5, 700, 9)), "the box .* lies outside"),
        (PromptSet(box=BoxPrompt(math.nan, 5, 7, 9)), "not a finite"),
        (PromptSet(scribbles=(ScribblePrompt(()),)), "scribble 1 has no vertex"),
        (PromptSet(scribbles=(ScribblePrompt(((900, 900), (950, 990))),)), "scribble 1 lies"),
        (PromptSet(scribbles=(ScribblePrompt(((1, math.nan),)),)), "scribble 1 is not"),
        (
            PromptSet(mask=MaskPrompt(Box(0, 0, 2, 2), np.zeros((2, 2), bool))),
            "mask prompt is empty",
        ),
        (PromptSet(mask=MaskPrompt(Box(0, 600, 2, 602), np.ones((2, 2), bool))), "outside the 512"),
    ],
)
def test_prompts_that_make_no_sense_are_named(prompts, message):
    with pytest.raises(PromptError, match=message):
        check_prompts(prompts, SHAPE)


def test_flipped_boxes_turn_and_large_ones_are_cut_at_the_border():
    checked = check_prompts(PromptSet(box=BoxPrompt(900, 20, -50, 10)), SHAPE)
    assert checked.box == BoxPrompt(-0.5, 10, 511.5, 20)


def test_strokes_keep_their_way_through_a_tile():
    stroke = ScribblePrompt(((5, -20), (5, 80)), width=3.0)
    (part,) = share(PromptSet(scribbles=(stroke,)), Box(0, 0, 10, 30)).scribbles
    assert part.path[0] == (5, 0)
    assert part.path[-1] == (5, 29)
    assert part.width == 3.0
    zigzag = ScribblePrompt(((5, 5), (20, 5), (20, 15), (5, 15)))
    assert len(share(PromptSet(scribbles=(zigzag,)), Box(0, 0, 10, 30)).scribbles) == 2


def test_the_anchor_is_the_first_thing_said():
    first = PromptSet((PointPrompt(9, 9, False), PointPrompt(4, 5), PointPrompt(50, 60)))
    assert anchor(first) == (4, 5)
    assert anchor(PromptSet(first.points, box=BoxPrompt(0, 0, 10, 20))) == (5, 10)
    assert anchor(PromptSet(mask=MaskPrompt(Box(10, 10, 13, 15), np.ones((3, 5), bool)))) == (
        11,
        12,
    )
    assert anchor(PromptSet(scribbles=(ScribblePrompt(((3, 4), (8, 8))),))) == (3, 4)


def test_what_a_model_does_not_read_becomes_points():
    everything = PromptSet(
        (PointPrompt(1, 1),),
        (ScribblePrompt(((5, 5), (5, 45)), positive=False),),
        BoxPrompt(10, 10, 20, 30),
        MaskPrompt(Box(40, 40, 45, 45), np.ones((5, 5), bool)),
    )
    assert translate(everything, {"points", "box", "mask", "scribbles"}) is everything
    only = translate(everything, {"points"})
    assert (only.scribbles, only.box, only.mask) == ((), None, None)
    assert PointPrompt(15, 20) in only.points
    assert PointPrompt(42, 42) in only.points
    assert sum(not p.positive for p in only.points) == 8
