"""Whole images from the command line: what is written, how it ends, how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_ditto.cli import main
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.engine.whole import launch
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.errors import ModelError
from napari_ditto.models.classic.model import ClassicModel

SHAPE = (100, 110)
TILES = ["--tile", "70", "--halo", "15"]
"""Four tiles."""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an image, a stack of it, and labels of another."""
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shown, truth = (blobs(SHAPE, 9, radius=8, seed=s).astype(np.uint16) for s in (0, 1))
    image = render(truth, seed=1)
    tifffile.imwrite("image.tif", image)
    stack = np.stack([image, image, image])
    tifffile.imwrite("stack.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    tifffile.imwrite("old.tif", render(shown))
    tifffile.imwrite("old-labels.tif", shown)


def ditto(*arguments: str) -> int:
    return main([*arguments, "--json"])


def label(*arguments: str, out: str = "a.zarr", image: str = "image.tif") -> int:
    return ditto("all", image, "--model", "classic", "-o", out, *arguments)


def told(capsys: pytest.CaptureFixture) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def one_line(capsys: pytest.CaptureFixture) -> str:
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def labels_in(path: str) -> np.ndarray:
    return np.asarray(PyramidLabels.open(Path(path)).data[:])


def canonical(labels: np.ndarray) -> np.ndarray:
    """Number objects by where they are seen first."""
    ids, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(ids), int)
    order[np.argsort(np.where(ids == 0, -1, first))] = np.arange(len(ids))
    return order[inverse].reshape(labels.shape)


# -- when there is a run ---------------------------------------------------------------------------


def test_a_small_image_is_labelled_the_same_either_way(capsys: pytest.CaptureFixture) -> None:
    assert label(out="at-once.zarr") == 0
    assert "tiles" not in told(capsys)
    assert label("--workers", "1", out="run.zarr") == 0
    facts = told(capsys)
    assert (facts["state"], facts["tiles"], facts["done"], facts["reused"]) == ("finished", 1, 1, 0)
    at_once, run = labels_in("at-once.zarr"), labels_in("run.zarr")
    assert facts["objects"] == run.max() == at_once.max() > 3
    assert np.array_equal(canonical(at_once), canonical(run))


def test_a_stack_is_labelled_and_joined_without_being_asked(capsys: pytest.CaptureFixture) -> None:
    assert label(image="stack.tif") == 0
    facts, labels = told(capsys), labels_in("a.zarr")
    assert facts["plan"]["join"] == "z"
    assert facts["tiles"] == 3
    assert labels.shape == (3, *SHAPE)
    assert np.array_equal(labels[0], labels[2])


def test_planes_can_be_chosen(capsys: pytest.CaptureFixture) -> None:
    assert label("--planes", "z=1,3", "--join", "none", image="stack.tif") == 0
    labels = labels_in("a.zarr")
    assert not labels[0].any()
    assert not set(np.unique(labels[1])) & set(np.unique(labels[2])) - {0}
    assert told(capsys)["plan"]["planes"] == [["z", 1, 3]]


def test_one_plane_of_a_stack_is_done_at_once(capsys: pytest.CaptureFixture) -> None:
    assert label("--plane", "z=1", image="stack.tif") == 0
    assert "tiles" not in told(capsys)


def test_a_plane_that_is_too_large_to_be_done_at_once_becomes_a_run(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ditto.cli.whole.AT_ONCE", 100)
    assert label("--region", "0,0,20,20") == 0
    assert told(capsys)["tiles"] == 1


def test_region_mask_and_version_go_into_the_plan(capsys: pytest.CaptureFixture) -> None:
    mask = np.zeros((10, 11), np.uint8)
    mask[:4] = 1
    tifffile.imwrite("mask.tif", mask)
    options = ["--mask", "mask.tif", "--ngff", "0.4", "--keep-empty", *TILES]
    assert label(*options) == 0
    facts = told(capsys)
    assert (facts["plan"]["ngff"], facts["plan"]["tile"]) == ("0.4", 70)
    assert facts["plan"]["mask"].endswith("mask.tif")
    assert Path("a.zarr/.zattrs").is_file()
    labels = labels_in("a.zarr")
    assert labels[:40].any()
    assert not labels[65:].any()


def test_a_region_may_be_polygons_of_a_file(capsys: pytest.CaptureFixture) -> None:
    ring = [[0, 0], [110, 0], [110, 40], [0, 40], [0, 0]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    Path("a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert label("--region-file", "a.geojson", *TILES) == 0
    labels = labels_in("a.zarr")
    assert labels[:40].any()
    assert not labels[65:].any()
    assert told(capsys)["plan"]["region"][0][1] == [-0.5, 109.5]
    assert label("--region-file", "a.geojson", "--region", "0,0,9,9", "--resume") == 2
    assert "Give one of them" in one_line(capsys)


def test_other_outputs_show_a_plane_of_the_run(capsys: pytest.CaptureFixture) -> None:
    assert label("-o", "a.zarr", "-o", "a.tif", *TILES, out="a.png") == 0
    assert np.array_equal(tifffile.imread("a.tif"), labels_in("a.zarr"))
    with Image.open("a.png") as picture:
        assert picture.size == SHAPE[::-1]
    assert [Path(p).name for p in told(capsys)["output"]] == ["a.zarr", "a.png", "a.tif"]


# -- like ------------------------------------------------------------------------------------------


def test_like_learns_once_and_goes_on_without_its_examples(capsys: pytest.CaptureFixture) -> None:
    like = ["like", "image.tif", "--model", "classic", "-o", "a.zarr", *TILES]
    assert ditto(*like, "--example", "old.tif", "old-labels.tif", "--threshold", "0.1") == 0
    facts, labels = told(capsys), labels_in("a.zarr")
    assert facts["plan"]["kind"] == "like"
    assert facts["objects"] == labels.max() > 3
    assert ditto(*like, "--resume", "--threshold", "0.1") == 0
    assert told(capsys)["reused"] == 4
    assert ditto(*like, "--resume") == 2
    assert "begun with --threshold 0.1" in one_line(capsys)
    assert ditto(*like, "--resume", "--classes") == 2
    assert "another kind" in one_line(capsys)


def test_classes_keep_their_ids() -> None:
    kinds = np.where(tifffile.imread("old-labels.tif") > 0, 9, 0).astype(np.uint8)
    tifffile.imwrite("kinds.tif", kinds)
    like = ["like", "image.tif", "--model", "classic", "-o", "a.zarr", "--workers", "2", *TILES]
    assert ditto(*like, "--example", "old.tif", "kinds.tif", "--classes") == 0
    assert np.unique(labels_in("a.zarr")).tolist() == [0, 9]


# -- how it goes on --------------------------------------------------------------------------------


def test_a_plan_is_written_read_and_run(capsys: pytest.CaptureFixture) -> None:
    assert label(*TILES, "--plan-only", "plan.json") == 0
    assert told(capsys)["plan"]["tiles"] == 4
    assert not labels_in("a.zarr").any()
    assert ditto("run", "plan.json", "--status") == 0
    facts = told(capsys)
    assert (facts["state"], facts["done"], facts["left"]) == ("unfinished", 0, 4)
    assert ditto("run", "plan.json", "--workers", "2") == 0
    assert told(capsys)["done"] == 4
    assert ditto("run", "a.zarr") == 0
    assert told(capsys)["reused"] == 4
    assert ditto("run", "a.zarr", "--status") == 0
    assert told(capsys)["state"] == "finished"
    # A folder that was moved is still the same run.
    Path("a.zarr").rename("b.zarr")
    assert ditto("run", "b.zarr") == 0
    facts = told(capsys)
    assert (facts["reused"], Path(facts["target"]).name) == (4, "b.zarr")
    assert ditto("run", "plan.json", "--status") == 0
    assert told(capsys)["state"] == "not begun"


def test_a_second_run_must_say_that_it_goes_on(capsys: pytest.CaptureFixture) -> None:
    assert label(*TILES, "--resume") == 0
    assert label(*TILES) == 2
    assert "--resume" in one_line(capsys)
    # Without any option of a run, too: labels of a run are not added to.
    assert label() == 2
    assert "--resume" in one_line(capsys)
    assert label("--resume", "--tile", "80", "--halo", "15") == 2
    assert "window 70, not 80" in one_line(capsys)
    assert label(*TILES, "--resume") == 0
    assert told(capsys)["reused"] == 4


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C in the second tile, when the first is stored."""
    real, seen = ClassicModel.encode, []

    def encode(self: ClassicModel, tiles: np.ndarray) -> Any:
        seen.append(1)
        if len(seen) == 2:
            while not [p for p in Path("a.zarr/.ditto-run/tiles/done").rglob("*") if p.is_file()]:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, tiles)

    monkeypatch.setattr(ClassicModel, "encode", encode)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(capsys: pytest.CaptureFixture) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert label(*TILES) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert f"napari-ditto run {Path('a.zarr').absolute()}" in one_line(capsys)
    assert ditto("run", "a.zarr", "--status") == 0
    done = told(capsys)["done"]
    assert 0 < done < 4
    assert ditto("run", "a.zarr") == 0
    assert told(capsys)["reused"] == done
    label(*TILES, out="whole.zarr")
    assert np.array_equal(labels_in("a.zarr"), labels_in("whole.zarr"))


def test_processes_that_are_started_leave_ctrl_c_to_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []

    def executor_for(workers: int | None, dask: str) -> ThreadExecutor:
        seen.append(signal.getsignal(signal.SIGINT))
        return ThreadExecutor()

    monkeypatch.setattr(launch, "executor_for", executor_for)
    before = signal.getsignal(signal.SIGINT)
    assert label("--dask", "local:2") == 0
    assert seen == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif("DITTO_STRESS" not in os.environ, reason="a new process; 'make stress'")
def test_a_killed_run_goes_on(capsys: pytest.CaptureFixture) -> None:
    command = [sys.executable, "-m", "napari_ditto.cli", "all", "image.tif", "--model", "classic"]
    killed = subprocess.Popen([*command, "-o", "a.zarr", *TILES], stderr=subprocess.PIPE, text=True)
    assert killed.stderr
    killed.stderr.readline()
    killed.kill()
    killed.communicate()
    assert label(*TILES, "--resume") == 0
    assert told(capsys)["state"] == "finished"
    label(*TILES, out="whole.zarr")
    assert np.array_equal(labels_in("a.zarr"), labels_in("whole.zarr"))


# -- what goes wrong -------------------------------------------------------------------------------


def test_failed_tiles_are_listed_and_tried_again(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ClassicModel.encode

    def failing(self: ClassicModel, tiles: np.ndarray) -> Any:
        if tiles[0, 0, 0, 0] == corner:
            raise ModelError("no luck")
        return real(self, tiles)

    from napari_ditto.core.geometry import Box
    from napari_ditto.data.source import open_source

    source = open_source("image.tif")
    corner = source.read(source.plane(), Box(0, 0, 1, 1))[0, 0, 0]
    monkeypatch.setattr(ClassicModel, "encode", failing)
    assert label(*TILES) == 3
    facts = told(capsys)
    assert facts["state"] == "incomplete"
    (failed,) = facts["failed"]
    assert failed == {"number": 0, "place": "rows 0 to 70, columns 0 to 70", "reason": "no luck"}
    assert main(["run", "a.zarr", "--status"]) == 0
    said = capsys.readouterr().out
    assert "rows 0 to 70, columns 0 to 70  no luck" in said
    monkeypatch.setattr(ClassicModel, "encode", real)
    assert main(["run", "a.zarr"]) == 0
    assert "3 before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "2", "-o", "a.tif"], "Give -o NAME.zarr"),
        (["--resume"], "Give -o NAME.zarr"),
        (["-o", "a.zarr", "--planes", "q=0,1"], "no planes along q"),
        (["-o", "a.zarr", "--planes", "z=0,9"], "no planes 0 to 9 along z"),
        (["-o", "a.zarr", "--tile", "20", "--halo", "10"], "tiles of 20 pixels"),
        (["-o", "a.zarr", "--mask", "nothing.tif"], "nothing.tif"),
        (["-o", "a.zarr", "--region", "900,900,999,999"], "outside the image"),
        (["-o", "a.zarr", "-o", "a.tif"], "a .tif holds one plane"),
        (["-o", "a.zarr", "--dask", "nonsense"], "names no dask workers"),
        (["-o", "full.zarr", "--workers", "1"], "Choose another name"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    zarr.create_group("full.zarr")
    assert ditto("all", "stack.tif", "--model", "classic", *arguments) == 2
    assert said in one_line(capsys)
    assert not Path("a.zarr").exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nothing.zarr", "no plan and no run"),
        ("image.tif", "cannot be read"),
        ("full.zarr", "no run here"),
        ("empty.json", "no plan of a run"),
        ("list.json", "no plan of a run"),
    ],
)
def test_no_plan_is_one_line(path: str, said: str, capsys: pytest.CaptureFixture) -> None:
    zarr.create_group("full.zarr")
    Path("empty.json").write_text("{}")
    Path("list.json").write_text("[1]")
    assert ditto("run", path) == 2
    assert said in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "'0' is not a whole number from 1"),
        (["--planes", "3,4"], "'3,4' is not like z=3,20"),
        (["--planes", "z=3.5,4"], "is not two whole numbers"),
        (["--join", "x"], "invalid choice"),
        (["--region-file", "image.tif"], "is no GeoJSON"),
        (["--region-file", "empty.json"], "is no GeoJSON"),
        (["--region-file", "none.json"], "holds no polygon"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    Path("empty.json").write_text("{}")
    Path("none.json").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(SystemExit) as end:
        label(*arguments)
    assert end.value.code == 2
    assert said in one_line(capsys)
