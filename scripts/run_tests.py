"""Run the suite: the core without a display, in two halves, and the GUI with each Qt binding.

    python scripts/run_tests.py [--whole] [pytest's arguments]

The last line adds up the runs. GUI tests run with one binding, and half of them, chosen by their
names, with the other one too; with ``--whole`` all of them but those without a widget of ours
(marked ``once``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_TESTS_COLLECTED = 5


@dataclass(frozen=True)
class Run:
    """One pytest process."""

    title: str
    arguments: tuple[str, ...]
    binding: str = ""
    first_display: int = 99
    """Where the search for a free one begins: two searches from one number may both find it."""


# Without these two plugins nothing loads Qt, whose libraries a server may not have.
CORE = ("-m", "not gui", "-p", "no:pytest-qt", "-p", "no:napari")
SECOND = "--second-binding=half"
GUI = ("-m", "gui", "tests/ui")
HALF = ("models", "training", "evaluation", "cli", "hostile")
"""Folders of tests that take about half of the core's time."""

RUNS = (
    Run("core, second half", (*CORE, "tests", *(f"--ignore=tests/{name}" for name in HALF))),
    Run("core, first half", (*CORE, *(f"tests/{name}" for name in HALF))),
    Run("GUI, PyQt6", GUI, "pyqt6", 100),
    Run("GUI, PySide6", (*GUI, SECOND), "pyside6", 140),
)
"""The longest first, two at a time for two cores: a third takes more time than it saves."""
AT_ONCE = 2


def _whole(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("--second-binding=whole" if a == SECOND else a for a in arguments)


def environment(binding: str) -> dict[str, str]:
    """Return the environment of a run; the core's has no display."""
    drop = {"QT_API", "PYTEST_QT_API"} | (set() if binding else {"DISPLAY", "WAYLAND_DISPLAY"})
    chosen = {"OMP_NUM_THREADS": "1"}  # two processes with two threads each wait for each other
    if binding:
        chosen |= {"QT_API": binding, "PYTEST_QT_API": binding}
    return {k: v for k, v in os.environ.items() if k not in drop} | chosen


def virtual_display(first: int) -> list[str]:
    """Return the prefix that gives a command its own screen, empty where there is no Xvfb."""
    found = shutil.which("xvfb-run")
    return [found, "-a", "-n", str(first), "-s", "-screen 0 1600x1200x24"] if found else []


def start(run: Run, extra: list[str], report: Path) -> subprocess.Popen[bytes]:
    """Start pytest, which writes a JUnit report; what it says is kept for later."""
    prefix = virtual_display(run.first_display) if run.binding else []
    command = [*prefix, sys.executable, "-m", "pytest", *run.arguments, f"--junitxml={report}"]
    said = report.with_suffix(".txt").open("w")
    return subprocess.Popen(  # noqa: S603 - the command is ours
        [*command, *extra],
        env=environment(run.binding),
        cwd=ROOT,
        stdout=said,
        stderr=subprocess.STDOUT,
    )


def finish(run: Run, process: subprocess.Popen[bytes], report: Path) -> int:
    """Print what a run said that has ended, return the exit status."""
    print(f"\n=== {run.title} ===", flush=True)
    said = report.with_suffix(".txt")
    print(said.read_text(errors="replace") if said.exists() else "", flush=True)
    return 0 if process.returncode == NO_TESTS_COLLECTED else process.returncode


def tally(report: Path) -> Counter[str]:
    """Return the numbers of a JUnit report."""
    if not report.exists():
        return Counter(failed=1)
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - written by our own pytest
    assert suite is not None  # noqa: S101
    count = Counter(
        {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    )
    failed = count["failures"] + count["errors"]
    return Counter(
        passed=count["tests"] - failed - count["skipped"], failed=failed, skipped=count["skipped"]
    )


def main(extra: list[str]) -> int:
    """Run all; return 1 if any run failed."""
    runs = RUNS
    if "--whole" in extra:
        extra = [argument for argument in extra if argument != "--whole"]
        runs = tuple(replace(run, arguments=_whole(run.arguments)) for run in RUNS)
    total: Counter[str] = Counter()
    begun, failed = time.perf_counter(), False
    with tempfile.TemporaryDirectory() as folder:
        waiting, working = list(runs), dict[Run, subprocess.Popen[bytes]]()
        reports = {run: Path(folder, f"{runs.index(run)}.xml") for run in runs}
        while waiting or working:
            while waiting and len(working) < AT_ONCE:
                run = waiting.pop(0)
                print(f"{run.title} begins", flush=True)
                working[run] = start(run, extra, reports[run])
            time.sleep(0.5)
            for run in [run for run, process in working.items() if process.poll() is not None]:
                failed |= finish(run, working.pop(run), reports[run]) != 0
                total += tally(reports[run])
    print(f"\nin {time.perf_counter() - begun:.0f} s")
    print(f"tests: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
