"""Runs over whole images as the controller has them: viewer, docks and engine are stand-ins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock, create_autospec

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import ModelRef, Plan, SourceRef, Task
from napari_ditto.data.source import open_source
from napari_ditto.engine.whole.work import Failure, RunSummary
from napari_ditto.errors import JobCancelled, SourceError, StoreError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.examples.bench import NOT_RUN
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.session import Choice, Session
from napari_ditto.ui.views import Scene
from napari_ditto.ui.whole.jobs import Ended, Looked, Opened, Planned
from napari_ditto.ui.whole.last_run import remembered_run
from napari_ditto.ui.whole.runs import WholeRuns
from napari_ditto.ui.whole.session import AxisRange, Cost, Counts, Found
from napari_ditto.ui.whole.watching import Standing
from napari_ditto.ui.workshop import Workshop
from tests.ui.inline import InlineRunner

SHAPE = (4, 1000, 1000)
PLANE = PlaneAddress("y", "x", (("z", 2),))
COST = Cost(36, 4, 30.0, 10**6, 10**12)


class ClosingRunner(InlineRunner):
    """Remembers how long a close was to wait."""

    def close(self, seconds=5.0):
        self.closed_within = seconds
        return super().close(seconds)


class FakeJobs:
    """Plans at once; runs what the test says."""

    def __init__(self, tmp_path):
        self.tmp_path, self.orders, self.runs = tmp_path, [], []
        self.found, self.cost, self.steps = None, COST, lambda control: iter(())
        self.summary = None

    def plan(self, order):
        return Plan(
            Task("all"), SourceRef("cells", None, ((0.0, 1.0),)), ModelRef("blob", "blob-1"),
            str(order.target), ("z", "y", "x"), SHAPE, (1.0,) * 3, ("y", "x"), (("z", 0, 4),),
            448, 32,
        )  # fmt: skip

    def look(self, order):
        yield Progress("read")
        self.orders.append(order)
        return Looked(order.target, self.found, self.cost)

    def order(self, order):
        yield Progress("read", text="loading the model blob")
        self.orders.append(order)
        return Planned(self.plan(order), None, self.cost)

    def run(self, order, plan, lesson, control):
        self.runs.append((order, plan))
        yield Progress("read", partial=Opened((np.zeros(SHAPE, np.uint32),)))
        yield from self.steps(control)
        store = MagicMock()
        summary = self.summary or RunSummary(
            Path(plan.target), 36, 36, 0, 3, (), 1234, 61.0, "finished"
        )
        return Ended(summary, store, {"model": "blob"})

    def measured(self, plan, seconds):
        self.seconds = seconds


@pytest.fixture
def scene(tmp_path):
    scene = create_autospec(Scene, instance=True, spec_set=False)
    scene.viewer_for_parts = None
    scene.address.return_value = PLANE
    scene.runs.area_choices.return_value = (Choice("sh", "areas"),)
    scene.runs.image_path.return_value = tmp_path / "cells.tif"
    scene.runs.show_run.return_value = "run"
    scene.runs.areas.return_value = (((0.0, 0.0), (0.0, 9.0), (9.0, 9.0)),)
    scene.stage.view_box.return_value = Box(10, 20, 30, 40)
    scene.stage.name.return_value = ""
    return scene


@pytest.fixture
def jobs(tmp_path):
    return FakeJobs(tmp_path)


@pytest.fixture
def asking():
    return MagicMock()


@pytest.fixture
def runs(scene, jobs, asking):
    session = Session(images=("im",), model="blob")
    session.address = PLANE
    desk = Desk(session, scene, ClosingRunner(), Workshop())
    proposing = create_autospec(Proposing, instance=True)
    proposing.setup.return_value = Setup(open_source(np.zeros(SHAPE, np.uint8)), "blob", "cpu")
    made = WholeRuns(desk, proposing, ExamplesSession(), asking, ClosingRunner(), MagicMock(), jobs)
    made.choose("whole_open", "all")
    return made


def press(runs, name):
    runs.actions[f"whole_{name}"]()


def status(runs, kind="all"):
    return runs.shown()[kind].status


def test_opening_the_section_estimates_and_names_a_target(runs, tmp_path):
    state = runs.state
    assert state.cost == COST
    assert state.target == str(tmp_path / "cells-ditto.ome.zarr")
    assert state.axes == (AxisRange("z", 4, 0, 3),)
    assert state.join == "z"
    assert "memory of this program" in state.why_no_cluster


def test_nothing_is_estimated_for_nobody(runs, jobs):
    runs.choose("whole_closed", "like")
    assert runs.state.is_open
    runs.choose("whole_closed", "all")
    count = len(jobs.orders)
    runs.refresh()
    assert len(jobs.orders) == count


def test_an_order_says_what_was_chosen(runs, jobs):
    for name, value in (
        ("part", "areas"), ("planes", "range"), ("range", ("z", 3, 1)), ("join", "none"),
        ("skip_empty", False), ("workers", 3), ("target", "/data/other.ome.zarr"),
    ):  # fmt: skip
        runs.choose(f"whole_{name}", value)
    order = jobs.orders[-1]
    assert order.region == (((0.0, 0.0), (0.0, 9.0), (9.0, 9.0)),)
    assert order.within == {"z": (1, 4)}
    assert (order.join, order.skip_empty, order.workers) == ("none", False, 3)
    assert (order.target, order.given) == (Path("/data/other.ome.zarr"), True)
    runs.choose("whole_part", "view")
    runs.choose("whole_planes", "this")
    order = jobs.orders[-1]
    assert order.region == (((9.5, 19.5), (9.5, 39.5), (29.5, 39.5), (29.5, 19.5)),)
    assert (order.within, order.join) == ({"z": (2, 3)}, "none")


def test_an_area_that_is_missing_is_told_in_one_line(runs, scene):
    scene.runs.areas.side_effect = SourceError("no area is drawn", todo="Draw one")
    runs.choose("whole_part", "areas")
    assert status(runs) == "no area is drawn. Draw one"
    assert runs.shown()["all"].troubled
    runs.choose("whole_part", "whole")
    assert status(runs) == ""


def test_a_run_shows_its_layer_and_ends_with_a_store(runs, scene, jobs):
    press(runs, "start")
    scene.runs.show_run.assert_called_once()
    assert scene.runs.finish_run.call_args.args[0] == "run"
    assert runs.state.phase == "idle"
    assert status(runs) == "Finished: 1,234 objects in 61 s"
    assert remembered_run() == ""


def test_the_run_does_not_keep_the_dock_busy(runs):
    assert runs._desk.session.working == ""
    press(runs, "start")
    assert runs._desk.session.working == ""


def test_only_a_long_run_is_asked_about(runs, jobs, asking):
    jobs.cost = replace(COST, seconds=7200.0, measured=True)
    asking.confirm.return_value = False
    runs.choose("whole_workers", 2)
    press(runs, "start")
    asking.confirm.assert_called_once()
    assert "about 60 min" in asking.confirm.call_args.args[0]
    assert status(runs) == NOT_RUN
    assert not jobs.runs


def test_pause_and_go_on_reach_the_engine(runs, jobs):
    seen = []

    def steps(control):
        yield Progress("tiles", 3, 36, partial=Standing("tiles", 3, 36, fresh=3, known=3))
        press(runs, "pause")
        seen.append((control.paused, runs.state.phase, status(runs)))
        press(runs, "pause")
        seen.append((control.paused, runs.state.phase, runs.state.counts))
        yield Progress("pairs", 1, 4, partial=Standing("pairs", 1, 4))
        seen.append(status(runs))

    jobs.steps = steps
    press(runs, "start")
    assert seen == [
        (True, "paused", "Paused, tile 3 of 36"),
        (False, "running", Counts(36, 3)),
        "comparing tiles over their seams",
    ]


def test_cancel_keeps_what_is_done_and_offers_to_resume(runs, jobs, tmp_path):
    def steps(control):
        yield Progress("tiles", 5, 36, partial=Standing("tiles", 5, 36, known=5))
        press(runs, "cancel")
        assert runs.state.phase == "stopping"
        Path(jobs.runs[0][1].target).mkdir()
        jobs.found = Found(jobs.runs[0][1], 5)
        control.check()

    jobs.steps = steps
    press(runs, "start")
    assert status(runs) == "Stopped: 5 of 36 tiles are done and kept. Resume when you like"
    assert runs.shown()["all"].start == "Resume (5 of 36 tiles done)"
    assert remembered_run() == str(tmp_path / "cells-ditto.ome.zarr")
    jobs.steps = lambda control: iter(())
    press(runs, "start")
    assert len(jobs.runs) == 2
    assert jobs.runs[1][1] is jobs.runs[0][1], "a run is resumed with its own plan"
    assert remembered_run() == ""


def test_start_anew_takes_another_name(runs, jobs, tmp_path):
    (tmp_path / "cells-ditto.ome.zarr").mkdir()
    jobs.found = Found(jobs.plan(jobs.orders[-1]), 5)
    runs.refresh()
    press(runs, "anew")
    assert jobs.runs[0][0].target == tmp_path / "cells-ditto-2.ome.zarr"


def test_failed_tiles_are_listed_shown_and_tried_again(runs, jobs, scene):
    failed = (Failure(7, "z=1, rows 0 to 448, columns 384 to 832", "the disk broke"),)
    jobs.summary = RunSummary(Path("/x"), 36, 35, 0, 0, failed, 99, 10.0, "incomplete")
    press(runs, "start")
    shown = runs.shown()["all"]
    assert shown.status == "99 objects in 10 s; 1 of 36 tiles failed and are empty"
    assert shown.failures == ((7, "z=1, rows 0 to 448, columns 384 to 832: the disk broke"),)
    assert shown.retry == "Retry the failed tile"
    runs.choose("whole_failure", 7)
    images, address, box = scene.runs.go_to_tile.call_args.args
    assert (images, address.index) == (("im",), {"z": 0})
    assert box == jobs.runs[0][1].tile(7).core
    scene.stage.name.return_value = "Ditto run"
    jobs.summary = None
    press(runs, "retry")
    assert jobs.runs[1][1] is jobs.runs[0][1]
    scene.runs.begin_again.assert_called_once_with("run")
    assert scene.runs.show_run.call_count == 1, "the layer that is there is used again"
    assert runs.shown()["all"].failures == ()


@pytest.mark.parametrize("error", [StoreError("the disk is full"), SourceError("it is gone")])
def test_trouble_is_one_line_and_the_run_can_be_resumed(runs, jobs, error, tmp_path):
    (tmp_path / "cells-ditto.ome.zarr").mkdir()

    def steps(control):
        yield Progress("tiles", 5, 36, partial=Standing("tiles", 5, 36, known=5))
        raise error

    jobs.steps = steps
    press(runs, "start")
    assert status(runs) == str(error)
    assert runs.state.phase == "idle"
    assert remembered_run()
    runs.refresh()
    assert status(runs) == str(error), "it stays until the next run"


def test_a_run_of_another_image_is_not_gone_on_with(runs, jobs):
    other = replace(jobs.plan(jobs.orders[-1]), shape=(4, 500, 500))
    runs.state.found = Found(other, 5)
    with pytest.raises(SourceError, match="of shape"):
        press(runs, "start")
    assert runs.state.phase == "idle"


def test_what_is_finished_is_shown(runs, jobs, scene):
    jobs.show = lambda target: iter_of(MagicMock(levels=[1, 2], provenance={}))
    runs.state.found = Found(jobs.plan(jobs.orders[-1]), 36, finished=True)
    assert runs.shown()["all"].start == "Show the labels"
    press(runs, "start")
    assert scene.runs.show_run.call_args.args == (("im",), [1, 2])
    assert scene.runs.finish_run.called
    scene.stage.name.return_value = "Ditto run"
    runs.state.found = Found(jobs.plan(jobs.orders[-1]), 36, finished=True)
    press(runs, "start")
    assert status(runs) == "These labels are on show already"
    assert scene.runs.show_run.call_count == 1


def test_cancel_while_it_starts_ends_it_at_once(runs, jobs):
    def steps(control):
        assert runs.state.phase == "starting"
        press(runs, "cancel")
        assert runs.state.phase == "idle"
        yield Progress("tiles", 1, 36, partial=Standing("tiles", 1, 36, known=1))

    jobs.steps = steps
    press(runs, "start")
    assert status(runs) == NOT_RUN
    assert runs.state.counts == Counts()


def iter_of(result):
    yield Progress("read")
    return result


def test_a_run_left_by_another_session_can_be_taken_up(runs, tmp_path):
    from napari_ditto.ui.whole.last_run import remember_run

    left = tmp_path / "left.ome.zarr"
    left.mkdir()
    remember_run(str(left))
    runs.choose("whole_open", "like")
    assert runs.shown()["like"].offer == "Unfinished: left.ome.zarr"
    press(runs, "last")
    assert runs.state.target == str(left)
    assert runs.shown()["like"].offer == ""


def test_closing_cancels_and_waits_three_seconds(runs, jobs):
    runs.close()
    assert runs._control.cancelled
    assert runs._runner.closed_within == 3.0
    with pytest.raises(JobCancelled):
        runs._control.check()
