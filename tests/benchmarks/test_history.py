"""Numbers of earlier commits: kept once each, compared only with their like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import history
from benchmarks.history import Entry

OLD = Entry("x/a", "1111111", "2026-01-01", "Linux, 2 cores", 2.0, "s", None, 0.5)
NEW = replace(OLD, commit="2222222", median=1.0)


def test_an_entry_is_kept_once_per_commit_and_machine(tmp_path) -> None:
    file = tmp_path / "h.jsonl"
    history.append([OLD, NEW], file)
    history.append([replace(NEW, median=0.9), replace(NEW, machine="else")], file)
    assert history.read(file) == [OLD, replace(NEW, median=0.9), replace(NEW, machine="else")]
    assert history.read(tmp_path / "none.jsonl") == []


def test_a_damaged_line_is_named(tmp_path) -> None:
    (tmp_path / "h.jsonl").write_text('{"name": 1}\n')
    with pytest.raises(ValueError, match=r"h\.jsonl, line 1"):
        history.read(tmp_path / "h.jsonl")


@pytest.mark.parametrize(
    "other", [{"machine": "else"}, {"unit": "ms"}, {"name": "x/b"}, {"commit": NEW.commit}]
)
def test_only_like_is_compared(other: dict[str, str]) -> None:
    assert history.changes([NEW], [replace(OLD, **other)]) == []


def test_the_last_and_the_first_before() -> None:
    between = replace(OLD, commit="3333333", median=4.0)
    assert history.changes([NEW], [OLD, between])[0].times_as_fast == 4
    assert history.first_changes([NEW], [OLD, between])[0].times_as_fast == 2


@pytest.mark.parametrize(
    ("unit", "before", "now", "is_slower"),
    [("s", 1.0, 1.1, False), ("s", 1.0, 1.2, True), ("s", 1.0, 0.5, False),
     ("planes/s", 1.0, 0.8, True), ("planes/s", 1.0, 2.0, False)],
)  # fmt: skip
def test_what_got_slower_is_said(unit: str, before: float, now: float, is_slower: bool) -> None:
    old, new = replace(OLD, unit=unit, median=before), replace(NEW, unit=unit, median=now)
    (change,) = history.changes([new], [old])
    assert change.is_slower == is_slower
    assert ("SLOWER" in history.told([change])) == is_slower
