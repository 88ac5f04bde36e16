"""What progress, tables, sizes and times look like."""

from __future__ import annotations

import io
import json
from collections.abc import Generator
from pathlib import Path

import pytest

from napari_ditto.cli.console import Console, bar, duration, size, table
from napari_ditto.core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def job(steps: int) -> Generator[Progress, None, str]:
    for i in range(steps):
        yield Progress("encode", i, steps, f"encoding tile {i + 1} of {steps}")
    yield Progress("decode", text="segmenting")
    return "done"


def test_a_file_gets_one_line_per_stage() -> None:
    err = io.StringIO()
    assert Console(err=err).follow(job(30)) == "done"
    assert err.getvalue() == "encoding tile 1 of 30\nsegmenting\n"


def test_a_file_gets_no_line_for_every_plane() -> None:
    def planes() -> Generator[Progress, None, None]:
        for i in range(30):
            yield Progress("decode", text=f"looking at plane {i}")
            yield Progress("write", i + 1, 30, f"plane {i + 1} of 30")

    err = io.StringIO()
    Console(err=err).follow(planes())
    assert err.getvalue() == "looking at plane 0\nplane 1 of 30\n"


def test_a_file_hears_of_a_long_stage_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 300, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    err = io.StringIO()
    Console(err=err).follow(job(7))
    said = ["encoding tile 1 of 7", "encoding tile 4 of 7", "encoding tile 7 of 7", "segmenting"]
    assert err.getvalue().splitlines() == said


def test_a_terminal_gets_a_bar_that_is_wiped_in_the_end() -> None:
    err = Terminal()
    assert Console(err=err).follow(job(30)) == "done"
    assert "] 0/30 encoding tile 1 of 30" in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")
    assert "\n" not in err.getvalue()


def test_the_bar_is_wiped_after_an_error() -> None:
    def failing() -> Generator[Progress, None, None]:
        yield Progress("read")
        raise OSError("gone")

    err = Terminal()
    with pytest.raises(OSError, match="gone"):
        Console(err=err).follow(failing())
    assert err.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Progress("read"), "read"),
        (Progress("encode", 0, 4, "go"), "[........................] 0/4 go"),
        (Progress("encode", 1, 4, "go"), "[######..................] 1/4 go"),
        (Progress("encode", 9, 4, "go"), "[########################] 9/4 go"),
    ],
)
def test_bar(step: Progress, text: str) -> None:
    assert bar(step) == text


@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_is_text_or_json(as_json: bool) -> None:
    out = io.StringIO()
    console = Console(json=as_json, out=out)
    console.result({"path": Path("a")}, "it is in a")
    said = json.loads(out.getvalue()) if as_json else out.getvalue()
    assert said == ({"path": "a"} if as_json else "it is in a\n")


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 50, "3072.0 TiB"),
    ],
)
def test_size(nbytes: int, text: str) -> None:
    assert size(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (1.23, "1.2 s"), (119, "119.0 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_table_aligns_its_columns() -> None:
    assert table([("a", 1), ("long", 22)], ("x", "n")) == "x     n\na     1\nlong  22"
