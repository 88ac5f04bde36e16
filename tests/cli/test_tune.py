"""Tuning from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_ditto.cli import main
from napari_ditto.core.synthetic import blobs, render


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two labelled images and a target."""
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_DITTO_TUNED", str(tmp_path / "tuned"))
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a", "b", "new")):
        labels = blobs((120, 130), 12, radius=9, seed=seed).astype(np.uint16)
        Image.fromarray(render(labels, seed=seed)).save(f"{name}.png")
        tifffile.imwrite(f"{name}.tif", labels)
    return tmp_path


EXAMPLES = ["--example", "a.png", "a.tif", "--example", "b.png", "b.tif", "--model", "classic"]


def tune(*arguments: str) -> int:
    return main(["tune", *arguments])


def test_what_was_tuned_is_listed_and_used(files: Path, capsys: pytest.CaptureFixture) -> None:
    assert tune(*EXAMPLES, "--name", "my blobs", "--steps", "10", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "my blobs"
    assert facts["classes"] == [1]
    assert facts["instances"]
    assert 0.5 < facts["before"] <= facts["after"] <= 1
    assert Path(facts["file"]) == files / "tuned" / "my blobs.ditto-tuned"

    assert tune("--list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["tuned"]
    assert listed == {k: v for k, v in facts.items() if k != "file"}

    command = ["like", "new.png", "--tuned", "my blobs", "--model", "classic", "-o", "out.tif"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["made_by"]["tuned"] == "my blobs"
    found, truth = tifffile.imread("out.tif") > 0, tifffile.imread("new.tif") > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.7


def test_one_example_is_held_out_by_halves(capsys: pytest.CaptureFixture) -> None:
    assert tune(*EXAMPLES[:3], *EXAMPLES[6:], "--name", "one", "--seconds", "0") == 0
    assert "held-out Dice" in capsys.readouterr().out


def test_classes_are_not_taken_for_objects(capsys: pytest.CaptureFixture) -> None:
    labels = tifffile.imread("a.tif")
    tifffile.imwrite("kinds.tif", np.where(labels > 6, 2, (labels > 0).astype(np.uint8)))
    given = ["--example", "a.png", "kinds.tif", "--model", "classic", "--classes"]
    assert tune(*given, "--name", "kinds", "--steps", "0") == 0
    target = ["like", "new.png", "--model", "classic", "--tuned", "kinds"]
    assert main(target) == 2
    assert "tells 2 classes apart" in capsys.readouterr().err
    assert main([*target, "--classes"]) == 0
    assert "class 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (EXAMPLES, "has no name"),
        (["--name", "x"], "no example is given"),
        ([*EXAMPLES, "--name", "../x"], "cannot be a name"),
        ([*EXAMPLES, "--name", "x", "--model", "sam:nowhere"], "sam:nowhere"),
    ],
)
def test_refusals_are_one_line(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture
) -> None:
    assert tune(*arguments) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1


def test_a_tuned_prompt_of_another_model_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert tune(*EXAMPLES, "--name", "mine", "--steps", "0") == 0
    assert main(["like", "new.png", "--tuned", "mine", "--model", "ditto"]) == 2
    assert "'mine' was tuned for classic@" in capsys.readouterr().err


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture) -> None:
    assert tune("--list") == 0
    assert "nothing is tuned yet" in capsys.readouterr().out
