"""The parts behind the section "Whole image" that need neither Qt nor napari."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import ModelRef, Plan, SourceRef, Task
from napari_ditto.engine.whole.work import TileDone
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.session import Session
from napari_ditto.ui.whole.differences import differences
from napari_ditto.ui.whole.last_run import remember_run, remembered_run
from napari_ditto.ui.whole.pace import Pace, duration, size
from napari_ditto.ui.whole.session import AxisRange, Cost, Counts, Found, WholeSession
from napari_ditto.ui.whole.setting_up import image_folder, usual_workers
from napari_ditto.ui.whole.state import resolve_whole
from napari_ditto.ui.whole.targets import free_name, suggest_target
from napari_ditto.ui.whole.watching import Standing, watched

PLAN = Plan(
    Task("all", True, {"min_area": 20}),
    SourceRef("cells", None, ((0.0, 255.0),)),
    ModelRef("classic", "classic-1"),
    "/data/cells-ditto.ome.zarr",
    ("z", "y", "x"),
    (60, 1000, 1000),
    (1.0, 1.0, 1.0),
    ("y", "x"),
    (("z", 0, 60),),
    448,
    32,
    join="z",
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


# --- time ----------------------------------------------------------------------------------------


def test_time_left_follows_what_items_have_taken():
    clock = Clock()
    pace = Pace(clock)
    clock.now = 50.0
    pace.count(0)
    assert pace.left(10) is None
    clock.now = 70.0
    pace.count(2)
    assert pace.left(10) == 100.0


def test_a_pause_takes_no_time():
    clock = Clock()
    pace = Pace(clock)
    clock.now = 20.0
    pace.pause()
    clock.now = 500.0
    pace.count(2)
    assert pace.left(1) == 10.0
    pace.resume()
    clock.now = 510.0
    pace.count(3)
    assert pace.left(1) == 10.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (840, "14 min"), (7100, "118 min"), (12000, "3 h 20 min"),
     (7200, "2 h"), (100_000, "28 h")],
)  # fmt: skip
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_sizes_are_said_as_people_do():
    assert [size(n) for n in (10, 340e6, 1.24e9)] == ["1 MB", "340 MB", "1.2 GB"]


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.tif", "a"), ("a.ome.zarr", "a"), ("a.b.zarr", "a.b"), ("a.ome.tif", "a")],
)
def test_labels_go_beside_the_image(tmp_path, name, stem):
    assert suggest_target(tmp_path / name, "x") == tmp_path / f"{stem}-ditto.ome.zarr"


def test_where_nothing_can_be_written_they_go_to_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    monkeypatch.setattr("platformdirs.user_documents_dir", lambda: str(tmp_path / "documents"))
    found = suggest_target(tmp_path / "a.tif", "x")
    assert found == tmp_path / "documents" / "a-ditto.ome.zarr"
    assert suggest_target(None, "my/cells: 1").name == "my-cells--1-ditto.ome.zarr"


def test_a_name_in_use_is_counted_on(tmp_path):
    names = []
    for _ in range(3):
        target = free_name(tmp_path / "a-ditto.ome.zarr")
        target.mkdir()
        names.append(target.name)
    assert names == ["a-ditto.ome.zarr", "a-ditto-2.ome.zarr", "a-ditto-3.ome.zarr"]
    assert free_name(tmp_path / "a-ditto-2.ome.zarr").name == "a-ditto-4.ome.zarr"


def test_a_level_of_an_image_stands_for_the_image(tmp_path):
    level = tmp_path / "a.ome.zarr" / "0"
    level.mkdir(parents=True)
    (level.parent / "zarr.json").write_text("{}")
    (level / "zarr.json").write_text("{}")
    assert image_folder(level) == level.parent
    assert usual_workers() >= 1


def test_the_last_run_is_remembered_while_it_is_there(tmp_path):
    assert remembered_run() == ""
    target = tmp_path / "a.ome.zarr"
    target.mkdir()
    remember_run(str(target))
    assert remembered_run() == str(target)
    target.rmdir()
    assert remembered_run() == ""


# --- watching ------------------------------------------------------------------------------------


def ran(steps):
    """Return the standings that a run's steps lead to, all told at once."""
    told = [p.partial for p in watched(steps, Clock())]
    return [standing for standing in told if standing is not None]


def steps():
    yield Progress("tiles", 2, 6)
    yield Progress("tiles", 3, 6, partial=TileDone(2, 5))
    yield Progress("tiles", 4, 6, partial=TileDone(3, 0, skipped=True))
    yield Progress("tiles", 4, 6)
    yield Progress("tiles", 5, 6)
    yield Progress("tiles", 6, 6, partial=TileDone(5, 1))
    yield Progress("pairs", 0, 6)
    yield Progress("pairs", 3, 6)
    return "summary"


def test_a_standing_counts_done_empty_and_failed_tiles():
    last_of_tiles = Standing()
    run = steps()
    for progress in run:
        if progress.stage == "tiles":
            last_of_tiles = last_of_tiles.after(progress)
    assert last_of_tiles == Standing("tiles", 6, 6, fresh=2, skipped=1, failed=1, known=5)
    standing = last_of_tiles.after(Progress("pairs", 0, 6)).after(Progress("pairs", 3, 6))
    assert (standing.stage, standing.done, standing.fresh, standing.failed) == ("pairs", 3, 3, 1)


def test_news_are_rare_and_the_last_is_told():
    standings = ran(steps())
    assert [(s.stage, s.done) for s in standings] == [("tiles", 2), ("pairs", 0), ("pairs", 3)]


# --- what differs --------------------------------------------------------------------------------


def test_plans_are_compared_in_words():
    assert differences(PLAN, replace(PLAN, target="/elsewhere")) == ""
    other = replace(PLAN, model=ModelRef("ditto", "ditto-1"), join="none", empty_below=0.04)
    assert differences(PLAN, other) == "model (classic), joining, empty tiles"
    like = replace(PLAN, task=Task("like", True, {"threshold": 0.0}))
    assert differences(PLAN, like) == "what is looked for (everything)"


# --- what is shown -------------------------------------------------------------------------------


def shown(kind="all", examples=None, **whole):
    session = Session(images=("im",), model="classic")
    from napari_ditto.core.geometry import PlaneAddress

    session.address = PlaneAddress()
    return resolve_whole(session, examples or ExamplesSession(), WholeSession(**whole), kind)


def test_a_run_is_offered_with_what_it_takes():
    state = shown(cost=Cost(420, 1, 840.0, 300_000_000, 10**12, measured=True), workers=2)
    assert state.note == "420 tiles, about 7 min, up to 300 MB on disk"
    assert state.start == "Run on the whole image"
    assert state.buttons["whole_start"].enabled
    assert state.what == "Every object, by classic"


def test_a_disk_that_is_too_small_is_told():
    state = shown(cost=Cost(9, 3, 0.0, 3 * 10**9, 10**9))
    assert state.note == "9 tiles on 3 planes, up to 3.0 GB on disk, only 1.0 GB free there"


def test_an_unfinished_run_is_offered_with_what_differs():
    state = shown(found=Found(PLAN, 312), differs="model (classic)")
    assert state.start == "Resume (312 of 540 tiles done)"
    assert "differ in model (classic)" in state.note
    assert state.anew


def test_what_is_left_of_a_run_is_told():
    cost = Cost(540, 60, 5400.0, 10**6, 10**12, measured=True)
    assert (
        shown(found=Found(PLAN, 312), cost=cost, workers=2).note == "228 tiles to go, about 19 min"
    )
    assert shown(found=Found(PLAN, 539)).note == "1 tile to go"


def test_something_else_at_the_target_cannot_be_overwritten():
    state = shown(found=Found(None, what="There is something else"))
    assert not state.buttons["whole_start"].enabled
    assert state.buttons["whole_start"].why == state.note == "There is something else"


def test_while_it_runs_the_status_tells_how_far_it_is():
    counts = Counts(420, 37, 12, 1)
    state = shown(phase="running", counts=counts, left=840.0)
    assert state.status == "tile 37 of 420, 12 empty, 1 failed, 14 min left"
    assert (state.running, state.pause) == (True, "Pause")
    assert shown(phase="paused", counts=counts, left=1.0).status.startswith("Paused, tile 37")
    assert shown(phase="paused").pause == "Go on"
    assert shown(phase="running", counts=Counts(420)).status == "working on the first of 420 tiles"
    assert not shown(phase="stopping").buttons["whole_cancel"].enabled


def test_more_like_this_needs_an_example():
    state = shown("like")
    assert not state.buttons["whole_start"].enabled
    assert shown("like", ExamplesSession(tuned="mine")).buttons["whole_start"].enabled
    assert shown("like", ExamplesSession(tuned="mine")).what == (
        "More like the tuned prompt mine, by classic"
    )


def test_only_several_planes_and_objects_can_be_joined():
    axes = (AxisRange("t", 5, 0, 4), AxisRange("z", 1, 0, 0))
    assert [c.key for c in shown(axes=axes).join_choices] == ["none", "t"]
    assert shown(axes=axes, planes="this").join_choices == ()
    assert shown("like", ExamplesSession(one_kind=False), axes=axes).join_choices == ()


def test_an_unfinished_run_of_another_session_is_offered_once():
    assert shown(last="/a/b.ome.zarr", target="/a/b.ome.zarr").offer == ""
    assert "b.ome.zarr" in shown(last="/a/b.ome.zarr", target="/a/c.ome.zarr").offer
    assert shown(last="/a/b.ome.zarr", phase="running").offer == ""
