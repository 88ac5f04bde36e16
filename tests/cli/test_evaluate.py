"""``napari-ditto evaluate`` from end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ditto.cli import main
from napari_ditto.models.classic.model import ClassicModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    y, x = np.indices((60, 70))
    for kind in ("images", "masks"):
        (tmp_path / "cells" / kind).mkdir(parents=True)
    for k in range(3):
        ids = (np.hypot(y - 20 - k, x - 20) <= 9) + 2 * (np.hypot(y - 40, x - 45 - k) <= 12)
        noise = np.random.default_rng(k).normal(0, 5, ids.shape)
        image = np.clip(60 + 90 * (ids > 0) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"cells/images/{k}.png")
        Image.fromarray(ids.astype(np.uint8)).save(tmp_path / f"cells/masks/{k}.png")
    return tmp_path / "cells"


def evaluate(folder: Path, out: Path, *more: str) -> int:
    few = ("--max-objects", "4", "--max-clicks", "3", "--max-images", "2")
    model = () if "--model" in more else ("--model", "classic")
    return main(["evaluate", str(folder), "--out", str(out), *few, *model, *more])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_measured_and_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate(folder, out, "--baselines", "ellipse,filters_ridge") == 0
    said = capsys.readouterr()
    assert (out / "report.md").read_text().strip() in said.out
    assert "[1/2] prompts, cells, classic: click" in said.err
    prompts = rows(out / "objects.csv")
    assert {r["model"] for r in prompts} == {"classic", "ellipse"}
    assert len({(r["image"], r["number"]) for r in prompts}) == 4
    boxes = [float(r["iou"]) for r in prompts if (r["model"], r["prompt"]) == ("classic", "box")]
    assert np.mean(boxes) > 0.8
    assert {r["model"] for r in rows(out / "like.csv")} == {"classic", "filters_ridge"}
    assert len(rows(out / "everything.csv")) == 2
    sheets = sorted(p.name for p in out.glob("*.png"))
    assert sheets == ["cells_classic_box.png", "cells_classic_click.png"]
    assert np.ptp(np.asarray(Image.open(out / sheets[0]))) > 100


def test_a_seed_gives_the_same_numbers_in_one_process_and_in_two(
    folder: Path, tmp_path: Path
) -> None:
    some = ("--baselines", "ellipse", "--only", "prompts")
    assert evaluate(folder, tmp_path / "a", *some) == 0
    assert evaluate(folder, tmp_path / "b", *some, "--workers", "2") == 0
    assert evaluate(folder, tmp_path / "c", *some, "--seed", "1") == 0
    a, b, c = ((tmp_path / x / "report.md").read_text() for x in "abc")
    assert a == b
    assert a != c


def test_classes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    how = ("--semantic", "--class", "2", "--baselines", "copy", "--json")
    assert evaluate(folder, out, *how, "--only", "semantic") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == {"semantic": len(rows(out / "semantic.csv"))}
    assert {r["model"] for r in rows(out / "semantic.csv")} == {"classic", "copy"}


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--model", "nobody"), "nobody"),
        (("--baselines", "nobody"), "nobody"),
        (("--data", "{}", "--sets", "nobody"), "nobody"),
        (("--images", "{}/none"), "none"),
        (("--class", "77"), "nothing to measure"),
        (("--out", "{}/images/0.png"), "0.png"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    word: str,
) -> None:
    told = [part.format(folder) for part in more]
    assert evaluate(folder, tmp_path / "out", "--only", "prompts", *told) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert word in line
    assert "Traceback" not in line


def test_no_folder_at_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", "--out", str(tmp_path / "out")]) == 2
    assert "which images?" in capsys.readouterr().err


def test_a_model_without_examples_is_left_out_of_them(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(ClassicModel, "recall")
    some = ("--baselines", "filters_ridge", "--only", "like")
    assert evaluate(folder, tmp_path / "out", *some) == 0
    assert "classic takes no examples" in capsys.readouterr().err


def test_a_stopped_evaluation_goes_on(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, more = tmp_path / "out", ("--baselines", "ellipse", "--only", "prompts")
    assert evaluate(folder, out, *more) == 0
    whole = rows(out / "objects.csv")
    files = sorted((out / "jobs").iterdir())
    assert len(files) == 2
    files[0].write_text(files[0].read_text()[:-20])  # damaged: it is measured again
    capsys.readouterr()
    assert evaluate(folder, out, *more, "--resume") == 0
    assert capsys.readouterr().err.count("[2/2]") == 1
    assert sorted(map(str, rows(out / "objects.csv"))) == sorted(map(str, whole))
    assert evaluate(folder, out, *more, "--resume", "--seed", "5") == 0  # other draws, other jobs
    assert len(list((out / "jobs").iterdir())) == 4
