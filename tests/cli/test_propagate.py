"""The command `propagate` as a person and a program use it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ditto.cli import main
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import ModelError
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.testing.scenes import drifting

DEPTH = 7


@pytest.fixture(autouse=True)
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Write `stack.tif` and, for each plane, `z0.tif` and so on; return the truth."""
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    truth = drifting(DEPTH, (96, 112), 2, seed=4)
    noise = np.random.default_rng(0).normal(0, 4, truth.shape)
    image = np.clip(60 + 60 * truth + noise, 0, 255).astype(np.uint8)
    tifffile.imwrite("stack.tif", image, metadata={"axes": "ZYX"})
    for z, plane in enumerate(truth):
        tifffile.imwrite(f"z{z}.tif", plane.astype(np.uint16))
    return truth


def labels_in(path: str) -> np.ndarray:
    return np.asarray(PyramidLabels.open(Path(path)).data[:])


def propagate(*arguments: str, out: str = "out.zarr") -> int:
    return main(["propagate", "stack.tif", "--model", "classic", "-o", out, *arguments])


def one_line(capsys: pytest.CaptureFixture) -> str:
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_one_example(stack: np.ndarray, capsys: pytest.CaptureFixture) -> None:
    assert propagate("--examples", "z3.tif", "--at", "z=3", "--json") == 0
    labels = labels_in("out.zarr")
    assert np.array_equal(labels[3], stack[3])
    for n in (1, 2):
        assert all(dice(labels[z] == n, stack[z] == n) > 0.8 for z in range(DEPTH))
    said = json.loads(capsys.readouterr().out)
    assert (said["planes"], said["reused"], said["objects"], said["examples"]) == (7, 0, 2, 1)
    assert said["model"]["model"] == "classic"
    assert PyramidLabels.open(Path("out.zarr")).provenance["model"] == "classic"


def test_run_again_goes_on_and_a_correction_does_what_depends_on_it(
    stack: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    first = ["--examples", "z2.tif", "--at", "z=2"]
    assert propagate(*first, "--within", "0,4", "--json") == 0
    assert json.loads(capsys.readouterr().out)["planes"] == 4
    assert not labels_in("out.zarr")[4:].any()
    assert propagate(*first, "--json") == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 3
    assert propagate(*first, "--examples", "z5.tif", "--at", "z=5", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["planes"], said["reused"]) == (7, 2)
    assert np.array_equal(labels_in("out.zarr")[5], stack[5])


def test_planes_of_a_sparse_stack_are_examples(
    stack: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    sparse = np.zeros_like(stack, dtype=np.uint32)
    sparse[[1, 5]] = stack[[1, 5]]
    zarr.create_array("sparse.zarr", data=sparse)
    assert propagate("--labels", "sparse.zarr", "--review", "look.csv") == 0
    labels = labels_in("out.zarr")
    assert np.array_equal(labels[[1, 5]], stack[[1, 5]])
    assert labels.any(axis=(1, 2)).all()
    with Path("look.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["z", "label", "confidence", "reasons"]
    said = capsys.readouterr().out
    assert "planes   7, 0 of them were there" in said
    assert f"doubts   {len(rows) - 1}" in said


def test_all_doubts_are_written(capsys: pytest.CaptureFixture) -> None:
    strict = ["--gate-score", "0.9999", "--review", "look.csv"]
    assert propagate("--examples", "z3.tif", "--at", "z=3", *strict) == 0
    said = capsys.readouterr().out
    assert "low score" in said
    with Path("look.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert [float(r["confidence"]) for r in rows] == sorted(float(r["confidence"]) for r in rows)
    assert all("low score" in r["reasons"] for r in rows)


def test_two_axes_in_one_job(stack: np.ndarray, capsys: pytest.CaptureFixture) -> None:
    image = tifffile.imread("stack.tif")
    tifffile.imwrite("movie.tif", np.stack([image] * 2), metadata={"axes": "TZYX"})
    two = ["--axis", "t", "--axis", "z", "--within", "z=2,5"]
    given = ["--examples", "z3.tif", "--at", "t=1,z=3", "--model", "classic", "--json"]
    assert main(["propagate", "movie.tif", *two, *given, "-o", "out.zarr"]) == 0
    assert json.loads(capsys.readouterr().out)["planes"] == 6
    labels = labels_in("out.zarr")
    assert labels.any(axis=(2, 3)).tolist() == [[2 <= z < 5 for z in range(DEPTH)]] * 2


def test_classes(stack: np.ndarray) -> None:
    assert propagate("--examples", "z3.tif", "--at", "z=3", "--classes") == 0
    labels = labels_in("out.zarr")
    assert dice(labels[4] == 2, stack[4] == 2) > 0.7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no labelled plane is given. Give --examples and --at, or --labels"),
        (["--examples", "z1.tif"], "1 --examples and 0 --at"),
        (["--examples", "z1.tif", "--at", "t=1"], "axis t is not an axis"),
        (["--examples", "z1.tif", "--at", "z=9"], "the example at z=9 is outside z=0:7"),
        (["--examples", "stack.tif", "--at", "z=1"], "labels of shape (7, 96, 112) are no plane"),
        (["--examples", "none.tif", "--at", "z=1"], "cannot open the file"),
        (["--examples", "z1.tif", "--at", "z=1", "--axis", "q"], "--at z=1 for axis q"),
        (["--labels", "z1.tif"], "labels of shape (96, 112) for an image of (7, 96, 112)"),
        (["--labels", "stack.tif", "--axis", "q"], "axis q is not an axis"),
        (["--examples", "z1.tif", "--at", "z=1", "--within", "5,3"], "the range z=5:3 is empty"),
        (["--examples", "float.tif", "--at", "z=1"], "labels of type float32 have no room for ids"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    tifffile.imwrite("float.tif", np.zeros((96, 112), np.float32))
    assert propagate(*arguments) == 2
    assert said in one_line(capsys)
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "a.tif"], "a.tif: the name must end with .zarr"),
        (["-o", "a.zarr", "--within", "1.5,3"], "'1.5,3' is not two whole numbers"),
        (["-o", "a.zarr", "--gate-score", "x"], "invalid float value: 'x'"),
        ([], "required: -o/--output"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["propagate", "stack.tif", *arguments])
    assert end.value.code == 2
    assert said in one_line(capsys)


def test_foreign_labels_are_left_alone(capsys: pytest.CaptureFixture) -> None:
    PyramidLabels.create(Path("out.zarr"), (DEPTH, 96, 112), "zyx")
    assert propagate("--examples", "z1.tif", "--at", "z=1") == 2
    assert "no propagation has made" in one_line(capsys)
    assert not labels_in("out.zarr").any()


def test_an_interrupted_run_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    encode = ClassicModel.encode
    calls = []

    def interrupted(self, tiles):
        calls.append(len(tiles))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(self, tiles)

    monkeypatch.setattr(ClassicModel, "encode", interrupted)
    given = ["--examples", "z3.tif", "--at", "z=3", "--classes", "--json"]
    assert propagate(*given) == 130
    assert "interrupted; what was finished is kept" in one_line(capsys)
    capsys.readouterr()
    assert propagate(*given) == 0
    assert json.loads(capsys.readouterr().out)["reused"] > 0


# -- large planes, in parts ------------------------------------------------------------------------


def in_parts(*arguments: str, out: str = "parts.zarr") -> int:
    given = ["--examples", "z3.tif", "--at", "z=3", "--part", "64", "--within", "2,5", "--json"]
    return propagate(*given, *arguments, out=out)


def test_parts_are_followed_reused_told_and_gone_on_with(
    stack: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    assert in_parts("--workers", "2", "--review", "look.csv") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["objects"], said["planes"]) == ("finished", 2, 3)
    assert said["done"] == said["tiles"] >= 1
    labels = labels_in("parts.zarr")
    assert np.array_equal(labels[3], stack[3])
    for n in (1, 2):
        assert all(dice(labels[z] == n, stack[z] == n) > 0.8 for z in (2, 3, 4))
    assert Path("look.csv").read_text().startswith("z,label")
    assert in_parts("--resume") == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["done"], again["reused"]) == (0, said["tiles"])
    # What was begun in parts goes on in parts, asked or not.
    given = ["--examples", "z3.tif", "--at", "z=3", "--within", "3,4"]
    assert propagate(*given, out="parts.zarr") == 0
    assert "parts" in capsys.readouterr().out
    assert main(["run", "parts.zarr", "--status", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["done"], said["left"]) == ("finished", said["tiles"], 0)
    for done in Path("parts.zarr/.ditto-run/columns").rglob("done"):
        done.unlink()
    assert main(["run", "parts.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == said["tiles"]


def test_a_region_chooses_objects_and_a_stack_of_labels_is_read(
    stack: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    sparse = np.where(np.arange(DEPTH)[:, None, None] == 3, stack, 0).astype(np.uint16)
    tifffile.imwrite("sparse.tif", sparse)
    rows, columns = np.nonzero(stack[3] == 2)
    place = f"{rows[0]},{columns[0]},{rows[0] + 1},{columns[0] + 1}"
    assert propagate("--labels", "sparse.tif", "--region", place, "--within", "3,5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 1
    assert np.array_equal(labels_in("out.zarr")[3], np.where(stack[3] == 2, 2, 0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--classes"], "not followed in parts"),
        (["--region", "0,0,1,1"], "no example shows an object in the region"),
        (["--at", "z=5"], "one --at for each"),
        (["--dask", "nonsense"], "names no dask workers"),
    ],
)
def test_what_cannot_be_done_in_parts_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    assert in_parts(*arguments) == 2
    assert said in one_line(capsys)


def test_failed_parts_end_with_a_status_of_their_own(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ClassicModel.encode

    def failing(self: ClassicModel, tiles: np.ndarray) -> None:
        raise ModelError("no luck")

    monkeypatch.setattr(ClassicModel, "encode", failing)
    assert in_parts() == 3
    said = json.loads(capsys.readouterr().out)
    assert said["state"] == "incomplete"
    assert {f["reason"] for f in said["failed"]} == {"no luck"}
    monkeypatch.setattr(ClassicModel, "encode", real)
    assert main(["run", "parts.zarr"]) == 0
