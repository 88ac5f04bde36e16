"""The order of planes, what each may read, and what a gate lets through."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.propagation import Carried, Gate
from napari_ditto.core.routes import MOST_BEFORE, Route, are_opposite, steps_between


@st.composite
def routes(draw: st.DrawFn) -> Route:
    axes = draw(st.integers(1, 3))
    longest = (16, 6, 3)[axes - 1]
    bounds = []
    for _ in range(axes):
        start = draw(st.integers(0, 4))
        bounds.append(range(start, start + draw(st.integers(1, longest))))
    places = st.tuples(*(st.sampled_from(b) for b in bounds))
    anchors = draw(st.lists(places, min_size=1, max_size=4, unique=True))
    return Route(bounds, {a: f"{n}" for n, a in enumerate(anchors)})


def mirrored(route: Route) -> Route:
    return Route(route.bounds, {mirror(route, a): text for a, text in route.anchors.items()})


def mirror(route: Route, index: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(b.start + b.stop - 1 - i for i, b in zip(index, route.bounds, strict=True))


@given(routes())
def test_every_plane_once_and_what_it_reads_before_it(route: Route) -> None:
    done = set()
    last = (0, ())
    for visit in route:
        assert (visit.distance, visit.index) > last or not done
        last = visit.distance, visit.index
        assert set(visit.before) <= done
        assert set(visit.anchors) <= route.anchors.keys()
        done.add(visit.index)
    assert done == set(itertools.product(*route.bounds))
    assert len(route) == len(done)


@given(routes())
def test_distance_is_that_to_the_nearest_anchor(route: Route) -> None:
    for visit in route:
        assert visit.distance == min(steps_between(visit.index, a) for a in route.anchors)


@given(routes())
def test_what_comes_before_leads_here(route: Route) -> None:
    for visit in route:
        assert len(visit.before) <= MOST_BEFORE
        steps = [steps_between(b, visit.index) for b in visit.before]
        assert steps == sorted(steps)
        for b, n in zip(visit.before, steps, strict=True):
            assert route.distance(b) == visit.distance - n
        neighbours = route.neighbours(visit.index, visit.distance - 1)
        assert set(neighbours) == {b for b, n in zip(visit.before, steps, strict=True) if n == 1}
        assert bool(neighbours) == bool(visit.distance)


@given(routes())
def test_anchors_are_the_nearest_on_each_side(route: Route) -> None:
    for visit in route:
        if visit.index in route.anchors:
            assert visit.anchors == ()
            continue
        assert 1 <= len(visit.anchors) <= 2 * len(route.bounds)
        for axis, index in enumerate(visit.index):
            for sign in (-1, 1):
                side = [a for a in route.anchors if (a[axis] - index) * sign > 0]
                if side:
                    nearest = min(steps_between(a, visit.index) for a in side)
                    there = [a for a in side if a in visit.anchors]
                    assert min(steps_between(a, visit.index) for a in there) == nearest


@given(routes())
def test_a_mirrored_route_reads_the_mirrored_planes(route: Route) -> None:
    other = mirrored(route)
    for visit in route:
        twin = other.visit(mirror(route, visit.index))
        assert twin.distance == visit.distance
        assert set(twin.before) == {mirror(route, b) for b in visit.before}
        assert set(twin.anchors) == {mirror(route, a) for a in visit.anchors}


def test_one_axis_in_full() -> None:
    route = Route([range(8)], {(1,): "a", (6,): "b"})
    assert [v.index[0] for v in route] == [1, 6, 0, 2, 5, 7, 3, 4]
    assert route.visit((3,)).before == ((2,), (1,))
    assert route.visit((3,)).anchors == ((1,), (6,))
    assert route.visit((7,)).anchors == ((6,),)
    assert route.neighbours((3,), 2) == [(4,)]


def test_two_runs_meet_in_one_plane() -> None:
    route = Route([range(7)], {(0,): "a", (6,): "b"})
    assert route.visit((3,)).before == ((2,), (4,), (1,), (5,), (0,), (6,))
    assert are_opposite((2,), (4,), (3,))
    assert not are_opposite((2,), (5,), (3,))


def test_runs_as_long_as_a_movie_stay_cheap() -> None:
    assert sum(len(v.before) for v in Route([range(5000)], {(17,): ""})) < 6 * 5000


def carried(score: float = 0.9, area: int = 100, shift: int = 0, similarity: float = 1.0):
    was = PlacedMask(Box(0, 0, 10, 10), np.ones((10, 10), bool))
    mask = np.zeros((10, 30), bool)
    mask[:, : area // 10] = True
    now = PlacedMask(Box(0, shift, 10, 30 + shift), mask, score)
    return Carried(1, now, was, similarity)


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        (carried(), ()),
        (carried(score=0.2), ("low score 0.20",)),
        (carried(shift=8), ("moved: overlap 0.11",)),
        (carried(similarity=0.1), ("looks different 0.10",)),
        (carried(area=210), ("size x 2.10",)),
        (carried(area=30, similarity=0.9), ("moved: overlap 0.30", "size x 0.30")),
        (carried(area=0), ("ends here",)),
    ],
)
def test_gate(found: Carried, reasons: tuple[str, ...]) -> None:
    assert Gate().judge(found.quality) == reasons


def test_confidence_is_the_worst_of_all() -> None:
    assert carried(score=0.3).quality.confidence == pytest.approx(0.3)
    assert carried(shift=8).quality.confidence == pytest.approx((20 / 180) ** 0.5)
    assert carried(area=0).quality.confidence == 0
