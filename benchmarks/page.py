"""Draw `docs/explain/speed.md` and its pictures from the record and the history.

    python -m benchmarks.page

Every number on the page is read from `record.json` or `history.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import charts, history
from benchmarks.goals import GOALS, REASONS, Goal
from benchmarks.records import Measurement, number
from benchmarks.run import FILE

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "explain/speed.md"
TEMPLATE = Path(__file__).with_name("page_template.md")
PICTURES = DOCS / "images"

GROUPS = {
    "machine": "The machine's own rate",
    "sam": "SAM ViT-B",
    "sam2": "SAM 2 tiny",
    "ditto": "`ditto`",
    "classic": "`classic`",
    "store": "Embeddings on disk",
    "pipeline": "Reading, encoding and storing at once",
    "labels": "Committing and taking back an object of 100 x 100 pixels",
    "program": "Starting",
}
RACES = tuple(
    [f"{family}/encode{which}" for which in ("", ", int8", ", bfloat16", ", float32")]
    for family in ("sam", "sam2")
)
"""What the first picture shows: a network as it is chosen, and in other precisions."""


def measurements(record: Mapping[str, Any]) -> dict[str, Measurement]:
    """Return what a record holds, by name."""
    fields = Measurement.__dataclass_fields__
    told = record["measurements"]
    return {m["name"]: Measurement(**{k: m[k] for k in fields if k in m}) for m in told}


# --- text ----------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def goal_row(goal: Goal, found: Mapping[str, Measurement]) -> list[str]:
    """Return a line of the table of goals."""
    measured = found.get(goal.name)
    if measured is None or goal.value(measured) is None:
        why = "no GPU here" if "GPU" in goal.name else "not in the record"
        return [goal.text, goal.asked, "-", f"not measured: {why}", "-", "-"]
    verdict = "met" if goal.is_met(measured) else "**missed**"
    floor = _floor(measured) if goal.field in ("median", "p95", "speedup", "of_floor") else "-"
    return [
        goal.text, goal.asked, goal.found(measured), verdict, floor,
        f"{measured.load:.1f}",
    ]  # fmt: skip


def _floor(m: Measurement) -> str:
    if m.floor is None:
        return "-"
    return f"{number(m.floor)} {m.unit}, and it takes {number(m.of_floor)} times that"


def measured_row(m: Measurement, before: Mapping[str, history.Change]) -> list[str]:
    """Return a line of the tables of everything."""
    change = before.get(m.name)
    was = f"{number(change.before.median)} ({change.times_as_fast:.2f})" if change else "-"
    reference = "-"
    if m.reference is not None:
        reference = f"{m.reference_name}: {number(m.reference)}, {m.speedup:.2f} times as fast"
    floor = "-" if m.floor is None else f"{number(m.floor)}, {m.of_floor:.1f} times that"
    about = ", ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in m.about.items())
    return [
        m.name.partition("/")[2], f"{number(m.median)} {m.unit}".strip(),
        "-" if m.p95 is None else number(m.p95), "processor" if m.clock == "cpu" else "wall",
        was, reference, floor, f"{m.load:.1f}", about or "-",
    ]  # fmt: skip


def groups(found: Mapping[str, Measurement], before: Mapping[str, history.Change]) -> str:
    """Return a table for each family of measurements."""
    head = (
        "what", "median", "p95", "clock", "before (times as fast)", "reference in the same run",
        "floor", "load", "more",
    )  # fmt: skip
    parts = []
    families = dict.fromkeys([*GROUPS, *(name.partition("/")[0] for name in found)])
    for family in families:
        of_it = [m for name, m in found.items() if name.partition("/")[0] == family]
        if of_it:
            rows = [measured_row(m, before) for m in of_it]
            parts.append(f"### {GROUPS.get(family, family)}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def slower(before: Mapping[str, history.Change]) -> str:
    """Return what is slower than at the start of the history, and why."""
    worse = [c for c in before.values() if c.is_slower]
    if not worse:
        return "Nothing in the record is slower than in the first entry of the history."
    rows = [
        [c.now.name, f"{number(c.before.median)} {c.now.unit}", f"{number(c.now.median)}",
         f"{1 / c.times_as_fast:.2f}", REASONS.get(c.now.name, "**no reason is known**")]
        for c in worse
    ]  # fmt: skip
    return table(("what", "before", "now", "times slower", "why"), rows)


def machine(record: Mapping[str, Any]) -> str:
    """Return what the record was measured on."""
    about = record["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    return (
        f"{about['system']}, {about['processor']}, {about['cores']} cores, "
        f"{about['memory_gb']:g} GB of memory, {' '.join(about['flags']) or 'no known flags'}; "
        f"GPU: {about['gpu'] or 'none'}; Python {about['python']}, {packages}"
    )


def failures(record: Mapping[str, Any]) -> str:
    """Return what was tried and gave no number."""
    failed = record["failed"]
    if not failed:
        return ""
    rows = [[f"`{name}`", str(why)] for name, why in failed.items()]
    return "\n\nIn this run these gave no number, or not all:\n\n" + table(("part", "why"), rows)


def not_run(record: Mapping[str, Any]) -> str:
    """Return what no number on the page speaks of."""
    gpu = "" if record["machine"]["gpu"] else "GPUs (`benchmarks/test_gpu.py` is there to run), "
    rest = "macOS and Windows, other processors than the one above, network file systems, "
    return f"{gpu}{rest}networks with published weights (seeded random ones take as long)"


def draw(record: Mapping[str, Any], old: Sequence[history.Entry]) -> str:
    """Return the page."""
    found = measurements(record)
    new = history.entries(record)
    before = {c.now.name: c for c in history.first_changes(new, old)}
    met = [g.is_met(found[g.name]) for g in GOALS if g.name in found]
    first = next(iter(before.values())).before.commit if before else "none"
    commits = ", ".join(dict.fromkeys(e.commit for e in new))
    return TEMPLATE.read_text(encoding="utf-8").format(
        machine=machine(record), commits=commits, date=record["date"][:10],
        load=f"{record['load_before']:.1f}", met=sum(map(bool, met)), measured=len(met),
        goals=len(GOALS), first=first,
        goal_table=table(
            ("goal", "asked", "measured", "verdict", "floor", "load"),
            [goal_row(goal, found) for goal in GOALS],
        ),
        groups=groups(found, before), slower=slower(before), failures=failures(record),
        not_run=not_run(record),
    )  # fmt: skip


# --- pictures ------------------------------------------------------------------------------------


def encode_picture(found: Mapping[str, Measurement]) -> str:
    """Return bars of the encoders: the library, ours, and the floor."""
    rows = []
    for names in RACES:
        there = [found[name] for name in names if name in found]
        if not there:
            continue
        family = GROUPS[there[0].name.partition("/")[0]]
        m = there[0]
        if m.reference:
            rows.append((f"{family}, {m.reference_name}", m.reference, charts.OTHERS, ""))
        for m in reversed(list({str(m.about.get("precision")): m for m in there}.values())):
            kind = m.about.get("precision", "")
            rows.append((f"{family}, ours, {kind}", m.median, charts.OURS, ""))
            if m.floor and kind != "int8":  # that of bytes is bfloat16's
                rows.append((f"its products alone, {kind}", m.floor, charts.FLOOR, ""))
    named = [(label, value, color, f"{number(value)} s") for label, value, color, _ in rows]
    return charts.bars("Seconds to encode 1,024 x 1,024", named)


def before_picture(before: Iterable[history.Change]) -> str:
    """Return bars of what has become faster or slower since the history began."""
    rows = [(c.now.name, c.times_as_fast) for c in before if c.now.name[:8] != "machine/"]
    return charts.ratios("Times as fast as before (logarithmic)", sorted(rows, key=lambda r: -r[1]))


def main() -> None:
    """Write the page and its pictures."""
    record, old = json.loads(FILE.read_text(encoding="utf-8")), history.read()
    PAGE.write_text(draw(record, old), encoding="utf-8")
    (PICTURES / "speed-encode.svg").write_text(encode_picture(measurements(record)))
    before = history.first_changes(history.entries(record), old)
    (PICTURES / "speed-before.svg").write_text(before_picture(before))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
