"""doctor names what is wrong and what to do, and survives what it looks at."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from napari_ditto.cli import doctor, main, probes

GOOD = {
    "torch": probes.Answer({"cuda": [], "mps": False, "threads": 2}),
    "transformers": probes.Answer({}),
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine without a display where every probe succeeds; the test says what differs."""
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_DITTO_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(doctor, "display", lambda: "")

    def set_up(**answers: probes.Answer) -> None:
        monkeypatch.setattr(probes, "ask_all", lambda _: {**GOOD, **answers})

    set_up()
    return set_up


def report(capsys: pytest.CaptureFixture, status: int = 0) -> dict[str, dict[str, str]]:
    assert main(["doctor", "--json"]) == status
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_a_server_without_a_display_is_usable(capsys: pytest.CaptureFixture) -> None:
    checks = report(capsys)
    assert checks["display"]["status"] == "warning"
    assert checks["numpy"]["status"] == "ok"
    assert checks["cache"]["status"] == "ok"


def test_the_report_ends_with_what_to_do(capsys: pytest.CaptureFixture) -> None:
    assert main(["doctor"]) == 0
    assert "What to do:\n- display: needed only for the window" in capsys.readouterr().out


def test_a_missing_requirement_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    present = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: "" if name == "zarr" else present(name))
    checks = report(capsys, status=2)
    assert checks["zarr"]["status"] == "error"
    assert checks["zarr"]["todo"].startswith("pip install 'zarr")


def test_an_old_requirement_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    present = doctor.installed
    monkeypatch.setattr(
        doctor, "installed", lambda name: "1.26.4" if name == "numpy" else present(name)
    )
    assert report(capsys, status=2)["numpy"]["found"] == "1.26.4, needs >=2.0"


def test_a_local_build_of_torch_is_no_other_version() -> None:
    assert doctor.requirement("torch", ">=2.6", "2.13.0+cpu").status == "ok"


def test_broken_torch_leaves_classic(machine: Callable, capsys: pytest.CaptureFixture) -> None:
    machine(torch=probes.Answer(fault="OSError: libtorch_cpu.so"))
    assert report(capsys)["devices"]["status"] == "warning"


@pytest.mark.parametrize(
    ("needs", "answer", "said"),
    [
        ("2.12.0", probes.Answer({}), "made for torch 2.12.0, here is 2.13.0+cpu"),
        ("2.13.0", probes.Answer(fault="RuntimeError: no torchvision::nms"), "nms"),
    ],
)
def test_a_torchvision_that_does_not_fit(
    needs: str,
    answer: probes.Answer,
    said: str,
    machine: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    machine(torchvision=answer)
    versions = {"torch": "2.13.0+cpu", "torchvision": "0.27.0"}
    present = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: versions.get(name) or present(name))
    requires = metadata.requires
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda name: [f"torch=={needs}", "numpy"] if name == "torchvision" else requires(name),
    )
    check = report(capsys)["torchvision fits torch"]
    assert said in check["found"]
    assert check["todo"].startswith("pip uninstall torchvision")


def test_a_torchvision_that_fits_is_no_news(
    machine: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    machine(torchvision=probes.Answer({}))
    monkeypatch.setattr(doctor, "wanted_torch", lambda: "")
    assert "torchvision fits torch" not in report(capsys)


def test_an_opengl_that_crashes_is_an_answer(
    machine: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    machine(
        Qt=probes.Answer({"binding": "pyqt6", "qt": "6.11"}), OpenGL=probes.Answer(fault="crashed")
    )
    monkeypatch.setattr(doctor, "display", lambda: ":7")
    checks = report(capsys)
    assert (checks["OpenGL"]["status"], checks["Qt"]["status"]) == ("warning", "ok")


def test_a_cache_inside_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot be written" in report(capsys)["cache"]["found"]


# --- probes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with signal 11"),
        ("raise RuntimeError('no torchvision::nms')", "RuntimeError: no torchvision::nms"),
        ("import sys; sys.exit(3)", "ended with status 3"),
    ],
)
def test_a_probe_that_dies_is_an_answer(program: str, fault: str) -> None:
    assert probes.finish(probes.start(program)).fault == fault


def test_a_probe_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_SECONDS", 0.2)
    assert probes.finish(probes.start("import time; time.sleep(60)")).fault.startswith("no answer")


def test_a_probe_may_talk_before_it_answers() -> None:
    answer = probes.finish(probes.start("print('hello'); print('{\"a\": 1}')"))
    assert answer == probes.Answer({"a": 1})


def test_torch_is_really_looked_at() -> None:
    assert probes.finish(probes.start(probes.TORCH)).facts["threads"] >= 1
