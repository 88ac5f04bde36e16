"""Whole-image runs: tiled equals untiled, whatever the order, the workers, and the accidents."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

import napari_ditto as nd
from napari_ditto.core.control import Control
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.run_plan import Plan
from napari_ditto.data.coarsening import reduced
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.run_folder import RunFolder
from napari_ditto.engine.lessons import learn_steps
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.planning import EMPTY_BELOW, make_plan
from napari_ditto.engine.whole.run import open_plan, run_status, run_steps
from napari_ditto.engine.whole.segmenter import like_task
from napari_ditto.engine.whole.work import TileDone
from napari_ditto.errors import DittoError, JobCancelled, LabelsError, ModelError, SourceError
from napari_ditto.testing.bounded import LEVELS, BoundedModel, tissue
from tests.engine.whole.running import hash_of, labels_of, plan_of, run, source_of

STRESS = bool(os.environ.get("DITTO_STRESS"))
CASES = 200 if STRESS else 8
ORDERS = 20 if STRESS else 2

WINDOW, HALO = 96, 16


class Shuffled(ThreadExecutor):
    """Takes the items in another order."""

    def __init__(self, seed, workers=1):
        super().__init__(workers)
        self.seed = seed

    def run(self, worker, target, stage, items, control):
        items = list(items)
        # Levels build on one another, everything else may come as it likes.
        if stage != "pyramid":
            random.Random(self.seed).shuffle(items)
        return super().run(worker, target, stage, items, control)


@pytest.fixture(scope="module")
def picture():
    return tissue((200, 300), 10, np.random.default_rng(3))


@pytest.fixture(scope="module")
def untiled(picture, tmp_path_factory):
    target = tmp_path_factory.mktemp("run") / "whole.zarr"
    return hash_of(run(picture, target, window=1000, halo=HALO)[1])


# --- the result ----------------------------------------------------------------------------------


def test_tiled_equals_untiled(tmp_path, capsys):
    """Random sizes, tiles, halos and reaches; planes and stacks; objects that a halo bears."""
    same = objects = 0
    for case in range(CASES):
        rng = np.random.default_rng(case)
        halo = int(rng.integers(12, 24))
        window = int(rng.integers(4 * halo + 1, 8 * halo))
        model = BoundedModel(int(rng.integers(1, 1 + halo // 4)))
        shape = tuple(int(n) for n in rng.integers(window // 2, 3 * window, 2))
        shape = (int(rng.integers(2, 6)), *shape) if case % 2 else shape
        image = tissue(shape, 1.5 * halo / 2.6, rng, share=rng.uniform(0.4, 1))
        tiles, whole = (
            run(image, tmp_path / f"{side}.zarr", model=model, window=side, halo=halo)
            for side in (window, 5000)
        )
        same += hash_of(tiles[1]) == hash_of(whole[1])
        objects += whole[0].objects
        for left in tmp_path.iterdir():
            shutil.rmtree(left)
    with capsys.disabled():
        print(f"\ntiled equals untiled: {same} of {CASES}, with {objects} objects")
    assert same == CASES
    assert objects > 10 * CASES


def test_workers_and_order_decide_nothing(picture, untiled, tmp_path):
    for seed, workers in itertools.product(range(ORDERS), (1, 2, 4)):
        target = tmp_path / f"{seed}-{workers}.zarr"
        _, labels = run(picture, target, window=WINDOW, halo=HALO, executor=Shuffled(seed, workers))
        assert hash_of(labels) == untiled


def test_ids_count_from_one_without_a_gap(picture, tmp_path):
    summary, labels = run(picture, tmp_path / "a.zarr", window=WINDOW, halo=HALO)
    assert np.array_equal(np.unique(labels), np.arange(summary.objects + 1))
    assert PyramidLabels.open(tmp_path / "a.zarr").next_label() == summary.objects + 1


def test_every_level_is_the_one_below_halved(tmp_path):
    image = np.zeros((1100, 4500), dtype=np.uint16)
    image[50:90, 30:4400], image[1000:1050, 2000:2100] = 5, 9
    _, labels = run(image, tmp_path / "a.zarr", window=1024, halo=32)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert len(np.unique(labels)) == 3
    for level in range(1, len(PyramidLabels.open(tmp_path / "a.zarr").levels)):
        assert np.array_equal(group[str(level)], reduced(np.asarray(group[str(level - 1)]), (2, 2)))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 4), (64, 65)])
def test_half_the_size_keeps_the_largest_id(shape):
    labels = np.random.default_rng(1).integers(0, 9, shape).astype(np.uint32)
    small = reduced(labels, (2, 2))
    assert small.shape == tuple(-(-n // 2) for n in shape)
    assert small.dtype == labels.dtype
    for y, x in np.ndindex(small.shape):
        assert small[y, x] == labels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max()


def test_slices_become_objects_and_frames_stay(tmp_path):
    image = np.zeros((2, 4, 120, 120), dtype=np.uint16)
    image[:, :, 20:60, 20:100] = 7
    image[1, 2:, 80:100, 80:100] = 3
    summary, labels = run(image, tmp_path / "a.zarr", window=70, halo=16)
    assert summary.objects == 3
    assert [len(np.unique(frame)) - 1 for frame in labels] == [1, 2]
    assert len(np.unique(labels[0][labels[0] > 0])) == 1


def test_frames_are_linked(tmp_path):
    image = np.zeros((4, 120, 160), dtype=np.uint16)
    for t in range(4):
        image[t, 20:40, 10 + 4 * t : 40 + 4 * t] = 5
        image[t, 70:100, 100 - 4 * t : 140 - 4 * t] = 9
    summary, labels = run(image, tmp_path / "a.zarr", axes="tyx", window=80, halo=16)
    assert summary.objects == 2
    for t in range(4):
        assert labels[t, 30, 20 + 4 * t] == labels[0, 30, 20]
    one_by_one, _ = run(image, tmp_path / "b.zarr", axes="tyx", window=80, halo=16, join="none")
    assert one_by_one.objects == 8


def test_examples_teach_once_and_label_everywhere(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(0.2, 0.02, (400, 700)).astype(np.float32)
    y, x = np.indices(image.shape)
    discs = np.zeros(image.shape, dtype=np.int32)
    for n, (cy, cx) in enumerate(itertools.product(range(40, 400, 80), range(40, 700, 80)), 1):
        discs[np.hypot(y - cy, x - cx) < 20] = n
    image[discs > 0] += 0.6
    source = nd.open_source(image, axes="yx", window=(0, 1))
    model = nd.load_model("classic")
    shown = (image[:100, :200], discs[:100, :200])
    lesson = drain(learn_steps(source, [shown], model, instances=True))
    plan = make_plan(source, model, like_task(lesson), tmp_path / "a.zarr", window=256, halo=48)
    summary = drain(run_steps(plan, source=source, model=model, lesson=lesson))
    assert summary.objects == len(np.unique(discs)) - 1
    labels = labels_of(tmp_path / "a.zarr")
    assert (labels > 0)[discs > 0].mean() > 0.95
    classes = drain(learn_steps(source, [(shown[0], 7 * (shown[1] > 0))], model))
    plan = make_plan(source, model, like_task(classes), tmp_path / "b.zarr", window=256, halo=48)
    drain(run_steps(plan, source=source, model=model, lesson=classes))
    assert np.array_equal(np.unique(labels_of(tmp_path / "b.zarr")), [0, 7])


# --- where ---------------------------------------------------------------------------------------


def test_what_touches_the_region_is_whole_and_nothing_else_is_there(picture, tmp_path):
    _, whole = run(picture, tmp_path / "a.zarr", window=WINDOW, halo=HALO)
    box = Box(60, 70, 110, 140)
    summary, part = run(picture, tmp_path / "b.zarr", window=WINDOW, halo=HALO, region=box)
    assert summary.tiles < plan_of(picture, tmp_path / "c.zarr", window=WINDOW, halo=HALO).count
    wanted = np.isin(whole, np.unique(whole[box.slices])) & (whole > 0)
    assert np.array_equal(part > 0, wanted)


def test_a_coarse_mask_chooses_tiles_and_objects(picture, tmp_path):
    import tifffile

    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[2:6, 3:9] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    _, whole = run(picture, tmp_path / "a.zarr", window=WINDOW, halo=HALO)
    _, part = run(
        picture, tmp_path / "b.zarr", window=WINDOW, halo=HALO, mask=tmp_path / "mask.tif"
    )
    wanted = np.isin(whole, np.unique(whole[20:60, 30:90])) & (whole > 0)
    assert np.array_equal(part > 0, wanted)


def test_empty_tiles_are_not_shown_to_the_model(tmp_path):
    image = np.full((300, 600), 1000, dtype=np.uint16)
    image[40:80, 40:90] = 40000
    model = BoundedModel()
    asked = []
    model.encode = lambda tiles, old=model.encode: (asked.append(1), old(tiles))[1]
    summary, labels = run(
        image, tmp_path / "a.zarr", model=model, window=150, halo=20, empty_below=EMPTY_BELOW
    )
    assert summary.skipped == summary.tiles - len(asked) > 0
    assert (labels[45:75, 45:85] > 0).all()


def test_one_plane_of_a_stack(tmp_path):
    image = np.stack([tissue((120, 160), 10, np.random.default_rng(n)) for n in range(3)])
    _, labels = run(image, tmp_path / "a.zarr", window=WINDOW, halo=HALO, plane={"z": 1})
    assert labels[1].any()
    assert not labels[[0, 2]].any()


# --- what a plan is ------------------------------------------------------------------------------


def test_a_plan_goes_through_json_and_stays_small(picture, tmp_path):
    plan = plan_of(picture, tmp_path / "a.zarr", window=WINDOW, halo=HALO, region=Box(0, 0, 9, 9))
    told = json.dumps(plan.to_json())
    assert len(told) < 4000
    assert Plan.from_json(json.loads(told)) == plan
    assert Plan.from_json(json.loads(told)).digest == plan.digest


def test_another_target_is_the_same_plan_another_halo_is_not(picture, tmp_path):
    plan = plan_of(picture, tmp_path / "a.zarr", window=WINDOW, halo=HALO)
    assert replace(plan, target="elsewhere").digest == plan.digest
    assert replace(plan, halo=HALO - 1).digest != plan.digest


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"window": 50, "halo": 16}, "more than four halos"),
        ({"planes": {"z": (0, 2)}}, "no planes along z"),
        ({"region": Box(900, 900, 950, 950)}, "outside the image"),
    ],
)
def test_senseless_plans_are_refused_in_one_line(picture, tmp_path, options, told):
    with pytest.raises(SourceError, match=told) as error:
        plan_of(picture, tmp_path / "a.zarr", **options)
    assert "\n" not in str(error.value)


# --- going on ------------------------------------------------------------------------------------


def test_a_cancelled_run_goes_on_and_does_nothing_twice(picture, untiled, tmp_path):
    target, model, control = tmp_path / "a.zarr", BoundedModel(), Control()
    plan = plan_of(picture, target, window=WINDOW, halo=HALO)
    seen = []

    def stop(progress):
        if isinstance(progress.partial, TileDone):
            seen.append(progress.partial.number)
            if len(seen) == 3:
                control.cancel()

    source = source_of(picture)
    with pytest.raises(JobCancelled):
        drain(run_steps(plan, source=source, model=model, control=control), stop)
    before = run_status(target)
    assert before.state == "running"
    assert 3 <= before.done < plan.count
    summary = drain(run_steps(open_plan(target), source=source, model=model))
    assert summary.reused == before.done
    assert summary.done == plan.count - before.done
    assert hash_of(labels_of(target)) == untiled
    again = drain(run_steps(plan, source=source, model=model))
    assert (again.done, again.reused, again.objects) == (0, plan.count, summary.objects)


def test_a_redone_tile_matches_its_neighbours_only(picture, untiled, tmp_path):
    target = tmp_path / "a.zarr"
    plan = plan_of(picture, target, window=WINDOW, halo=HALO)
    source, model = source_of(picture), BoundedModel()
    drain(run_steps(plan, source=source, model=model))
    folder = RunFolder.open(target)
    number = list(plan.numbers())[5]
    folder.discard("tiles", number)
    summary = drain(run_steps(plan, source=source, model=model))
    assert (summary.done, summary.reused) == (1, plan.count - 1)
    assert hash_of(labels_of(target)) == untiled


@pytest.mark.parametrize("kind", ["tiles", "pairs", "groups", "paint"])
def test_damage_is_found_and_mended(picture, untiled, tmp_path, kind):
    target = tmp_path / "a.zarr"
    plan = plan_of(picture, target, window=WINDOW, halo=HALO)
    source, model = source_of(picture), BoundedModel()
    drain(run_steps(plan, source=source, model=model))
    blocks = sorted(p for p in (target / ".ditto-run" / kind / "block").rglob("*") if p.is_file())
    done = sorted(p for p in (target / ".ditto-run" / kind / "done").rglob("*") if p.is_file())
    for path in (blocks or done)[:2]:
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 4
        path.write_bytes(raw)
    # As after a crash in the middle: pairs and groups must be read again.
    shutil.rmtree(target / ".ditto-run" / "groups")
    for part in ("block", "done"):
        (target / ".ditto-run" / "groups" / part).mkdir(parents=True)
    drain(run_steps(plan, source=source, model=model))
    assert hash_of(labels_of(target)) == untiled


@pytest.mark.parametrize("level", ["0", "1"])
def test_a_damaged_or_missing_chunk_of_the_result_is_painted_again(tmp_path, level):
    picture = tissue((300, 700), 12, np.random.default_rng(1))
    target = tmp_path / "a.zarr"
    plan = plan_of(picture, target, window=WINDOW, halo=HALO)
    source, model = source_of(picture), BoundedModel()
    drain(run_steps(plan, source=source, model=model))
    group = zarr.open_group(str(target), mode="r")
    before = {n: np.asarray(group[n]) for n in ("0", "1")}
    chunks = sorted(p for p in (target / level / "c").rglob("*") if p.is_file())
    chunks[0].write_bytes(chunks[0].read_bytes()[:-5])
    chunks[-1].unlink()
    drain(run_steps(plan, source=source, model=model))
    again = zarr.open_group(str(target), mode="r")
    assert all(np.array_equal(again[n], old) for n, old in before.items())


# --- what goes wrong -----------------------------------------------------------------------------


class FailsAt(BoundedModel):
    """Fails wherever a picture holds a value, so many times."""

    def __init__(self, value, times):
        super().__init__()
        self.value, self.times = value, times

    def encode(self, tiles):
        if self.times and (np.rint(tiles * LEVELS) == self.value).any():
            self.times -= 1
            raise ModelError("the encoder broke")
        return super().encode(tiles)


def test_a_tile_is_tried_again_then_listed_by_place_and_reason(picture, untiled, tmp_path):
    value = int(picture[150, 200:].max())
    summary, labels = run(
        picture, tmp_path / "a.zarr", model=FailsAt(value, 2), window=WINDOW, halo=HALO
    )
    assert summary.state == "finished"
    assert hash_of(labels) == untiled
    target = tmp_path / "b.zarr"
    summary, _ = run(picture, target, model=FailsAt(value, 10**6), window=WINDOW, halo=HALO)
    assert summary.state == "incomplete"
    assert summary.failed
    for failure in summary.failed:
        assert "rows" in failure.place
        assert "columns" in failure.place
        assert "the encoder broke" in failure.reason
    assert run_status(target).failed == summary.failed
    mended, labels = run(picture, target, window=WINDOW, halo=HALO)
    assert mended.done == len(summary.failed)
    assert mended.state == "finished"
    assert run_status(target).failed == ()
    assert hash_of(labels) == untiled


def test_a_run_of_failures_only_is_given_up(picture, tmp_path):
    class Broken(BoundedModel):
        def encode(self, tiles):
            raise ModelError("no memory")

    with pytest.raises(ModelError, match="no memory"):
        run(picture, tmp_path / "a.zarr", model=Broken(), window=WINDOW, halo=HALO)


def test_another_plan_or_model_is_refused(picture, tmp_path):
    target = tmp_path / "a.zarr"
    run(picture, target, window=WINDOW, halo=HALO)
    with pytest.raises(LabelsError, match="other settings"):
        run(picture, target, window=WINDOW + 1, halo=HALO)
    plan = open_plan(target)
    with pytest.raises(ModelError, match="planned for"):
        drain(run_steps(plan, source=source_of(picture), model=BoundedModel(1)))
    with pytest.raises(SourceError, match="another process"):
        drain(run_steps(plan, model=BoundedModel()))
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(DittoError):
        run(picture, tmp_path / "b.zarr", window=WINDOW, halo=HALO)


def test_corrections_are_never_painted_over(picture, tmp_path):
    target = tmp_path / "a.zarr"
    run(picture, target, window=WINDOW, halo=HALO)
    labels = PyramidLabels.open(target)
    address = source_of(picture).plane()
    labels.write(address, Box(5, 5, 9, 9), np.ones((4, 4), bool), labels.next_label(), "replace")
    with pytest.raises(LabelsError, match="corrected by hand"):
        run(picture, target, window=WINDOW, halo=HALO)


def test_finished_tiles_are_painted_at_once(picture, untiled, tmp_path):
    target = tmp_path / "a.zarr"
    plan = plan_of(picture, target, window=WINDOW, halo=HALO)
    shown = []

    def look(progress):
        if isinstance(progress.partial, TileDone):
            tile = plan.tile(progress.partial.number)
            shown.append(labels_of(target)[tile.core.slices].any())

    steps = run_steps(plan, source=source_of(picture), model=BoundedModel(), preview=True)
    drain(steps, look)
    assert len(shown) == plan.count
    assert all(shown)
    assert hash_of(labels_of(target)) == untiled


def test_the_target_is_valid_ome_zarr(picture, tmp_path):
    import yaozarrs

    for version in ("0.4", "0.5"):
        target = Path(tmp_path / f"{version}.zarr")
        run(picture, target, window=WINDOW, halo=HALO, ngff=version)
        yaozarrs.validate_zarr_store(str(target))
        made = PyramidLabels.open(target).provenance
        assert made["model_key"] == BoundedModel().spec.key
