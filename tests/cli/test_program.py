"""The command as a person and a program use it: what it prints and how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_ditto import __version__
from napari_ditto.cli import cache, main, program
from napari_ditto.errors import JobCancelled, ModelError

COMMAND = Path(sys.executable).with_name("napari-ditto")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_DITTO_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


def one_line(capsys: pytest.CaptureFixture) -> str:
    """What went to stderr, after progress; it must be one line of ours and no traceback."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("napari-ditto: ")
    return last


def crash(error: BaseException) -> object:
    def run(*_: object) -> int:
        raise error

    return type("Module", (), {"run": staticmethod(run)})


@pytest.mark.parametrize("command", program.COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"napari-ditto {command}" in capsys.readouterr().out


def test_the_list_of_commands_says_what_their_modules_say() -> None:
    for name, summary in program.COMMANDS.items():
        said, _, _ = program.command_module(name).__doc__.partition("\n")
        assert said == f"{summary}."


def test_version(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"napari-ditto {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["info"], "path"),
        (["info", "a.png", "--window", "1"], "'1' is not 2 numbers"),
        (["info", "a.png", "--plane", "z"], "'z' is not like t=0,z=3"),
        (["prompt", "a.png", "--point", "1"], "'1' is not 2 numbers"),
        (["prompt", "a.png", "--box", "1,2,3"], "'1,2,3' is not 4 numbers"),
        (["prompt", "a.png", "-o", "a.jpg"], "a.jpg: the name must end with .tif"),
        (["all", "a.png", "-o", "nowhere/a.tif"], "there is no folder nowhere"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert said in one_line(capsys)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ModelError("no\nluck", todo="Try again"), 2, "no luck. Try again"),
        (JobCancelled("cancelled"), 130, "cancelled"),
        (KeyboardInterrupt(), 130, "interrupted; what was finished is kept"),
        (RuntimeError("a\nb"), 1, "RuntimeError: a b (--debug shows where)"),
    ],
)
def test_errors_are_one_line(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(cache, "run", crash(error).run)
    assert main(["cache"]) == status
    assert one_line(capsys) == f"napari-ditto: {said}"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "run", crash(RuntimeError("why")).run)
    with pytest.raises(RuntimeError, match="why"):
        main(["cache", "--debug"])


@pytest.mark.parametrize("arguments", [["doctor", "--help"], ["models"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_command_runs() -> None:
    done = subprocess.run([COMMAND, "cache", "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entries"] == 0


# --- cache ------------------------------------------------------------------------------------


def test_cache_is_shown_and_cleared(capsys: pytest.CaptureFixture) -> None:
    np.save("unrelated.npy", np.zeros(3))
    image = write_png(Path("spots.png"))
    assert main(["encode", str(image)]) == 0
    capsys.readouterr()
    assert main(["cache", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["entries"] == 1
    assert next(iter(shown["models"])).startswith("ditto@")
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("removed 1 embeddings")
    assert main(["cache"]) == 0
    assert "0 embeddings" in capsys.readouterr().out


def write_png(path: Path) -> Path:
    from PIL import Image

    y, x = np.mgrid[:120, :160]
    spots = sum(((y - a) ** 2 + (x - b) ** 2 < 15**2) for a, b in [(30, 40), (80, 110), (40, 120)])
    Image.fromarray((40 + 150 * spots).astype(np.uint8)).save(path)
    return path


def test_progress_goes_to_stderr_and_json_to_stdout(capsys: pytest.CaptureFixture) -> None:
    assert main(["encode", str(write_png(Path("a.png"))), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["encoded"] == 1
    assert "encoding tile 1 of 1" in said.err
    assert "\x1b" not in said.err


def test_encode_does_not_encode_twice(capsys: pytest.CaptureFixture) -> None:
    image = write_png(Path("a.png"))
    results = []
    for _ in range(2):
        assert main(["encode", str(image), "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert [(r["encoded"], r["reused"]) for r in results] == [(1, 0), (0, 1)]


def test_a_plane_of_a_billion_tiles_is_refused_before_any_work(
    capsys: pytest.CaptureFixture,
) -> None:
    import zarr

    zarr.create_array("wide.zarr", shape=(1 << 14, 1 << 40), chunks=(1024, 1024), dtype="u1")
    assert main(["encode", "wide.zarr", "--window", "0,255"]) == 2
    assert "Choose a --region" in one_line(capsys)
    assert main(["info", "wide.zarr", "--window", "0,255"]) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "locked" / "cache"))
    assert main(["encode", str(write_png(Path("a.png")))]) == 2
    assert "not kept" in one_line(capsys)


# --- prompt, all, info ------------------------------------------------------------------------


def labels_in(path: Path) -> np.ndarray:
    from napari_ditto.data.pyramid_labels import PyramidLabels

    return np.asarray(PyramidLabels.open(path).data)


def test_prompts_add_up_in_one_zarr(capsys: pytest.CaptureFixture) -> None:
    image = str(write_png(Path("a.png")))
    for place in ("30,40", "80,110"):
        assert main(["prompt", image, "--point", place, "-o", "out.zarr", "--json"]) == 0
    labels = labels_in(Path("out.zarr"))
    assert labels.shape == (120, 160)
    assert (labels[30, 40], labels[80, 110], labels[40, 120]) == (1, 2, 0)
    last = json.loads("{" + capsys.readouterr().out.rpartition("}\n{")[2])
    assert last["label"] == 2
    assert last["made_by"]["licence"] == "BSD-3-Clause"
    assert len(last["made_by"]["weights_sha256"]) == 64


def test_the_default_model_is_named_in_the_result_and_takes_a_diameter(
    capsys: pytest.CaptureFixture,
) -> None:
    click = ["prompt", str(write_png(Path("a.png"))), "--point", "30,40", "--json"]
    made = []
    for name, more in (("a.zarr", []), ("b.zarr", ["--diameter", "30"])):
        assert main([*click, "-o", name, *more]) == 0
        made.append(json.loads(capsys.readouterr().out)["made_by"])
        assert labels_in(Path(name))[30, 40] == 1
    assert {m["model"] for m in made} == {"ditto"}
    assert made[0]["prompts"] != made[1]["prompts"]
    assert main([*click, "-o", "c.zarr", "--diameter", "-3"]) == 2
    assert "a diameter of -3 pixels" in one_line(capsys)


def test_a_prompt_that_is_refused_leaves_nothing_behind(capsys: pytest.CaptureFixture) -> None:
    image = str(write_png(Path("a.png")))
    assert main(["prompt", image, "--point", "500,500", "-o", "out.zarr", "-o", "out.tif"]) == 2
    assert "outside" in one_line(capsys)
    assert not list(Path().glob("out.*"))


def test_labels_of_another_image_are_not_added_to(capsys: pytest.CaptureFixture) -> None:
    from napari_ditto.data.pyramid_labels import PyramidLabels

    PyramidLabels.create(Path("out.zarr"), (10, 10), "yx")
    image = str(write_png(Path("a.png")))
    assert main(["prompt", image, "--point", "30,40", "-o", "out.zarr"]) == 2
    assert "Choose another name" in one_line(capsys)


def test_all_writes_every_format_of_the_plane_that_was_asked_for(
    capsys: pytest.CaptureFixture,
) -> None:
    import tifffile
    from PIL import Image

    with Image.open(write_png(Path("a.png"))) as picture:
        plane = np.asarray(picture)
    tifffile.imwrite("stack.tif", np.stack([plane * 0, plane]), metadata={"axes": "ZYX"})
    outputs = ["-o", "out.zarr", "-o", "out.tif", "-o", "out.png"]
    arguments = ["all", "stack.tif", "--axes", "zyx", "--plane", "z=1", "--window", "0,255"]
    arguments += ["--model", "classic"]
    assert main([*arguments, *outputs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] >= 3
    labels = labels_in(Path("out.zarr"))
    assert not labels[0].any()
    assert len({labels[1, y, x] for y, x in [(30, 40), (80, 110), (40, 120)]} - {0}) == 3
    with tifffile.TiffFile("out.tif") as file:
        np.testing.assert_array_equal(file.asarray(), labels[1])
        assert file.shaped_metadata[0]["ditto"]["model"] == "classic"
    with Image.open("out.png") as picture:
        assert picture.size == (160, 120)


def test_info_tells_how_a_stack_is_read(capsys: pytest.CaptureFixture) -> None:
    import zarr

    zarr.create_array("stack.zarr", shape=(4, 600, 700), chunks=(1, 256, 256), dtype="u2")
    assert main(["info", "stack.zarr", "--axes", "zyx", "--plane", "z=3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape"] == [4, 600, 700]
    assert facts["index"] == {"z": 3}
    assert facts["levels"][0]["chunks"] == [1, 256, 256]
    assert facts["tiles"] == 4
    assert main(["info", "stack.zarr"]) == 0
    assert "whole plane  4 tiles" in capsys.readouterr().out


# --- models -----------------------------------------------------------------------------------


def test_models_are_listed(capsys: pytest.CaptureFixture) -> None:
    assert main(["models", "--json"]) == 0
    models = {m["id"]: m for m in json.loads(capsys.readouterr().out)["models"]}
    assert models["ditto"]["installed"]
    assert models["classic"]["installed"]
    assert not models["sam:facebook/sam-vit-base"]["installed"]


def test_weights_are_not_fetched_unasked(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert main(["models", "get", "sam:facebook/sam-vit-base"]) == 2
    said = capsys.readouterr().err
    assert "licence  Apache-2.0" in said
    assert "models get sam:facebook/sam-vit-base" in said


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert main(["models", "get", "nonsense"]) == 2
    assert "no weights to fetch by this name (nonsense)" in one_line(capsys)


def test_the_folder_of_the_weights(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["models", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'models'}\n"
