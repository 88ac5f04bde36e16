"""The numbers of earlier commits, `history.jsonl`: one line per benchmark and commit.

Numbers of different kinds of machines are never compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import Measurement, number

FILE = Path(__file__).with_name("history.jsonl")
SLOWER = 1.15
"""Less than this many times slower is noise."""


@dataclass(frozen=True)
class Entry:
    """One number of one commit."""

    name: str
    commit: str
    date: str
    machine: str
    median: float
    unit: str
    speedup: float | None
    load: float

    @property
    def measurement(self) -> Measurement:
        return Measurement(self.name, self.median, self.unit)


@dataclass(frozen=True)
class Change:
    """A number, and the one before it."""

    now: Entry
    before: Entry

    @property
    def times_as_fast(self) -> float:
        return self.now.measurement.better_than(self.before.median) or 1.0

    @property
    def is_slower(self) -> bool:
        return self.times_as_fast < 1 / SLOWER

    def line(self) -> str:
        """Return it as one line to read."""
        was, now = number(self.before.median), number(self.now.median)
        times = self.times_as_fast
        word = f"{times:.2f} times as fast" if times >= 1 else f"{1 / times:.2f} times slower"
        return (
            f"{self.now.name}: {was} -> {now} {self.now.unit}, {word} as at {self.before.commit}"
            f" (load {self.before.load:.1f} -> {self.now.load:.1f})"
        )


def read(file: Path = FILE) -> list[Entry]:
    """Return the history, oldest first; a line that cannot be read is an error that names it."""
    if not file.exists():
        return []
    found = []
    for n, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(Entry(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file.name}, line {n}: {error}") from error
    return found


def entries(record: Mapping[str, Any]) -> list[Entry]:
    """Return the lines that a record adds to the history."""
    found = []
    for told in record["measurements"]:
        given = {k: v for k, v in told.items() if k in Measurement.__dataclass_fields__}
        m = Measurement(**given)
        speedup = None if m.speedup is None else round(m.speedup, 3)
        found.append(
            Entry(
                m.name, told["commit"], told["date"], record["machine"]["kind"],
                float(f"{m.median:.4g}"), m.unit, speedup, round(m.load, 2),
            )
        )  # fmt: skip
    return found


def append(new: Iterable[Entry], file: Path = FILE) -> None:
    """Add entries; the same benchmark of the same commit and machine is replaced."""
    added = {_key(e): e for e in new}
    kept = [e for e in read(file) if _key(e) not in added]
    lines = [json.dumps(asdict(e)) for e in [*kept, *added.values()]]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _key(entry: Entry) -> tuple[str, str, str]:
    return entry.name, entry.commit, entry.machine


def changes(new: Sequence[Entry], old: Sequence[Entry]) -> list[Change]:
    """Return each new number with the last of another commit on the same kind of machine."""
    found = []
    for entry in new:
        before = [e for e in old if _comparable(e, entry)]
        if before:
            found.append(Change(entry, before[-1]))
    return found


def first_changes(new: Sequence[Entry], old: Sequence[Entry]) -> list[Change]:
    """Return each new number with the first of the history on the same kind of machine."""
    found = []
    for entry in new:
        before = [e for e in old if _comparable(e, entry)]
        if before:
            found.append(Change(entry, before[0]))
    return found


def _comparable(old: Entry, new: Entry) -> bool:
    same = (old.name, old.machine, old.unit) == (new.name, new.machine, new.unit)
    return same and old.commit != new.commit


def told(found: Sequence[Change]) -> str:
    """Return what got slower, and what got faster, to read."""
    slower = [c for c in found if c.is_slower]
    faster = [c for c in found if c.times_as_fast > SLOWER]
    parts = []
    for title, some in (("SLOWER", slower), ("faster", faster)):
        parts += [f"{title}:", *(f"  {c.line()}" for c in some)] if some else []
    rest = len(found) - len(slower) - len(faster)
    return "\n".join([*parts, f"{rest} of {len(found)} as before"])
