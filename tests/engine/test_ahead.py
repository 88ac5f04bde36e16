"""Tiles encoded before they are asked about: their order, their budget, and where it stops."""

from __future__ import annotations

import threading
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.tiling import Grid
from napari_ditto.engine.ahead import MOST_IN_VIEW, ahead, ahead_level, ahead_steps
from napari_ditto.engine.predict import Pyramid
from napari_ditto.testing.scenes import annotate


def pyramid(height, width, levels=1):
    shapes = tuple((-(-height // 2**k), -(-width // 2**k)) for k in range(levels))
    return Pyramid(shapes, tuple((float(2**k), float(2**k)) for k in range(levels)))


@st.composite
def views(draw):
    height, width = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y1, x1 = draw(st.integers(y0 + 1, height)), draw(st.integers(x0 + 1, width))
    return pyramid(height, width, draw(st.integers(1, 4))), Box(y0, x0, y1, x1)


@given(views())
def test_every_tile_comes_once_and_those_in_view_come_first(case):
    levels, view = case
    tiles = list(ahead(levels, 64, view))
    level = ahead_level(levels, 64, view)
    grid = Grid(levels.shapes[level], 64, level=level)
    assert len(set(tiles)) == len(tiles) == grid.count
    factor = levels.factors[level][0]
    spots = [(y, x) for y in (view.y0, view.y1 - 1) for x in (view.x0, view.x1 - 1)]
    needed = {grid.nearest(y / factor, x / factor) for y, x in spots}
    rows = grid.rows.nearest((view.y1 - 1) / factor) - grid.rows.nearest(view.y0 / factor) + 1
    columns = grid.columns.nearest((view.x1 - 1) / factor) - grid.columns.nearest(view.x0 / factor)
    assert needed <= set(tiles[: rows * (columns + 1)])


def test_the_middle_of_the_view_comes_first_then_outwards():
    view = Box(2000, 3000, 2600, 3600)
    tiles = list(islice(ahead(pyramid(60_000, 60_000), 512, view), 30))
    apart = [np.hypot(t.box.center[0] - 2300, t.box.center[1] - 3300) for t in tiles]
    assert apart[0] == min(apart)
    inside = 9  # 3 x 3 tiles have their cores in view
    assert apart[:inside] == sorted(apart[:inside])
    assert max(apart[:inside]) < apart[inside + 12]


def test_a_wide_view_is_looked_at_from_further_away_and_costs_nothing():
    levels = pyramid(2**40, 2**40, 30)
    view = Box(0, 0, 2**20, 2**20)
    level = ahead_level(levels, 512, view)
    assert level > 0
    assert [t.level for t in islice(ahead(levels, 512, view), 100)] == [level] * 100
    assert ahead_level(pyramid(60_000, 60_000), 512, Box(0, 0, 60_000, 60_000)) == 0
    assert ahead_level(levels, 512, Box(0, 0, 1000, 1000)) == 0
    assert MOST_IN_VIEW >= 16


@pytest.fixture
def scene():
    truth = np.zeros((400, 400), np.uint8)
    truth[20:40, 20:40] = 1
    annotator = annotate(truth)
    return annotator, annotator.source.plane()


def work(annotator, address, budget, **kwargs):
    """Encode ahead of a small view; return whether that is all, and how many tiles it was."""
    before = annotator.encoder.counts.read
    steps = ahead_steps(annotator.encoder, address, Box(0, 0, 100, 100), budget, **kwargs)
    return drain(steps), annotator.encoder.counts.read - before


def test_a_click_in_view_finds_its_tile_encoded(scene):
    annotator, address = scene
    assert work(annotator, address, 9) == (True, 9)
    encoded = annotator.model.encoded
    annotator.predict(points=[(30, 30)])
    assert annotator.model.encoded == encoded
    order = ahead(Pyramid.of(annotator.source, address), 64, Box(0, 0, 100, 100))
    assert set(annotator.encoder.seen(address)) >= set(islice(order, 9))


def test_the_budget_counts_what_is_ready_and_nothing_is_encoded_twice(scene):
    annotator, address = scene
    assert work(annotator, address, 6) == (True, 6)
    assert work(annotator, address, 6) == (True, 0)
    assert work(annotator, address, 10) == (True, 4)


def test_it_stops_before_the_next_tile(scene):
    annotator, address = scene
    few = lambda: annotator.encoder.counts.read < 3  # noqa: E731
    assert work(annotator, address, 9, go_on=few) == (False, 3)
    assert work(annotator, address, 9) == (True, 6)


def test_a_slow_tile_is_the_last(scene, monkeypatch):
    annotator, address = scene
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr("napari_ditto.engine.ahead.monotonic", lambda: next(clock))
    assert work(annotator, address, 9) == (True, 1)


class Gate:
    """A source that lists what it is asked for, and answers about some tiles only when let."""

    def __init__(self, source):
        self.source, self.asked, self.shut = source, [], {}
        self.changed = threading.Condition()

    def __getattr__(self, name):
        return getattr(self.source, name)

    def read(self, address, box, level=0):
        with self.changed:
            self.asked.append(box)
            self.changed.notify_all()
        if box in self.shut:
            assert self.shut[box].wait(30)
        return self.source.read(address, box, level)

    def wait_for(self, *boxes):
        with self.changed:
            assert self.changed.wait_for(lambda: {*boxes} <= {*self.asked}, 30), self.asked


@pytest.fixture
def gated(scene):
    annotator, address = scene
    gate = annotator.encoder.source = Gate(annotator.source)
    yield annotator.encoder, gate, address
    for event in gate.shut.values():
        event.set()
    for thread in threading.enumerate():
        if thread.name == "ditto-reader":
            thread.join(30)
            assert not thread.is_alive()


VIEW = Box(0, 0, 100, 100)


def boxes_ahead(encoder, address, count):
    return [t.box for t in islice(ahead(Pyramid.of(encoder.source, address), 64, VIEW), count)]


def test_the_next_tile_is_read_while_one_is_encoded(gated):
    """By order: a tile is encoded only when the two after it have been asked for."""
    encoder, gate, address = gated
    order, encode = boxes_ahead(encoder, address, 6), encoder.model.encode

    def watched(tiles):
        done = encoder.counts.encoded
        gate.wait_for(*order[done : done + 3])
        return encode(tiles)

    encoder.model.encode = watched
    assert drain(ahead_steps(encoder, address, VIEW, 6))
    assert sorted(gate.asked) == sorted(order)


def test_a_click_waits_for_no_tile_that_is_read_ahead(gated):
    encoder, gate, address = gated
    order = boxes_ahead(encoder, address, 9)
    gate.shut = {box: threading.Event() for box in order[1:3]}  # as many as there are readers
    steps = ahead_steps(encoder, address, VIEW, 9)
    next(steps)
    next(steps)  # the first is encoded, the second is next
    gate.wait_for(*order[:3])
    steps.close()
    tile = Grid((400, 400), 64).nearest(300, 300)
    assert tile.box not in order
    (embedding,) = drain(encoder.embed_steps(address, [tile]))
    assert embedding.tile_shape == tile.box.shape
    for event in gate.shut.values():
        event.set()
    assert set(gate.asked) == {*order[:3], tile.box}
    assert encoder.counts.encoded == 2
