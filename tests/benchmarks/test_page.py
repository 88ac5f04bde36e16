"""The page says what the record says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

from benchmarks import history, page
from benchmarks.goals import GOALS, REASONS
from benchmarks.history import Entry
from benchmarks.run import FILE

KIND = "Linux x86_64, 2 cores, avx2"


def measurement(name: str, median: float, **more: object) -> dict[str, object]:
    return {"name": name, "median": median, "unit": "s", "commit": "new", "date": "2026"} | more


RECORD = {
    "date": "2026-11-22T00:00:00", "commit": "new", "load_before": 0.25,
    "failed": {"test_x": "why"},
    "machine": {
        "system": "Linux x86_64", "processor": "A", "cores": 2, "flags": ["avx2"], "memory_gb": 8.0,
        "gpu": "", "python": "3.11", "packages": {"torch": "2"}, "kind": KIND,
    },
    "measurements": [
        measurement("sam/encode", 3.0, reference=9.0, reference_name="transformers", floor=1.0),
        measurement("ditto/everything", 1.5),
        measurement("new/thing", 0.123),
    ],
}  # fmt: skip
OLD = [Entry(n, "old", "2026", KIND, 1.0, "s", None, 0) for n in ("ditto/everything", "sam/encode")]


def test_goals_are_judged() -> None:
    drawn = page.draw(RECORD, OLD)
    rows = {line.split(" | ")[0][2:]: line for line in drawn.splitlines() if line[:2] == "| "}
    assert "at least 4 times | 3.00 times | **missed** |" in rows[GOALS[0].text]
    assert "at most 2 s | 1.50 s | met | - |" in rows["`ditto`, everything on 512 x 512"]
    assert "not measured: no GPU here" in rows["SAM ViT-B on a GPU against transformers in float32"]
    assert "1 of 3 goals that were measured are met" in drawn


def test_what_is_slower_has_a_reason_or_says_that_it_has_none(monkeypatch) -> None:
    assert "| ditto/everything | 1.00 s | 1.50 | 1.50 | **no reason" in page.draw(RECORD, OLD)
    monkeypatch.setitem(REASONS, "ditto/everything", "it finds more")
    assert "| 1.50 | it finds more |" in page.draw(RECORD, OLD)


def test_what_nobody_planned_is_shown_too() -> None:
    drawn = page.draw(RECORD, [])
    assert "### new" in drawn
    assert "0.123 s" in drawn
    assert "| `test_x` | why |" in drawn
    assert "GPUs (`benchmarks/test_gpu.py` is there to run)" in drawn


def test_pictures_are_svg() -> None:
    found, new = page.measurements(RECORD), history.entries(RECORD)
    for drawn in (
        page.encode_picture(found),
        page.before_picture(history.first_changes(new, OLD)),
        page.before_picture([]),
    ):
        assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - we have just drawn it


def test_the_page_in_the_docs_is_fresh() -> None:
    """Whoever measures draws the page as well: `make bench-page`."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    assert page.PAGE.read_text(encoding="utf-8") == page.draw(record, history.read())
