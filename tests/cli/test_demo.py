"""The demo does the main job, and does not destroy what is not its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.cli import demo, demo_window, main
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.models.names import DEFAULT_MODEL, FALLBACK_MODEL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("demo") / "output"
    assert main(["demo", "--output", str(target), "--no-window"]) == 0
    return target


MODELS = (DEFAULT_MODEL, FALLBACK_MODEL)
each_model = pytest.mark.parametrize("model", MODELS)


def figures(folder: Path, model: str) -> dict[str, dict[str, float]]:
    found = json.loads((folder / "figures.json").read_text())["figures"]
    return {row["image"].partition(",")[0]: row for row in found if row["model"] == model}


def test_the_default_is_the_bundled_network(folder: Path) -> None:
    assert json.loads((folder / "figures.json").read_text())["model"] == "ditto"
    assert figures(folder, "ditto").keys() == figures(folder, "classic").keys()


@each_model
def test_each_image_is_encoded_once(folder: Path, model: str) -> None:
    assert {row["encoder_calls"] for row in figures(folder, model).values()} == {1}


@each_model
def test_the_raster_is_hardly_read(folder: Path, model: str) -> None:
    raster = figures(folder, model)["raster"]
    assert raster["pixels_read"] < 60_000**2 / 3000
    assert raster["iou"] > 0.8


@each_model
def test_the_coins_are_found(folder: Path, model: str) -> None:
    place = folder if model == DEFAULT_MODEL else folder / model
    labels = np.asarray(PyramidLabels.open(place / "coins-prompts.zarr").data)
    centers = [(57, 100), (50, 155), (45, 335), (189, 213)]
    assert [labels[center] for center in centers] == [1, 2, 3, 4]
    assert figures(folder, model)["coins"]["found"] >= 20


def test_one_coin_leads_to_the_others_and_one_plane_to_the_stack(folder: Path) -> None:
    coins, stack = json.loads((folder / "figures.json").read_text())["by_example"]
    assert 22 <= coins["objects"] <= 25
    assert stack["iou"] > 0.85
    labels = np.asarray(PyramidLabels.open(folder / "coins-like.zarr").data)
    assert labels.max() == coins["objects"]
    assert (folder / "stack-follow.png").exists()


def test_the_report_names_every_file(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert all(path.stem.split("-")[-1] in text for path in folder.glob("*.png"))
    assert "raster, 60000 x 60000" in text


def test_an_old_demo_is_replaced(folder: Path) -> None:
    (folder / "coins-prompts.png").write_text("old")
    demo.fresh(folder)
    assert list(folder.iterdir()) == []


def test_another_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["demo", "--output", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("ci", "display", "said"), [("true", ":0", "CI"), ("", "", "display"), ("", ":0", "")]
)
def test_when_a_window_is_opened(
    ci: str, display: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(demo_window, "display", lambda: display)
    assert said in demo_window.reason_against()
    assert bool(said) == bool(demo_window.reason_against())
