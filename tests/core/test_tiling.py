"""Tiles cover, cores part the plane, prompts lie in the middle: by property."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt
from napari_ditto.core.tiling import (
    Grid,
    Steps,
    Tile,
    choose_level,
    choose_tile,
    edge_runs,
    plan_tiles,
    tile_for,
    touches_edge,
)

shapes = st.tuples(st.integers(1, 70), st.integers(1, 70))
sizes = st.integers(5, 40)
HUGE = 2**40


@st.composite
def grids(draw):
    size = draw(sizes)
    return Grid(
        draw(shapes), size, draw(st.sampled_from([-1, 0, size // 4, size // 2, size * 3 // 4]))
    )


@st.composite
def boxes(draw, shape):
    y = sorted(draw(st.tuples(*[st.integers(0, shape[0])] * 2)))
    x = sorted(draw(st.tuples(*[st.integers(0, shape[1])] * 2)))
    return Box(y[0], x[0], y[1], x[1])


def every_tile(grid):
    indices = itertools.product(range(grid.rows.count), range(grid.columns.count))
    return [grid.tile(*index) for index in indices]


@given(grids())
def test_tiles_are_full_size_and_cover_the_plane(grid):
    hits = np.zeros(grid.shape, int)
    for tile in every_tile(grid):
        assert tile.box.shape == tuple(min(n, grid.size) for n in grid.shape)
        hits[tile.box.slices] += 1
    assert hits.min() >= 1


@given(grids())
def test_cores_hold_every_pixel_exactly_once(grid):
    hits = np.zeros(grid.shape, int)
    for tile in every_tile(grid):
        assert tile.box.covers(grid.core(tile))
        hits[grid.core(tile).slices] += 1
    assert (hits == 1).all()


@given(st.data(), grids())
def test_the_core_is_where_a_tile_is_nearest(data, grid):
    y = data.draw(st.integers(0, grid.shape[0] - 1))
    x = data.draw(st.integers(0, grid.shape[1] - 1))
    tile = grid.nearest(y, x)
    assert grid.core(tile).contains(y, x)
    distances = [np.abs(np.subtract(t.box.center, (y, x))) for t in every_tile(grid)]
    assert np.abs(np.subtract(tile.box.center, (y, x))) == pytest.approx(np.min(distances, axis=0))


@given(st.data(), shapes, sizes)
def test_a_prompt_lies_in_the_middle_half_of_its_tile(data, shape, size):
    position = [data.draw(st.floats(0, n - 1)) for n in shape]
    box = tile_for(tuple(position), shape, size).box
    for p, start, stop, length in zip(
        position, (box.y0, box.x0), (box.y1, box.x1), shape, strict=True
    ):
        quarter = size / 4 - 0.5
        # An odd tile steps by half a pixel less than it could, never more.
        assert start == 0 or p - (start - 0.5) >= quarter
        assert stop == length or (stop - 0.5) - p >= quarter


@given(st.data(), grids())
def test_planned_tiles_cover_what_is_asked(data, grid):
    within = data.draw(boxes(grid.shape))
    tiles = list(
        plan_tiles(grid.shape, grid.size, grid.overlap if grid.overlap >= 0 else None, within)
    )
    assert len(set(tiles)) == len(tiles)
    hits = np.zeros(grid.shape, int)
    for tile in tiles:
        hits[grid.core(tile).slices] += 1
    assert (hits[within.slices] == 1).all()


@given(st.data(), grids())
def test_touching_tiles_are_exactly_those_that_meet_the_box(data, grid):
    within = data.draw(boxes(grid.shape))
    expected = [t for t in every_tile(grid) if not t.box.intersect(within).is_empty]
    assert list(grid.touching(within)) == expected


def test_a_huge_plane_costs_nothing():
    grid = Grid((HUGE, HUGE), 512)
    assert grid.count == (HUGE // 256 - 1) ** 2
    far = (HUGE - 3.0, HUGE - 700.0)
    tile = tile_for(far, grid.shape, 512)
    assert tile.box.contains(*far)
    assert grid.core(tile).contains(*far)
    assert next(plan_tiles(grid.shape, 512)) == Tile(0, Box(0, 0, 512, 512))
    around = Box(HUGE - 10, HUGE - 600, HUGE, HUGE - 590)
    assert 1 <= len(list(grid.touching(around))) <= 4


def test_a_plane_smaller_than_a_tile_is_one_tile():
    assert list(plan_tiles((1, 7), 64)) == [Tile(0, Box(0, 0, 1, 7))]
    assert Grid((1, 7), 64).core(Tile(0, Box(0, 0, 1, 7))) == Box(0, 0, 1, 7)


def test_the_last_tile_moves_inwards():
    assert [Steps(100, 64, 32).start(k) for k in range(Steps(100, 64, 32).count)] == [0, 32, 36]


@pytest.mark.parametrize(
    ("side", "level"), [(0, 0), (48, 0), (49, 1), (96, 1), (97, 2), (10_000, 2)]
)
def test_the_level_grows_with_the_extent(side, level):
    factors = [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]
    assert choose_level(BoxPrompt(0, 0, side, side / 2), factors, 64) == level
    assert choose_level(BoxPrompt(0, 0, side / 2, side), factors, 64) == level


class TestChooseTile:
    shapes = ((1000, 1000), (500, 500), (250, 250), (125, 125), (63, 63))
    factors = tuple((2.0**k, 2.0**k) for k in range(5))

    def choose(self, extent, anchor):
        return choose_tile(BoxPrompt(*extent), anchor, self.shapes, self.factors, 64)

    def test_a_second_point_nearby_stays_on_the_first_tile(self):
        first = self.choose((100, 100, 100, 100), (100, 100))
        assert self.choose((100, 100, 112, 108), (100, 100)) == first

    @given(st.data())
    def test_the_tile_sees_the_whole_extent(self, data):
        y = sorted(data.draw(st.tuples(*[st.integers(0, 999)] * 2)))
        x = sorted(data.draw(st.tuples(*[st.integers(0, 999)] * 2)))
        tile = self.choose((y[0], x[0], y[1], x[1]), (y[0], x[1]))
        factor = self.factors[tile.level][0]
        for p in ((y[0], x[0]), (y[1], x[1])):
            assert tile.box.contains(*((v + 0.5) / factor - 0.5 for v in p))

    def test_an_image_of_one_tile_is_not_shrunk(self):
        tile = choose_tile(BoxPrompt(1, 1, 62, 62), (30, 30), self.shapes[4:], self.factors[:1], 64)
        assert tile == Tile(0, Box(0, 0, 63, 63))

    def test_without_such_a_tile_the_anchor_decides(self):
        extent = BoxPrompt(10, 10, 900, 900)
        tile = choose_tile(extent, (10, 10), self.shapes[:1], self.factors[:1], 64)
        assert tile == Tile(0, Box(0, 0, 64, 64))


def test_runs_along_inner_edges():
    mask = np.zeros((8, 8), bool)
    mask[0, 1:3] = mask[0, 5] = True
    mask[3:7, 7] = True
    box = Box(10, 20, 18, 28)
    runs = [run.tolist() for run in edge_runs(mask, box, (100, 100), longest=3)]
    assert runs == [
        [[10, 21], [10, 22]],
        [[10, 25]],
        [[13, 27], [14, 27], [15, 27]],
        [[16, 27]],
    ]
    assert touches_edge(mask, box, (100, 100))
    assert not edge_runs(mask, Box(0, 20, 8, 28), (100, 28), longest=3)
    assert not touches_edge(mask, Box(0, 20, 8, 28), (100, 28))
