"""Measure, write one record, compare with the history and add to it.

    python -m benchmarks.run                         all that the page shows, 20 minutes at most
    python -m benchmarks.run --only test_networks    a part; the rest of the record stays

Each module is a process of its own, and every number is written down as soon as it is measured: a
benchmark that fails, or is stopped when time is up, takes no other along.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.machine import measured_code, this_machine
from benchmarks.records import RECORD

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("record.json")
MINUTES = 20.0


@dataclass(frozen=True)
class Part:
    """A module, and the tests of it that the page shows."""

    module: str
    only: str = ""
    gui: bool = False
    minutes: float = 3.0
    """At most; a part that takes longer is stopped."""

    @property
    def title(self) -> str:
        return f"{self.module}:{self.only}" if self.only else self.module


PARTS = (
    Part("test_roofline", minutes=1),
    Part("test_networks", "encode", minutes=5),
    Part("test_networks", "decode"),
    Part("test_interaction"),
    Part("test_hover", "hover_to_contour and 512", gui=True),
    Part("test_following", "ditto"),
    Part("test_whole_speed", "ditto"),
    Part("test_start_and_edit", minutes=1.5),
    Part("test_networks", "first_mask", minutes=2),
    Part("test_gpu", minutes=2),
    Part("test_throughput", "ditto", minutes=1.5),
    Part("test_pipeline", "test_store or (encoder and not kept)", minutes=2),
    Part("test_networks", "propagate"),
)
"""What matters most comes first, in case time is up."""


def run_part(part: Part, lines: Path, seconds: float) -> str:
    """Run one module, whose numbers go into a file; return what went wrong, empty for nothing."""
    path = f"benchmarks/{part.module}.py"
    command = [sys.executable, "-m", "pytest", path, "--benchmark-enable", "-q", "-s"]
    command += ["-p", "no:cacheprovider", "--timeout=0", "-o", "faulthandler_timeout=0"]
    command += ["-k", part.only] if part.only else []
    command += [] if part.gui else ["-p", "no:pytest-qt", "-p", "no:napari"]
    # All parts share the settings, in which the choice of a precision is remembered.
    folders = {"NAPARI_DITTO_CONFIG": str(lines.parent), RECORD: str(lines)}
    env = {**os.environ, **folders, "COLUMNS": "120"}
    screen = ["-s", "-screen 0 1600x1200x24"]
    xvfb = shutil.which("xvfb-run") if part.gui and not os.environ.get("DISPLAY") else None
    prefix = [xvfb, "-a", *screen] if xvfb else []
    with subprocess.Popen([*prefix, *command], cwd=ROOT, env=env) as child:
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s"
        finally:
            _end(child)
    return "" if status in (0, 5) else f"pytest ended with status {status}"


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started, if it has not ended."""
    import psutil

    if child.poll() is not None:
        return
    everyone = psutil.Process(child.pid).children(recursive=True)
    for process in [*everyone, child]:
        process.kill()
    child.wait()


def measure(parts: Sequence[Part], minutes: float) -> dict[str, Any]:
    """Run the parts one after the other; return the record of what was found."""
    begun, started = datetime.now(UTC), time.monotonic()
    record: dict[str, Any] = {
        "date": begun.isoformat(timespec="seconds"), "commit": measured_code(),
        "machine": this_machine().as_record(), "load_before": os.getloadavg()[0],
        "measurements": [], "failed": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "measured.jsonl")
        try:
            for part in parts:
                left = 60 * minutes - (time.monotonic() - started)
                limit = min(left, 60 * part.minutes)
                problem = run_part(part, lines, limit) if left > 1 else "no time left"
                if problem:
                    record["failed"][part.title] = problem
        except KeyboardInterrupt:
            record["failed"]["the rest"] = "interrupted"
        record["measurements"] = read_lines(lines, record)
    record["seconds"] = round(time.monotonic() - started, 1)
    return record


def read_lines(lines: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was measured; a line that was cut off when a part was stopped is left out."""
    found = []
    for line in lines.read_text(encoding="utf-8").splitlines() if lines.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            record["failed"]["record"] = "a line was cut off"
            continue
        found.append(told | {"commit": record["commit"], "date": record["date"]})
    return found


def merged(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Return a record in which what was measured now replaces what was measured before."""
    if old is None or old["machine"]["kind"] != new["machine"]["kind"]:
        return new
    measured = {m["name"] for m in new["measurements"]}
    kept = [m for m in old["measurements"] if m["name"] not in measured]
    return new | {"measurements": [*kept, *new["measurements"]]}


def named(title: str) -> list[Part]:
    """Return the parts of a module, or the tests of it that an expression after ``:`` chooses."""
    module, _, only = title.partition(":")
    parts = [p for p in PARTS if p.module == module] or [Part(module)]
    exactly = [p for p in parts if p.only == only]
    return exactly or [replace(parts[0], only=only)] if only else parts


def main(words: Sequence[str] | None = None) -> int:
    """Measure, compare, write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="MODULE", help="or MODULE:TESTS")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--record", type=Path, default=FILE, help="where the record is written")
    parser.add_argument("--history", type=Path, default=history.FILE)
    parser.add_argument("--no-history", action="store_true", help="compare, but add nothing")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was measured is kept
    parts = [part for title in given.only for part in named(title)] if given.only else list(PARTS)
    record = measure(parts, given.minutes)
    if not record["measurements"]:
        print(f"nothing was measured: {record['failed']}")
        return 1
    new, old = history.entries(record), history.read(given.history)
    print("\n" + history.told(history.changes(new, old)))
    for title, problem in record["failed"].items():
        print(f"FAILED: {title}: {problem}")
    before = json.loads(given.record.read_text()) if given.only and given.record.exists() else None
    given.record.write_text(json.dumps(merged(before, record), indent=1) + "\n", encoding="utf-8")
    if not given.no_history:
        history.append(new, given.history)
    print(f"{len(new)} numbers in {record['seconds']:.0f} s, load {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
