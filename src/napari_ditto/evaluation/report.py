"""Tables of an evaluation: Markdown for people, CSV with a row per object for programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from napari_ditto.evaluation import summary
from napari_ditto.evaluation.prompted import CORRECTED, FIRST, Row

CORRECTIONS = tuple(f"clicks_{n}" for n in CORRECTED)
SHOWN = (*FIRST, *CORRECTIONS)
COMPARED = ("click", "box", "clicks_5")

MEANING = """\
Mean IoU of the mask shown first, over objects, then images. *click*: any pixel at least 2 px
inside; *centre*: the most interior pixel; *box*: each edge off by up to 7 % of the side;
*box_exact*, *box_10*: off by nothing, by up to 10 %; *clicks_3*, *clicks_5*: after corrections of
the centre click, each in the middle of the largest connected error; *gain*: exact box minus the
ellipse inscribed in it, paired. Brackets are 95 % bootstrap intervals over images; † marks sets of
one image, where objects are drawn and the interval is too narrow."""


SCORES = """\
Spearman's correlation of estimated and true IoU over what is shown first and over all candidates,
expected calibration error (both over the five first prompts), and how much better the best
candidate of a click is than the first. A click is ambiguous if its object lies in another labelled
one, or if the model's candidates overlap by less than .5 on average."""


def markdown(rows: Sequence[Row], cap: int) -> str:
    """Return all tables of the prompts."""
    models = ordered(r.model for r in rows)
    parts = [
        "## Prompts",
        MEANING,
        overview(rows, models),
        "With intervals:",
        intervals(rows, models),
        f"### {models[0]} minus the others",
        "Paired by object; **bold** where the interval excludes zero.",
        differences(rows, models),
        "### Clicks needed",
        f"Mean number of clicks to an IoU of .85 and .90, at most {cap} (failures count as {cap}), "
        "and the part of objects that failed.",
        clicks(rows, models),
        "### By size",
        "All sets together, by the diameter of a disc of the object's area.",
        sizes(rows, models),
        "### Scores",
        SCORES,
        scores(rows, models),
    ]
    return "\n\n".join(parts) + "\n"


def overview(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Return a row per set and model: plain means, easy to read."""
    lines = []
    for group in ordered(r.group for r in rows):
        for model in models:
            found = [summary.of_rows(summary.pick(rows, group, model, p)) for p in SHOWN]
            gained = summary.gain(rows, group, model)
            counts = f"{found[0].objects} / {found[0].images}"
            means = [f"{e.value:.2f}" for e in (*found, gained)]
            lines.append([group, model, counts, *means])
    return table(("set", "model", "objects / images", *SHOWN, "gain"), lines)


def intervals(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Return the means of the main prompts with their intervals."""
    lines = []
    for group in ordered(r.group for r in rows):
        for model in models:
            found = [summary.of_rows(summary.pick(rows, group, model, p)) for p in COMPARED]
            lines.append([group, model, *map(str, found), str(summary.gain(rows, group, model))])
    return table(("set", "model", *COMPARED, "gain"), lines)


def differences(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Return the first model minus every other, paired."""
    lines = []
    for group in ordered(r.group for r in rows):
        for other in models[1:]:
            cells = [
                strong(
                    summary.paired(
                        summary.pick(rows, group, models[0], prompt),
                        summary.pick(rows, group, other, prompt),
                    )
                )
                for prompt in COMPARED
            ]
            lines.append([group, other, *cells])
    return table(("set", "minus", *COMPARED), lines)


def clicks(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Return clicks needed and failure rates."""
    lines = []
    for group in ordered(r.group for r in rows):
        for model in models:
            line = [group, model]
            for prompt in ("noc_85", "noc_90"):
                found = summary.pick(rows, group, model, prompt)
                needed = summary.of_rows(found, lambda r: r.clicks)
                line += [f"{needed.value:.1f}", f"{summary.failures(found):.0%}"]
            lines.append(line)
    return table(("set", "model", "NoC@85", "failed", "NoC@90", "failed"), lines)


def sizes(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Return mean IoU by object size, all sets together."""
    names = [f"{a:g} to {b:g} px" for a, b in pairwise(summary.SIZES)]
    lines = []
    for model in models:
        for prompt in COMPARED:
            bins = summary.by_size(summary.pick(rows, None, model, prompt))
            cells = [
                f"{e.value:.2f} (n {e.objects})" if e.objects else ""
                for e in map(summary.of_rows, bins)
            ]
            lines.append([model, prompt, *cells])
    return table(("model", "prompt", *names), lines)


def scores(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Return how far a model's own scores can be trusted."""
    lines = []
    for model in models:
        ours = summary.pick(rows, None, model)
        if not any(len(r.ious) > 1 for r in ours):
            continue
        clicked = [r for r in ours if r.prompt in ("click", "centre")]
        unsure = [r for r in ours if r.prompt == "click" and r.ambiguous]
        cells = [f"{v:.2f}" for v in summary.ranks(ours)]
        gaps = [summary.best_gap(clicked), summary.best_gap(unsure)]
        lines.append([model, *cells, str(gaps[0]), f"{gaps[1]} (n {gaps[1].objects})"])
    head = ("model", "Spearman, first", "all", "ECE", "best minus first", "on ambiguous clicks")
    return table(head, lines) if lines else "No model here gives several candidates."


def strong(found: summary.Estimate) -> str:
    """Return an estimate, bold where its interval excludes zero."""
    return f"**{found}**" if found.beyond_zero else str(found)


def ordered(names: Iterable[str]) -> list[str]:
    """Return names in the order of their first use."""
    return list(dict.fromkeys(names))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write a row per object, prompt and model; candidates are joined by spaces."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        for row in rows:
            writer.writerow({name: plain(value) for name, value in asdict(row).items()})


def plain(value: object) -> object:
    """Return a value as a cell of a CSV."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, tuple | list):
        return " ".join(str(plain(v)) for v in value)
    return value
