"""Tables of an evaluation: Markdown for people, CSV with a row per object for programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto import __version__
from napari_ditto.evaluation import following_report, summary, tracked
from napari_ditto.evaluation.following import FollowRow
from napari_ditto.evaluation.prompted import CORRECTED, FIRST, Row
from napari_ditto.evaluation.runs import Settings
from napari_ditto.evaluation.semantic import CONTROL_COUNT, COUNTS, DiceRow
from napari_ditto.evaluation.tables import number, ordered, strong, table
from napari_ditto.evaluation.tracking import TrackingRow
from napari_ditto.evaluation.whole_images import ImageRow

CONTROLS = ("shuffled", "inverted", "no target")

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


WHOLE = """\
*everything*: no prompt; *like*: one labelled image of the same size is the example. AP50 is
TP / (TP + FP + FN) at an IoU of .5, mSA its mean over .50, .55 to .95; means over images."""

SEMANTIC = """\
Dice with k examples, mean over queries, then images; brackets at k = 4. Controls at k = 4: masks of
other examples and inverted masks (Dice with the truth: a model that reads its examples must fail;
shuffled masks still help where the target lies in the same place in every image, see *copy*), and
the part of a window without any target that is found all the same."""

SCORES = """\
Spearman's correlation of estimated and true IoU over what is shown first and over all candidates,
expected calibration error (both over the five first prompts), and how much better the best
candidate of a click is than the first. A click is ambiguous if its object lies in another labelled
one, or if the model's candidates overlap by less than .5 on average."""


def markdown(found: Mapping[str, Sequence[Any]], settings: Settings) -> str:
    """Return the tables of all tasks that have rows, by the task's name."""
    parts = [
        "# Evaluation",
        f"By `napari-ditto evaluate` {__version__}: at most {settings.objects} objects and "
        f"{settings.images} images a set, {settings.clicks} clicks, seed {settings.seed}.",
    ]
    if rows := found.get("prompts"):
        parts += prompts(rows, settings.clicks)
    if rows := [*found.get("everything", ()), *found.get("like", ())]:
        parts += ["## Whole images", WHOLE, whole_images(rows)]
    if rows := found.get("semantic"):
        models = ordered(r.model for r in rows)
        parts += ["## Classes by example", SEMANTIC, semantic(rows, models)]
        parts += [f"{models[0]} minus the others, 4 examples, paired:", contrasts(rows, models)]
    if rows := found.get("follow"):
        parts += ["## Following", *following_report.paragraphs(rows)]
    if rows := found.get("track"):
        parts += ["## Tracks", tracked.MEANING, tracked.tracks(rows)]
    return "\n\n".join(parts) + "\n"


def prompts(rows: Sequence[Row], cap: int) -> list[str]:
    """Return the paragraphs about prompts."""
    models = ordered(r.model for r in rows)
    return [
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


def whole_images(rows: Sequence[ImageRow]) -> str:
    """Return AP50 and mSA by task, set and model."""
    lines = []
    for key in ordered((r.task, r.group, r.model) for r in rows):
        chosen = [r for r in rows if (r.task, r.group, r.model) == key]
        names = [r.image for r in chosen]
        ap50 = summary.estimate([r.ap50 for r in chosen], names)
        msa = summary.estimate([r.msa for r in chosen], names)
        lines.append([*key, str(len(chosen)), str(ap50), str(msa)])
    return table(("task", "set", "model", "images", "AP50", "mSA"), lines)


def semantic(rows: Sequence[DiceRow], models: Sequence[str]) -> str:
    """Return Dice by the number of examples, and the controls."""
    lines = []
    for group in ordered(r.group for r in rows):
        for model in models:
            ours = [r for r in rows if (r.group, r.model) == (group, model)]
            plain = {k: summary.of_dice(ours, k) for k in COUNTS}
            cells = [str(e) if k == CONTROL_COUNT else number(e.value) for k, e in plain.items()]
            controls = [
                number(summary.of_dice(ours, CONTROL_COUNT, name).value) for name in CONTROLS
            ]
            lines.append([group, model, *cells, *controls])
    return table(("set", "model", *(f"k = {k}" for k in COUNTS), *CONTROLS), lines)


def contrasts(rows: Sequence[DiceRow], models: Sequence[str]) -> str:
    """Return the first model minus every other at k = 4, a column each."""
    lines = []
    for group in ordered(r.group for r in rows):
        cells = [strong(summary.paired_dice(rows, group, models[0], other)) for other in models[1:]]
        lines.append([group, *cells])
    return table(("set", *models[1:]), lines)


def brief(rows: Sequence[Any]) -> str:
    """Return a few means of one job in one line."""
    if not rows:
        return "nothing to measure"
    if isinstance(rows[0], Row):
        chosen = ((name, summary.pick(rows, prompt=name)) for name in COMPARED)
        return ", ".join(f"{n} {summary.of_rows(found).value:.2f}" for n, found in chosen if found)
    if isinstance(rows[0], FollowRow):
        return following_report.brief(rows)
    if isinstance(rows[0], TrackingRow):
        return ", ".join(f"{r.image}: TRA {number(r.tra)}" for r in rows)
    if isinstance(rows[0], ImageRow):
        ap50, msa = (np.mean([getattr(r, name) for r in rows]) for name in ("ap50", "msa"))
        return f"AP50 {ap50:.2f}, mSA {msa:.2f}"
    return ", ".join(f"k={k} {number(summary.of_dice(rows, k).value)}" for k in COUNTS)


class CsvFile:
    """A CSV that grows row by row, so that an interrupted run keeps what it has measured.

    Parameters
    ----------
    path : Path
        Written anew.
    row : type
        The frozen dataclass of its rows; sequences are joined by spaces.
    """

    def __init__(self, path: Path, row: type) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, [f.name for f in fields(row)])
        self._writer.writeheader()

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: Iterable[Any]) -> None:
        """Add rows, and hand them to the operating system."""
        for row in rows:
            self._writer.writerow({name: plain(value) for name, value in asdict(row).items()})
        self._file.flush()


def plain(value: object) -> object:
    """Return a value as a cell of a CSV."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, tuple | list):
        return " ".join(str(plain(v)) for v in value)
    return value
