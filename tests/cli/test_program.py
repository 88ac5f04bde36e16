"""The command as a person and a program use it: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_ditto import __version__
from napari_ditto.cli import main, program
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
    monkeypatch.setattr(program, "COMMANDS", {**program.COMMANDS, "cache": program.cache})
    monkeypatch.setattr(program.cache, "run", crash(error).run)
    assert main(["cache"]) == status
    assert one_line(capsys) == f"napari-ditto: {said}"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program.cache, "run", crash(RuntimeError("why")).run)
    with pytest.raises(RuntimeError, match="why"):
        main(["cache", "--debug"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"'{COMMAND}' doctor --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
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
    assert next(iter(shown["models"])).startswith("classic@")
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "locked" / "cache"))
    assert main(["encode", str(write_png(Path("a.png")))]) == 2
    assert "not kept" in one_line(capsys)
