"""One failing benchmark takes no number of the others along."""

from __future__ import annotations

import json

import pytest

from benchmarks import history, run
from benchmarks.machine import measured_code, this_machine
from benchmarks.records import report
from benchmarks.run import Part

WRITES_AND_FAILS = """
import os
def test_it():
    with open(os.environ["DITTO_BENCH_RECORD"], "a") as file:
        file.write('{"name": "x/a"}\\n')
    assert False
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder with one benchmark, that fails after it has reported."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/test_x.py").write_text(WRITES_AND_FAILS)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    return tmp_path


def test_what_was_reported_before_a_failure_is_kept(written) -> None:
    lines = written / "lines"
    assert run.run_part(Part("test_x"), lines, 60) == "pytest ended with status 1"
    assert lines.read_text() == '{"name": "x/a"}\n'


def test_a_part_that_takes_too_long_is_stopped(written) -> None:
    assert run.run_part(Part("test_x"), written / "lines", 0.05) == "stopped after 0 s"


def pretend(monkeypatch, found: dict[str, float]) -> None:
    """Let parts report numbers without running; a part without one fails."""

    def run_part(part, lines, seconds):
        if part.module not in found:
            return "it failed"
        monkeypatch.setenv(run.RECORD, str(lines))
        report(f"x/{part.module}", found[part.module], "s")
        monkeypatch.delenv(run.RECORD)
        return ""

    monkeypatch.setattr(run, "run_part", run_part)
    monkeypatch.setattr(run, "PARTS", (Part("a"), Part("b"), Part("c")))


def test_a_record_and_a_history_are_written(tmp_path, monkeypatch, capsys) -> None:
    record, past = tmp_path / "r.json", tmp_path / "h.jsonl"
    places = ["--record", str(record), "--history", str(past)]
    pretend(monkeypatch, {"a": 1.0, "c": 3.0})
    assert run.main(places) == 0
    assert "FAILED: b: it failed" in capsys.readouterr().out
    told = json.loads(record.read_text())
    assert [m["name"] for m in told["measurements"]] == ["x/a", "x/c"]
    assert told["failed"] == {"b": "it failed"}
    assert [e.name for e in history.read(past)] == ["x/a", "x/c"]

    pretend(monkeypatch, {"b": 2.0, "c": 30.0})
    monkeypatch.setattr(run, "measured_code", lambda: "later")
    assert run.main([*places, "--only", "b", "c:some", "--no-history"]) == 0
    assert "SLOWER:\n  x/c: 3.00 -> 30.0 s" in capsys.readouterr().out
    told = json.loads(record.read_text())
    assert {m["name"]: m["median"] for m in told["measurements"]} == {
        "x/a": 1.0, "x/b": 2.0, "x/c": 30.0,
    }  # fmt: skip
    assert len(history.read(past)) == 2


def test_nothing_measured_is_a_failure(tmp_path, monkeypatch) -> None:
    pretend(monkeypatch, {})
    assert run.main(["--record", str(tmp_path / "r.json")]) == 1
    assert not (tmp_path / "r.json").exists()


def test_no_part_begins_when_time_is_up(monkeypatch) -> None:
    pretend(monkeypatch, {"a": 1.0})
    assert set(run.measure(run.PARTS, 0)["failed"].values()) == {"no time left"}


def test_what_was_measured_before_an_interruption_is_kept(monkeypatch) -> None:
    pretend(monkeypatch, {"a": 1.0})
    pretended = run.run_part

    def interrupted(part, *how):
        if part.module == "b":
            raise KeyboardInterrupt
        return pretended(part, *how)

    monkeypatch.setattr(run, "run_part", interrupted)
    record = run.measure(run.PARTS, 1)
    assert [m["name"] for m in record["measurements"]] == ["x/a"]
    assert record["failed"] == {"the rest": "interrupted"}


def test_a_line_that_was_cut_off_is_left_out(tmp_path) -> None:
    (tmp_path / "lines").write_text('{"name": "x/a"}\n{"name": "x/')
    record = {"commit": "1", "date": "2026", "failed": {}}
    assert [m["name"] for m in run.read_lines(tmp_path / "lines", record)] == ["x/a"]
    assert record["failed"] == {"record": "a line was cut off"}


def test_every_part_is_there() -> None:
    assert [
        p.title for p in run.PARTS if not (run.ROOT / f"benchmarks/{p.module}.py").exists()
    ] == []
    assert [p.title for p in run.named("test_networks:encode")] == ["test_networks:encode"]


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    machine = this_machine()
    assert machine.cores >= 1
    assert platform.node() not in json.dumps(machine.as_record()) or not platform.node()
    assert f"{machine.cores} cores" in machine.kind
    assert measured_code()
