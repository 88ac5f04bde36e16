"""Stacks of large planes followed in columns: as if they were followed as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from napari_ditto.core.control import Control
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.propagation import Carried, Step
from napari_ditto.core.run_plan import ModelRef
from napari_ditto.data.column_folder import ColumnFolder
from napari_ditto.data.source import open_source
from napari_ditto.engine.propagate import propagate
from napari_ditto.engine.whole.columns import LEAST_HALO, cut, extents, joined
from napari_ditto.engine.whole.columns_plan import ColumnPlan
from napari_ditto.engine.whole.columns_planning import plan_columns_steps
from napari_ditto.engine.whole.columns_run import ColumnsResult, run_columns_steps
from napari_ditto.engine.whole.columns_worker import LEFT, column_worker_for
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.errors import JobCancelled, LabelsError, SourceError, StoreError
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.testing.scenes import disc, truth_stack
from napari_ditto.testing.steppers import CopyStepper, CountingStepper, PerfectStepper

SIDE, HALO, SHAPE = 100, 40, (210, 230)
STEPPER = ModelRef("", "perfect")


def scene(depth: int, seed: int = 0, count: int = 24) -> NDArray[np.int32]:
    """Discs on a jittered grid that drift by less than the halo; one lies on a four-corner."""
    rng = np.random.default_rng(seed)
    grid = [(y, x) for y in range(24, SHAPE[0] - 12, 45) for x in range(24, SHAPE[1] - 12, 45)]
    places = [(100.0, 100.0), *(p for p in grid if max(abs(p[0] - 100), abs(p[1] - 100)) > 30)]
    stack = np.zeros((depth, *SHAPE), np.int32)
    for n, (y, x) in enumerate(places[:count], 1):
        dy, dx = rng.uniform(-0.8, 0.8, 2)
        for z in range(depth):
            stack[z][disc(SHAPE, (y + z * dy, x + z * dx), 7 + n % 4)] = n
    return stack


def follow(
    truth: NDArray[Any],
    anchors: Sequence[int],
    target: Path,
    *,
    axis: str = "z",
    stepper: Any = PerfectStepper,
    executor: Any = None,
    control: Control | None = None,
    **options: Any,
) -> ColumnsResult:
    source = truth_stack(truth, f"{axis}yx")
    examples = {i: truth[i] for i in anchors}
    options = {"side": SIDE, "halo": HALO, **options}
    plan = drain(plan_columns_steps(source, examples, axis, STEPPER, target, **options))
    steps = run_columns_steps(
        plan, source, executor=executor, control=control, make_stepper=stepper
    )
    return drain(steps)


def labels_of(result: ColumnsResult) -> NDArray[Any]:
    return np.asarray(result.found.labels[:])


# -- how a plane is cut ----------------------------------------------------------------------------


def test_every_object_belongs_to_the_column_of_its_centroid() -> None:
    truth = scene(1)[0]
    found = extents(truth)
    cut_into = cut(found, SHAPE, side=SIDE, halo=HALO)
    assert sorted(n for c in cut_into for n in c.ids) == sorted(set(truth.ravel()) - {0})
    for column in cut_into:
        for n in column.ids:
            rows, columns = np.nonzero(truth == n)
            seen = Box(rows.min() - HALO, columns.min() - HALO, rows.max() + 1, columns.max() + 1)
            assert column.window.covers(seen.intersect(Box.of_shape(SHAPE)))
            assert found[n].center == pytest.approx((rows.mean(), columns.mean()))


def test_extents_of_bands_are_those_of_the_plane() -> None:
    truth = scene(1)[0]
    bands = [extents(truth[top : top + 17], top) for top in range(0, SHAPE[0], 17)]
    assert joined(bands, same_plane=True) == extents(truth)


def test_the_margin_is_twice_the_longest_object_and_not_less_than_64() -> None:
    plane = np.zeros((1000, 1000), int)
    plane[500:504, 480:580] = 1
    plane[10:14, 10:14] = 2
    long, short = reversed(cut(extents(plane), plane.shape, side=256))
    assert long.window == Box(300, 280, 704, 780)
    assert short.window == Box(0, 0, 14 + LEAST_HALO, 14 + LEAST_HALO)


def test_a_region_chooses_the_objects_that_touch_it() -> None:
    truth = scene(1)[0]
    chosen = cut(extents(truth), SHAPE, region=Box(90, 90, 110, 110), side=SIDE, halo=HALO)
    assert [c.ids for c in chosen] == [(int(truth[100, 100]),)]


# -- as one ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "anchors"), [("z", [4]), ("t", [0, 7])])
def test_cut_equals_uncut(axis: str, anchors: list[int], tmp_path: Path) -> None:
    truth = scene(9)
    source = truth_stack(truth, f"{axis}yx")
    whole = propagate(source, {i: truth[i] for i in anchors}, axis, stepper=PerfectStepper(source))
    found = follow(truth, anchors, tmp_path / "a.zarr", axis=axis)
    assert found.summary.tiles > 4
    assert np.array_equal(labels_of(found), whole.labels)
    assert found.found.ids == whole.ids
    np.testing.assert_array_equal(found.found.confidence, whole.confidence)
    assert found.found.review == whole.review
    assert found.summary.state == "finished"


def test_who_works_decides_nothing(tmp_path: Path) -> None:
    truth = scene(5)
    one = follow(truth, [2], tmp_path / "a.zarr")
    three = follow(truth, [2], tmp_path / "b.zarr", executor=ThreadExecutor(3))
    assert np.array_equal(labels_of(one), labels_of(three))
    assert one.found.review == three.found.review


class Meeting(CopyStepper):
    """Moves object 2 to the right and object 1 to the left, by 5 pixels a plane."""

    def step(self, address: Any, before: Any, anchors: Any) -> Any:
        step = yield from super().step(address, before, anchors)
        return Step(tuple(self.move(c) for c in step.objects))

    def move(self, carried: Carried) -> Carried:
        shift = 5 if carried.label == 2 else -5
        moved = PlacedMask(carried.mask.box.shift(0, shift), carried.mask.mask)
        return Carried(carried.label, moved, moved)


def test_where_two_columns_claim_a_pixel_the_lower_one_has_it(tmp_path: Path) -> None:
    truth = np.zeros((4, 120, 220), np.int32)
    truth[0, 40:60, 70:90], truth[0, 40:60, 110:130] = 2, 1
    options = {"stepper": lambda _: Meeting(), "halo": 20}
    found = labels_of(follow(truth, [0], tmp_path / "a.zarr", **options))
    assert found[3, 50, 84:116].tolist() == [0, *[2] * 20, *[1] * 10, 0]


# -- what is finished is kept ----------------------------------------------------------------------


class Cancelling(CopyStepper):
    """Cancels when so many planes were asked about, of any column."""

    asked = 0

    def __init__(self, control: Control, at: int) -> None:
        self.control, self.at = control, at

    def step(self, address: Any, before: Any, anchors: Any) -> Any:
        type(self).asked += 1
        if type(self).asked == self.at:
            self.control.cancel()
        return (yield from super().step(address, before, anchors))


@pytest.mark.parametrize("at", [3, 30])
def test_a_cancelled_run_goes_on_and_does_nothing_twice(at: int, tmp_path: Path) -> None:
    truth = np.repeat(scene(1), 6, axis=0)
    whole = follow(truth, [2], tmp_path / "whole.zarr", stepper=lambda _: CopyStepper())
    control, target = Control(), tmp_path / "a.zarr"
    Cancelling.asked = 0
    with pytest.raises(JobCancelled):
        follow(truth, [2], target, stepper=lambda _: Cancelling(control, at), control=control)
    counting = CountingStepper()
    again = follow(truth, [2], target, stepper=lambda _: counting)
    # The plane in which it was cancelled is the only one that may be asked about twice.
    planes = whole.summary.tiles * 5
    assert planes - at <= len(counting.asked) <= planes - at + 1
    assert np.array_equal(labels_of(again), labels_of(whole))
    assert again.found.review == whole.found.review
    third = follow(truth, [2], target, stepper=lambda _: counting)
    assert (third.summary.done, third.summary.reused) == (0, whole.summary.tiles)


def test_a_correction_does_only_the_columns_that_see_it(tmp_path: Path) -> None:
    truth, target = np.repeat(scene(1), 4, axis=0), tmp_path / "a.zarr"
    first = follow(truth, [1], target, stepper=lambda _: CopyStepper())
    corrected = truth.copy()
    corrected[1][truth[1] == truth[1, 24, 24]] = 0
    again = follow(corrected, [1], target, stepper=lambda _: CopyStepper())
    assert 0 < again.summary.done < first.summary.tiles
    expected = np.repeat(corrected[1:2], 4, axis=0)
    assert np.array_equal(labels_of(again), expected)
    assert len(list((target / ".ditto-run").glob("examples-*"))) == 1


def test_other_bounds_paint_what_they_need_and_no_more(tmp_path: Path) -> None:
    truth, target = np.repeat(scene(1), 6, axis=0), tmp_path / "a.zarr"
    other = np.where(truth == 1, 0, truth)
    copy: Any = {"stepper": lambda _: CopyStepper()}
    follow(truth, [3], target, within=(2, 5), **copy)
    follow(other, [3], target, within=(3, 5), **copy)
    found = labels_of(follow(truth, [3], target, within=(2, 5), **copy))
    assert np.array_equal(found[2:5], truth[2:5])
    assert not found[[0, 1, 5]].any()


@pytest.mark.parametrize("kind", ["done", "piece"])
def test_what_is_damaged_is_never_used(kind: str, tmp_path: Path) -> None:
    truth, target = np.repeat(scene(1), 3, axis=0), tmp_path / "a.zarr"
    whole = labels_of(follow(truth, [1], target, stepper=lambda _: CopyStepper()))
    files = sorted(
        (target / ".ditto-run" / "columns").rglob("done" if kind == "done" else "*.piece")
    )
    block = bytearray(files[0].read_bytes())
    block[len(block) // 2] ^= 1
    files[0].write_bytes(block)
    for plane in (target / ".ditto-run" / "painted").iterdir():
        plane.write_text("begun elsewhere")
    again = follow(truth, [1], target, stepper=lambda _: CopyStepper())
    assert again.summary.done == 1
    assert np.array_equal(labels_of(again), whole)


def test_damaged_examples_and_plans_are_never_used(tmp_path: Path) -> None:
    truth, target = scene(2), tmp_path / "a.zarr"
    follow(truth, [0], target)
    folder = ColumnFolder(target)
    plan = ColumnPlan.from_json(folder.read_plan() or {})
    kept = zarr.open_array(target / ".ditto-run" / plan.examples, mode="r+")
    kept[0, 20:30] = 1
    for done in (target / ".ditto-run" / "columns").rglob("done"):
        done.unlink()
    source = truth_stack(truth, "zyx")
    found = drain(run_columns_steps(plan, source, make_stepper=PerfectStepper))
    assert found.summary.failed
    assert {f.reason.partition(".")[0] for f in found.summary.failed} == {
        "the examples that were kept are damaged"
    }
    file = target / ".ditto-run" / "columns.json"
    file.write_bytes(file.read_bytes().replace(b'"patience": 2', b'"patience": 3'))
    with pytest.raises(StoreError, match="plan cannot be read"):
        folder.read_plan()
    assert np.array_equal(labels_of(follow(truth, [0], target)), truth)


def test_a_plan_is_told_and_read() -> None:
    with pytest.raises(StoreError, match="no plan of a propagation"):
        ColumnPlan.from_json({"kind": "propagate", "version": 1})


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    follow(scene(3), [1], tmp_path / "a.zarr")
    told = ColumnFolder(tmp_path / "a.zarr").read_plan()
    assert told is not None
    plan = ColumnPlan.from_json(told)
    assert plan.to_json() == told
    assert ColumnPlan.from_json(plan.to_json()).keys == plan.keys


# -- what goes wrong is told -----------------------------------------------------------------------


def test_an_object_that_leaves_its_window_is_listed(tmp_path: Path) -> None:
    truth = np.zeros((8, *SHAPE), np.int32)
    for z in range(8):
        truth[z][disc(SHAPE, (60, 30 + 4 * z), 9)] = 7
    found = follow(truth, [0], tmp_path / "a.zarr", halo=20)
    left = [d for d in found.found.review if LEFT in d.reasons]
    assert left
    assert {d.label for d in left} == {7}
    wide = follow(truth, [0], tmp_path / "b.zarr", halo=100)
    assert not [d for d in wide.found.review if LEFT in d.reasons]


def test_a_column_that_fails_is_listed_and_the_others_are_done(tmp_path: Path) -> None:
    truth = np.repeat(scene(1), 3, axis=0)
    bad = int(truth[0, 100, 100])

    class Failing(CopyStepper):
        def step(self, address: Any, before: Any, anchors: Any) -> Any:
            if (before[0].labels == bad).any() and len(np.unique(before[0].labels)) > 0:
                raise ValueError("no luck")
            return (yield from super().step(address, before, anchors))

    found = follow(truth, [1], tmp_path / "a.zarr", stepper=lambda _: Failing())
    assert found.summary.state == "incomplete"
    assert found.summary.failed
    assert all("no luck" in f.reason and "rows" in f.place for f in found.summary.failed)
    assert set(np.unique(labels_of(found)[2])) > {0}
    mended = follow(truth, [1], tmp_path / "a.zarr", stepper=lambda _: CopyStepper())
    assert mended.summary.done == len(found.summary.failed)
    assert np.array_equal(labels_of(mended), truth)


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ({0: np.zeros(SHAPE, int)}, "no example shows an object"),
        ({0: np.ones((3, 3), int)}, "labels of shape"),
        ({0: np.full(SHAPE, -1)}, "ids from"),
        ({0: np.ones(SHAPE, float)}, "are no ids"),
        ({9: np.ones(SHAPE, int)}, "outside"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    examples: dict[int, NDArray[Any]], said: str, tmp_path: Path
) -> None:
    source = open_source(np.zeros((3, *SHAPE), np.uint8), axes="zyx", window=(0, 255))
    with pytest.raises(LabelsError, match=said):
        drain(plan_columns_steps(source, examples, "z", STEPPER, tmp_path / "a.zarr"))
    assert not (tmp_path / "a.zarr").exists()


# -- in other processes ----------------------------------------------------------------------------


def saved(folder: Path) -> tuple[Any, NDArray[Any]]:
    """Write an image of two bright discs in three slices; return its source and labels."""
    truth = np.zeros((3, 64, 80), np.uint8)
    truth[:, 10:24, 10:24], truth[:, 40:52, 50:64] = 1, 2
    zarr.create_array(folder / "image.zarr", data=60 + 60 * truth, chunks=(1, 64, 64))
    return open_source(folder / "image.zarr", axes="zyx", window=(0, 255)), truth


def test_a_worker_of_another_process_does_the_same(tmp_path: Path) -> None:
    source, truth = saved(tmp_path)
    model, target = ClassicModel(), tmp_path / "a.zarr"
    ref = ModelRef(model.spec.id, model.spec.key)
    plan = drain(plan_columns_steps(source, {1: truth[1]}, "z", ref, target, side=40))
    worker = column_worker_for(str(target))
    assert worker is column_worker_for(str(target))
    for column in plan.columns:
        drain(worker.compute("tiles", column.number)).store()
    found = drain(run_columns_steps(plan, source, model))
    assert (found.summary.done, found.summary.reused) == (0, 2)
    here = propagate(source, {1: truth[1]}, "z", model, out=tmp_path / "b.zarr", workers=1)
    assert np.array_equal(labels_of(found) > 0, np.asarray(here.labels[:]) > 0)


@pytest.mark.skipif("DITTO_STRESS" not in os.environ, reason="starts processes; 'make stress'")
def test_dask_does_the_same(tmp_path: Path) -> None:
    source, truth = saved(tmp_path)
    found = [
        propagate(source, {1: truth[1]}, "z", ClassicModel(), out=tmp_path / f"{n}.zarr", **how)
        for n, how in enumerate(({"workers": 1}, {"dask": "local:2"}))
    ]
    assert np.array_equal(*(np.asarray(f.labels[:]) for f in found))
    np.testing.assert_array_equal(found[0].confidence, found[1].confidence)


def test_an_image_in_memory_stays_in_its_process(tmp_path: Path) -> None:
    follow(scene(2), [0], tmp_path / "a.zarr")
    with pytest.raises(SourceError, match="memory of another process"):
        column_worker_for(str(tmp_path / "a.zarr"))


def test_what_has_no_place_says_so() -> None:
    with pytest.raises(LabelsError, match="Give out="):
        propagate(truth_stack(scene(2)), {0: scene(1)[0]}, model=ClassicModel(), workers=2)
