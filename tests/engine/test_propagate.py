"""Labels carried through stacks whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import napari_ditto
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.propagation import Carried, Doubt, PlaneDone, Step
from napari_ditto.data.source import open_source
from napari_ditto.data.steps import MemorySteps
from napari_ditto.engine import propagation_run
from napari_ditto.engine.propagate import PropagationResult, propagate, propagate_steps
from napari_ditto.errors import DittoError, LabelsError, ModelError, SourceError, StoreError
from napari_ditto.testing.scenes import drifting, truth_stack
from napari_ditto.testing.steppers import CopyStepper, CountingStepper, PerfectStepper

SLOW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
GONE = PlacedMask(Box(0, 0, 0, 0), np.zeros((0, 0), bool))


class Scripted(CopyStepper):
    """Copies, except for what a test says about a plane and an object."""

    key = "scripted"

    def __init__(self, script: Callable[[int, Carried], Carried]) -> None:
        self.script = script
        self.read: dict[int, list] = {}

    def step(self, address, before, anchors):
        at = next(iter(address.index.values()))
        self.read[at] = list(before)
        step = yield from super().step(address, before, anchors)
        return Step(tuple(self.script(at, c) for c in step.objects))


def follow(truth: NDArray, anchors: list[int], **options: object) -> PropagationResult:
    source = truth_stack(truth)
    stepper = options.pop("stepper", None) or PerfectStepper(source)
    return propagate(source, {z: truth[z] for z in anchors}, stepper=stepper, **options)


def squares(depth: int, **planes: range) -> NDArray[np.int64]:
    """Return a stack with a square per object; keyword `_5` gives the planes of object 5."""
    stack = np.zeros((depth, 32, 64), dtype=np.int64)
    for n, (name, where) in enumerate(planes.items()):
        stack[list(where), 8:20, 4 + 16 * n : 16 + 16 * n] = int(name[1:])
    return stack


def places(found: PropagationResult) -> dict[int, list[int]]:
    """Return the planes that each object is on."""
    return {n: sorted(set(np.nonzero(found.labels == n)[0].tolist())) for n in found.ids}


def blank(shape: tuple[int, ...] = (6, 20, 24)) -> object:
    return open_source(np.zeros(shape, np.uint8), axes="tzyx"[-len(shape) :], window=(0, 255))


# -- following -----------------------------------------------------------------------------------


def test_moving_objects_are_followed_both_ways() -> None:
    truth = drifting(20)
    found = follow(truth, [9])
    assert np.array_equal(found.labels, truth)
    assert found.labels.dtype == np.uint32
    assert found.ids == (1, 2, 3)
    assert found.axes == ("z",)
    assert found.confidence.shape == (3, 20)
    assert (found.confidence[:, 9] == 1).all()
    assert found.review == ()


def test_it_is_a_public_name() -> None:
    assert napari_ditto.propagate is propagate


def test_large_ids_are_kept() -> None:
    truth = squares(6, _70000=range(6), _4294967295=range(6))
    found = propagate(blank((6, 32, 64)), {0: truth.astype(np.uint32)[0]}, stepper=CopyStepper())
    assert found.ids == (70000, 4294967295)
    assert np.array_equal(found.labels, truth.astype(np.uint32))


def test_bool_is_one_object() -> None:
    mask = np.zeros((20, 24), bool)
    mask[3:9, 4:12] = True
    found = propagate(blank(), {2: mask}, stepper=CopyStepper())
    assert found.ids == (1,)
    assert all(np.array_equal(plane > 0, mask) for plane in found.labels)


def test_examples_are_written_as_they_are() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 5, (20, 24))
    found = propagate(blank(), {0: noise, 5: noise.T.reshape(20, 24)}, stepper=CopyStepper())
    assert np.array_equal(found.labels[0], noise)
    assert np.array_equal(found.labels[5], noise.T.reshape(20, 24))


def test_objects_may_start_at_different_examples() -> None:
    truth = squares(12, _1=range(12), _2=range(6, 12))
    assert places(follow(truth, [1, 8])) == {1: list(range(12)), 2: list(range(6, 12))}


def test_an_example_without_an_object_ends_it() -> None:
    truth = squares(10, _1=range(10), _2=range(10))
    examples = {0: truth[0], 4: np.where(truth[4] == 1, 1, 0)}
    found = propagate(blank((10, 32, 64)), examples, stepper=CopyStepper())
    assert places(found) == {1: list(range(10)), 2: [0, 1, 2]}


def test_an_empty_example_ends_all() -> None:
    truth = squares(10, _1=range(10))
    stepper = CountingStepper()
    found = propagate(
        blank((10, 32, 64)), {0: truth[0], 3: np.zeros((32, 64), int)}, stepper=stepper
    )
    assert places(found) == {1: [0, 1]}
    assert len(stepper.asked) == 1, "nobody needs asking where nothing is alive"


def test_bounds() -> None:
    truth = squares(10, _1=range(10))
    found = follow(truth, [4], within=(3, 7))
    assert places(found) == {1: [3, 4, 5, 6]}
    assert np.isnan(found.confidence[0, [0, 1, 2, 7, 8, 9]]).all()


def test_two_axes_in_one_job() -> None:
    truth = np.stack([drifting(7, seed=3)] * 4)
    truth[2:] = np.roll(truth[2:], 1, axis=-1)
    source = truth_stack(truth, "tzyx")
    found = propagate(source, {(1, 3): truth[1, 3]}, ("t", "z"), stepper=PerfectStepper(source))
    assert np.array_equal(found.labels, truth)
    assert found.confidence.shape == (3, 4, 7)
    part = propagate(
        source,
        {(1, 3): truth[1, 3]},
        ("t", "z"),
        within={"z": (2, 5)},
        stepper=PerfectStepper(source),
    )
    assert np.array_equal(part.labels[:, 2:5], truth[:, 2:5])
    assert not part.labels[:, :2].any()


def test_other_planes_and_axes() -> None:
    truth = drifting(8)
    movie = np.stack([np.zeros_like(truth), truth])
    source = truth_stack(movie, "tzyx")
    found = propagate(source, {3: truth[3]}, "z", plane={"t": 1}, stepper=PerfectStepper(source))
    assert np.array_equal(found.labels, movie)
    turned = truth_stack(truth.transpose(1, 0, 2), "zyx")
    address = turned.plane(displayed=("z", "x"))
    found = propagate(turned, {3: truth[3]}, "y", plane=address, stepper=PerfectStepper(turned))
    assert np.array_equal(found.labels.transpose(1, 0, 2), truth)


# -- ends and doubts -----------------------------------------------------------------------------


def test_an_object_that_ends_abruptly_is_told() -> None:
    truth = squares(10, _1=range(10), _2=range(6))
    found = follow(truth, [2])
    assert np.array_equal(found.labels, truth)
    assert [(d.address.index["z"], d.label, d.reasons) for d in found.review] == [
        (6, 2, ("ends here",))
    ]
    assert (found.confidence[1, 6:9] == 0).all()
    assert np.isnan(found.confidence[1, 9])


def test_an_object_that_shrinks_to_nothing_just_ends() -> None:
    truth = np.zeros((12, 40, 40), int)
    for z in range(9):
        truth[z, 4 : 22 - 2 * z, 4 : 22 - 2 * z] = 1
    found = follow(truth, [0])
    assert np.array_equal(found.labels, truth)
    assert not [d for d in found.review if "ends here" in d.reasons]


@pytest.mark.parametrize(("gap", "returns"), [(1, True), (2, True), (3, False)])
def test_patience(gap: int, returns: bool) -> None:
    truth = squares(12, _1=[z for z in range(12) if not 3 <= z < 3 + gap])
    assert places(follow(truth, [0]))[1] == list(range(3)) + returns * list(range(3 + gap, 12))


def test_what_is_doubtful_is_painted_but_not_read() -> None:
    def doubt(z: int, found: Carried) -> Carried:
        poor = replace(found, mask=replace(found.mask, score=0.2))
        return poor if (z, found.label) == (3, 2) else found

    truth = squares(8, _1=range(8), _2=range(8))
    stepper = Scripted(doubt)
    found = follow(truth, [0], stepper=stepper)
    assert np.array_equal(found.labels, truth)
    (entry,) = found.review
    assert entry == Doubt(entry.address, 2, pytest.approx(0.2), ("low score 0.20",))
    assert entry.address.index == {"z": 3}
    near, far = stepper.read[4][:2]
    assert (near.distance, far.distance) == (1, 2)
    assert set(np.unique(near.labels)) == {0, 1}
    assert set(np.unique(far.labels)) == {0, 1, 2}


def test_an_object_that_goes_on_failing_ends() -> None:
    def doubt(z: int, found: Carried) -> Carried:
        return replace(found, mask=replace(found.mask, score=0.2)) if z >= 3 else found

    found = follow(squares(10, _1=range(10)), [0], stepper=Scripted(doubt))
    assert places(found) == {1: [0, 1, 2, 3, 4, 5]}
    told = {d.address.index["z"]: d.reasons for d in found.review}
    assert told == {
        3: ("low score 0.20",),
        4: ("low score 0.20",),
        5: ("low score 0.20", "not followed further"),
    }


def test_what_is_hopeless_is_not_painted_and_told_once() -> None:
    def lose(z: int, found: Carried) -> Carried:
        return replace(found, mask=replace(found.mask, score=0.1)) if z >= 3 else found

    found = follow(squares(10, _1=range(10)), [0], stepper=Scripted(lose))
    assert places(found) == {1: [0, 1, 2]}
    assert {d.address.index["z"]: d.reasons for d in found.review} == {3: ("ends here",)}
    assert (found.confidence[0, 3:6] == 0).all()


def test_the_surer_object_is_on_top_and_neighbours_stay_apart() -> None:
    def grow(z: int, found: Carried) -> Carried:
        score = {1: 0.9, 2: 0.8}[found.label]
        box = found.mask.box
        wide = Box(box.y0, max(0, box.x0 - 6), box.y1, box.x1 + 6)
        return replace(found, mask=PlacedMask(wide, np.ones(wide.shape, bool), score))

    truth = squares(2, _1=range(2), _2=range(2))
    found = follow(truth, [0], stepper=Scripted(grow), within=(0, 2))
    row = found.labels[1, 10]
    assert (row[:22] == 1).all()
    assert (row[22:38] == 2).all()


def test_an_object_swallowed_by_another_is_doubted() -> None:
    def jump(z: int, found: Carried) -> Carried:
        if found.label == 2:
            return replace(found, mask=replace(found.mask, score=0.7))
        box = Box(8, 4, 20, 32)
        mask = PlacedMask(box, np.ones(box.shape, bool), 0.9)
        return replace(found, mask=mask, expected=mask)

    found = follow(squares(3, _1=range(3), _2=range(3)), [0], stepper=Scripted(jump))
    (first, *_) = [d for d in found.review if d.label == 2]
    assert first.reasons == ("covered by others, 0% left",)


def test_two_runs_that_disagree_are_told() -> None:
    left, right = np.zeros((2, 32, 64), int)
    left[4:12, 4:12] = right[4:12, 40:48] = 1
    for depth, plane in ((7, 3), (8, 3)):
        found = propagate(
            blank((depth, 32, 64)), {0: left, depth - 1: right}, stepper=CopyStepper()
        )
        (entry,) = found.review
        assert entry.address.index["z"] == plane
        assert entry.reasons == ("two runs disagree: overlap 0.00",)


def test_one_run_that_lost_it_is_told() -> None:
    truth = squares(9, _1=range(9), _2=range(3))
    found = propagate(blank((9, 32, 64)), {0: truth[0], 8: truth[8]}, stepper=CopyStepper())
    (entry,) = found.review
    assert (entry.label, entry.reasons) == (2, ("two runs meet, and one has lost it",))
    assert entry.address.index["z"] == 4


def test_review_is_sorted_worst_first() -> None:
    def doubt(z: int, found: Carried) -> Carried:
        return replace(found, mask=replace(found.mask, score=0.2 + 0.01 * abs(z - 5)))

    found = follow(squares(10, _1=range(10)), [4], stepper=Scripted(doubt))
    sure = [d.confidence for d in found.review]
    assert sure == sorted(sure)
    assert len(sure) == 6


# -- symmetry ------------------------------------------------------------------------------------


def flip(examples: Mapping[int, NDArray], depth: int) -> dict[int, NDArray]:
    return {depth - 1 - z: labels for z, labels in examples.items()}


@SLOW
@given(st.integers(0, 50), st.sets(st.integers(0, 14), min_size=1, max_size=4), st.booleans())
def test_a_mirrored_stack_gives_mirrored_labels(seed: int, at: set[int], copy: bool) -> None:
    truth = drifting(15, seed=seed)
    results = []
    for stack in (truth, truth[::-1]):
        source = truth_stack(stack)
        examples = {z: truth[z] for z in sorted(at)}
        stepper = CopyStepper() if copy else PerfectStepper(source)
        if stack is not truth:
            examples = flip(examples, len(truth))
        results.append(propagate(source, examples, stepper=stepper))
    assert np.array_equal(results[0].labels, results[1].labels[::-1])
    assert np.array_equal(results[0].confidence, results[1].confidence[:, ::-1], equal_nan=True)


@SLOW
@given(st.integers(0, 50), st.permutations([1, 2, 3]))
def test_other_ids_give_the_same_picture(seed: int, names: list[int]) -> None:
    truth = drifting(9, seed=seed)
    ids = np.array([0, *names]) * 1000
    source = truth_stack(truth)
    for stepper in (CopyStepper(), PerfectStepper(source)):
        plain = propagate(source, {2: truth[2], 7: truth[7]}, stepper=stepper)
        named = propagate(source, {2: ids[truth[2]], 7: ids[truth[7]]}, stepper=stepper)
        assert np.array_equal(ids[plain.labels], named.labels)


def test_the_order_of_examples_does_not_matter() -> None:
    truth = drifting(12, seed=5)
    source = truth_stack(truth)
    one = {z: truth[z] for z in (1, 5, 10)}
    other = dict(reversed(one.items()))
    a, b = (propagate(source, e, stepper=CopyStepper()) for e in (one, other))
    assert np.array_equal(a.labels, b.labels)


# -- streaming, stopping, correcting --------------------------------------------------------------


def test_planes_are_told_as_they_are_done() -> None:
    truth = drifting(6)
    source = truth_stack(truth)
    steps = propagate_steps(source, {2: truth[2]}, stepper=PerfectStepper(source))
    done = [p for p in steps if p.stage == "write"]
    assert [p.text for p in done] == [f"plane {n} of 6" for n in range(1, 7)]
    assert [(p.done, p.total) for p in done] == [(n, 6) for n in range(1, 7)]
    assert [p.partial.address.index["z"] for p in done] == [2, 1, 3, 0, 4, 5]
    for p in done:
        assert isinstance(p.partial, PlaneDone)
        assert np.array_equal(p.partial.labels, truth[p.partial.address.index["z"]])
        assert set(p.partial.confidence) == {1, 2, 3}


def test_labels_need_not_be_collected() -> None:
    truth = drifting(4)
    source = truth_stack(truth)
    found = drain(
        propagate_steps(source, {0: truth[0]}, stepper=PerfectStepper(source), collect=False)
    )
    assert found.labels is None
    assert found.confidence.shape == (3, 4)


def run(source: object, examples: Mapping[int, NDArray], steps: MemorySteps) -> list[int]:
    """Propagate; return the planes that had to be done."""
    stepper = CountingStepper()
    propagate(source, examples, stepper=stepper, steps=steps)
    return sorted(a.index["z"] for a in stepper.asked)


def test_a_closed_run_goes_on_where_it_was() -> None:
    truth, source, steps = squares(10, _1=range(10)), blank((10, 32, 64)), MemorySteps()
    stepper = CountingStepper()
    job = propagate_steps(source, {0: truth[0]}, stepper=stepper, steps=steps)
    for progress in job:
        if progress.stage == "write" and progress.done == 5:
            job.close()
    assert len(stepper.asked) == 4
    assert run(source, {0: truth[0]}, steps) == [5, 6, 7, 8, 9]
    assert run(source, {0: truth[0]}, steps) == []


def test_a_correction_does_again_only_what_depends_on_it() -> None:
    truth, source, steps = squares(30, _1=range(30)), blank((30, 32, 64)), MemorySteps()
    first = {10: truth[10], 20: truth[20]}
    assert len(run(source, first, steps)) == 28
    corrected = np.roll(truth[25], 1, axis=0)
    assert run(source, {**first, 25: corrected}, steps) == [21, 22, 23, 24, 26, 27, 28, 29]
    assert run(source, first, steps) == [], "going back costs nothing"


def test_a_changed_image_is_noticed() -> None:
    truth, steps = squares(8, _1=range(8)), MemorySteps()
    pixels = np.zeros((8, 32, 64), np.uint8)
    source = open_source(pixels, axes="zyx", window=(0, 255))
    run(source, {0: truth[0]}, steps)
    pixels[5] = 9
    assert run(source, {0: truth[0]}, steps) == [5, 6, 7]


def test_an_example_edited_while_it_runs_changes_nothing() -> None:
    truth, source = squares(6, _1=range(6)), blank((6, 32, 64))
    edited = truth[0].copy()
    steps = propagate_steps(source, {0: edited}, stepper=CopyStepper())
    next(steps)
    edited[:] = 9
    found = drain(steps)
    assert np.array_equal(found.labels, truth)


def test_another_gate_or_stepper_does_all_again() -> None:
    truth, source, steps = squares(4, _1=range(4)), blank((4, 32, 64)), MemorySteps()
    run(source, {0: truth[0]}, steps)
    stepper = CountingStepper()
    propagate(source, {0: truth[0]}, stepper=stepper, steps=steps, patience=1)
    assert len(stepper.asked) == 3


class Carrying(CopyStepper):
    """Hands on how far it has come, and needs to know how far those before had."""

    key = "carrying"

    def step(self, address, before, anchors):
        step = yield from super().step(address, before, anchors)
        far = 1 + max(int(s.carry["far"][0]) for s in before if s.carry) if before[0].carry else 1
        assert far == min(abs(address.index["z"] - a.address.index["z"]) for a in anchors)
        return Step(step.objects, {"far": np.full(1000, far)})


@pytest.mark.parametrize("room", [0, 20_000, 1 << 30])
@pytest.mark.parametrize("held", [0, 1 << 30])
def test_dropped_carry_is_made_again(room: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation_run, "RECENT_BYTES", held)
    truth, source, steps = squares(20, _1=range(20)), blank((20, 32, 64)), MemorySteps(room)
    propagate(source, {0: truth[0]}, stepper=Carrying(), steps=steps, within=(0, 15))
    stepper = CountingStepper(Carrying())
    propagate(source, {0: truth[0]}, stepper=stepper, steps=steps)
    again = len(stepper.asked) - 5
    assert again == 0 if room == 1 << 30 else again > 0


def test_too_little_room_for_two_runs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation_run, "RECENT_BYTES", 0)
    truth, source, steps = squares(30, _1=range(30)), blank((30, 32, 64)), MemorySteps(0)
    with pytest.raises(StoreError, match="no room for what steps hand on"):
        propagate(source, {0: truth[0], 28: truth[28]}, stepper=Carrying(), steps=steps)


# -- bad input -----------------------------------------------------------------------------------

PLANE = np.ones((20, 24), np.uint8)


@pytest.mark.parametrize(
    ("examples", "options", "error", "said"),
    [
        ({}, {}, LabelsError, "no example shows an object"),
        ({0: PLANE * 0}, {}, LabelsError, "no example shows an object"),
        ({9: PLANE}, {}, LabelsError, "the example at z=9 is outside z=0:6"),
        ({-1: PLANE}, {}, LabelsError, "the example at z=-1 is outside z=0:6"),
        ({1: PLANE}, {"within": (2, 5)}, LabelsError, "the example at z=1 is outside z=2:5"),
        ({"a": PLANE}, {}, LabelsError, "an example at 'a'"),
        ({(1, 2): PLANE}, {}, LabelsError, "an example at (1, 2)"),
        ({0: PLANE[:3]}, {}, LabelsError, "labels of shape (3, 24) for a plane of (20, 24)"),
        ({0: PLANE[None]}, {}, LabelsError, "labels of shape (1, 20, 24)"),
        ({0: PLANE * 0.5}, {}, LabelsError, "labels of type float64 are no ids"),
        ({0: PLANE * -1.0}, {}, LabelsError, "labels of type float64 are no ids"),
        ({0: -PLANE.astype(int)}, {}, LabelsError, "ids from -1 to -1"),
        ({0: PLANE.astype(int) << 33}, {}, LabelsError, "ids from 8589934592"),
        ({0: PLANE}, {"within": (3, 3)}, SourceError, "the range z=3:3 is empty"),
        ({0: PLANE}, {"within": (0, 7)}, SourceError, "the range z=0:7 is empty or outside"),
        ({0: PLANE}, {"within": {"t": (0, 1)}}, SourceError, "a range of t"),
        ({0: PLANE}, {"axis": "y"}, SourceError, "axis y is displayed"),
        ({0: PLANE}, {"axis": "q"}, SourceError, "axis q is not an axis of the image"),
        ({0: PLANE}, {"axis": ("z", "z")}, SourceError, "different axes"),
        ({0: PLANE}, {"axis": ()}, SourceError, "different axes"),
        ({0: PLANE}, {"plane": {"t": 1}}, SourceError, "axis t is not an axis"),
        ({0: PLANE}, {"stepper": None}, ModelError, "nothing to carry labels with"),
    ],
)
def test_bad_input_is_one_line(
    examples: dict, options: dict, error: type[DittoError], said: str
) -> None:
    with pytest.raises(error) as caught:
        propagate(blank(), examples, **{"stepper": CopyStepper(), **options})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_axis_of_one_plane_is_refused() -> None:
    with pytest.raises(SourceError, match="axis z has one plane only"):
        propagate(blank((1, 20, 24)), {0: PLANE}, stepper=CopyStepper())


def test_one_axis_of_one_plane_among_two_is_fine() -> None:
    found = propagate(blank((1, 6, 20, 24)), {(0, 2): PLANE}, ("t", "z"), stepper=CopyStepper())
    assert found.labels.all()


def test_the_address_of_a_doubt_opens_the_plane() -> None:
    source = blank((2, 6, 20, 24))
    plane = np.zeros((20, 24), int)
    plane[4:12, 4:12] = 1
    moved = np.roll(plane, 10, axis=1)
    found = propagate(source, {0: plane, 5: moved}, plane={"t": 1}, stepper=CopyStepper())
    (entry,) = found.review
    assert entry.address == PlaneAddress("y", "x", (("t", 1), ("z", 2)))
    assert found.labels[1].any()
    assert not found.labels[0].any()
