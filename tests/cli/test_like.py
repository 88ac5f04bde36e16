"""More like this from the command line."""

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
    """An example with labels, a target, and a stack of both."""
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shown, truth = (blobs((120, 130), 12, radius=9, seed=s).astype(np.uint16) for s in (0, 1))
    Image.fromarray(render(shown)).save("old.png")
    Image.fromarray(render(truth, seed=1)).save("new.png")
    tifffile.imwrite("old.tif", shown)
    tifffile.imwrite("truth.tif", truth)
    tifffile.imwrite("kinds.tif", np.where(shown > 0, 9, 0).astype(np.uint8))
    tifffile.imwrite("stack.tif", np.stack([render(truth, seed=1), render(shown)]),
                     metadata={"axes": "ZYX"})  # fmt: skip
    tifffile.imwrite("stack-labels.tif", np.stack([shown * 0, shown]))
    return tmp_path


EXAMPLE = ["--example", "old.png", "old.tif", "--model", "classic"]


def like(*arguments: str) -> int:
    return main(["like", *arguments])


def overlap(found: np.ndarray) -> float:
    truth = tifffile.imread("truth.tif")
    return float(((found > 0) & (truth > 0)).sum() / ((found > 0) | (truth > 0)).sum())


def test_objects_are_found_and_written(capsys: pytest.CaptureFixture) -> None:
    assert like("new.png", *EXAMPLE, "-o", "a.tif", "-o", "a.zarr", "-o", "a.png", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    found = tifffile.imread("a.tif")
    assert overlap(found) > 0.7
    assert len(facts["found"]) == found.max() == len(np.unique(found)) - 1
    assert [f["area"] for f in facts["found"]] == np.bincount(found.ravel())[1:].tolist()
    assert facts["made_by"]["examples"] == ["old.png"]
    assert Path("a.zarr").is_dir()
    with Image.open("a.png") as picture:
        assert picture.size == (130, 120)


def test_classes_keep_their_ids(capsys: pytest.CaptureFixture) -> None:
    given = ["--example", "old.png", "kinds.tif", "--model", "classic", "--classes"]
    assert like("new.png", *given, "-o", "a.tif") == 0
    found = tifffile.imread("a.tif")
    assert np.unique(found).tolist() == [0, 9]
    assert overlap(found) > 0.7
    assert "class 9" in capsys.readouterr().out


def test_a_threshold_leaves_the_surest(capsys: pytest.CaptureFixture) -> None:
    like("new.png", *EXAMPLE, "--json")
    scores = [f["score"] for f in json.loads(capsys.readouterr().out)["found"]]
    middle = float(np.median(scores))
    like("new.png", *EXAMPLE, "--json", "--threshold", str(middle))
    fewer = [f["score"] for f in json.loads(capsys.readouterr().out)["found"]]
    assert 0 < len(fewer) < len(scores)
    assert min(fewer) >= middle - 1e-4


def test_a_set_of_examples_is_saved_and_used_again(capsys: pytest.CaptureFixture) -> None:
    assert like("new.png", *EXAMPLE, "--save-examples", "s.ditto-examples", "-o", "a.tif") == 0
    assert (
        like("new.png", "--examples", "s.ditto-examples", "--model", "classic", "-o", "b.tif") == 0
    )
    assert np.array_equal(tifffile.imread("a.tif"), tifffile.imread("b.tif"))


@pytest.mark.parametrize("labels", ["old.tif", "stack-labels.tif"])
def test_examples_and_targets_are_planes_of_stacks(labels: str) -> None:
    given = ["--example", "stack.tif", labels, "--example-plane", "z=1", "--model", "classic"]
    assert like("stack.tif", "--plane", "z=0", *given, "-o", "a.tif") == 0
    assert overlap(tifffile.imread("a.tif")) > 0.7


def test_labels_of_one_plane_must_say_which(capsys: pytest.CaptureFixture) -> None:
    assert like("new.png", "--example", "stack.tif", "old.tif", "--model", "classic") == 2
    assert "Give --example-plane z=NUMBER" in capsys.readouterr().err


def test_some_objects_are_enough() -> None:
    ids = np.unique(tifffile.imread("old.tif"))[1:4]
    chosen = f"old.tif:{','.join(map(str, ids))}"
    given = ["--example", "old.png", chosen, "--partial", "--model", "classic"]
    assert like("new.png", *given, "-o", "a.tif") == 0
    assert overlap(tifffile.imread("a.tif")) > 0.6


def test_rough_labels_are_sharpened() -> None:
    labels = tifffile.imread("old.tif")
    boxes = np.zeros_like(labels)
    for label in np.unique(labels)[1:]:
        rows, columns = np.nonzero(labels == label)
        boxes[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = label
    tifffile.imwrite("boxes.tif", boxes)
    given = ["--example", "old.png", "boxes.tif", "--sharpen", "--model", "classic"]
    assert like("new.png", *given, "-o", "a.tif") == 0
    assert overlap(tifffile.imread("a.tif")) > 0.7


def test_what_is_not_meant_may_be_said() -> None:
    given = [*EXAMPLE, "--negative", "new.png", "truth.tif"]
    assert like("new.png", *given, "--classes", "-o", "a.tif") == 0
    assert overlap(tifffile.imread("a.tif")) < 0.7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no example is given"),
        (["--example", "old.png", "nothing.tif"], "no such labels"),
        (["--example", "nothing.png", "old.tif"], "nothing.png"),
        (["--example", "old.png", "old.tif:999"], "No labelled pixel"),
        (["--example", "stack.tif", "old.tif:1"], "Give --example-plane"),
        (["--example", "stack.tif", "stack-labels.tif"], "no label in the"),
        (["--example", "old.png", "stack-labels.tif"], "no plane"),
        (["--examples", "new.png"], "cannot be read"),
        (["--examples", "nothing.ditto-examples"], "cannot be read"),
        ([*EXAMPLE, "--example-plane", "z=1", "--example-plane", "z=2"], "--example-plane"),
        ([*EXAMPLE, "--region", "900,900,999,999"], "outside"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    given: list[str], said: str | None, capsys: pytest.CaptureFixture
) -> None:
    status = like("new.png", "--model", "classic", *given)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert status == (0 if said is None else 2)
    if said:
        assert said in err.strip().splitlines()[-1]


def test_a_tuned_memory_that_is_not_there(capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("napari_ditto.models.tuned")
    assert like("new.png", "--model", "classic", "--tuned", "nobody") == 2
    assert "nobody" in capsys.readouterr().err.strip().splitlines()[-1]
