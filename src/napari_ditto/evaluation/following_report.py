"""Tables of what was carried along an axis: by set, by distance, by goal, by confidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_ditto.evaluation.following import FollowRow
from napari_ditto.evaluation.metrics import rank_correlation
from napari_ditto.evaluation.summary import Estimate, estimate
from napari_ditto.evaluation.tables import number, ordered, strong, table

BINS = (1, 2, 3, 4, 6, 9, 17, 33)
"""Lowest distances of the bins of long stacks; the last bin has no end."""

PATIENTS = ("sunnybrook_cmr",)
"""Sets whose unit is the patient, and whose measure is Dice."""

BAD = 0.5
"""An IoU below this wants a look."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a set is to reach: the mean of a measure over some distances."""

    first: int
    last: int
    value: float


ALL = 10**6
GOALS = {
    "sstem_mito": (Goal(1, 3, 0.70), Goal(8, 8, 0.45)),
    "sstem_mito_3": (Goal(1, 3, 0.70),),
    "fib25_neuroproof": (Goal(1, ALL, 0.75),),
    "ovule_cells": (Goal(1, ALL, 0.70),),
    "sunnybrook_cmr": (Goal(1, ALL, 0.75),),
}

MEANING = """\
Labels of one or a few planes carried through a stack or a movie. Mean IoU (*sunnybrook_cmr*: Dice)
of objects that are in a given plane, over all other planes where they are in truth, first over the
planes of an object (of a patient, of a sequence), then over those; brackets are 95 % bootstrap
intervals over them. *copy* repeats the nearest given plane unchanged. Distance is counted in planes
to the nearest given one that shows the object. *lost*: part of rows where nothing was found of an
object that is there; *ghosts*: part of rows where an object was found that has ended or not yet
begun."""

DOUBTS = """\
Spearman's correlation of confidence and IoU, the part of rows with an IoU below .5, and how much of
them are among the same number of least confident rows (by chance: as many as their part)."""


def measure(row: FollowRow) -> float:
    """Return Dice for sets of patients, else IoU."""
    return row.dice if row.group in PATIENTS else row.iou


def unit(row: FollowRow) -> str:
    """Return what counts as independent: a patient, a sequence, or an object of a stack."""
    alone = row.group in PATIENTS or not np.isnan(row.contour)
    return row.image if alone else f"{row.image}/{row.label}"


def mean_of(rows: Iterable[FollowRow], value: Callable[[FollowRow], float] = measure) -> Estimate:
    """Return the mean over rows where the object is there."""
    there = [r for r in rows if r.present]
    return estimate([value(r) for r in there], [unit(r) for r in there])


def near(rows: Iterable[FollowRow], first: int, last: int) -> list[FollowRow]:
    """Return the rows at some distances, both ends included."""
    return [r for r in rows if first <= r.distance <= last]


def of(rows: Sequence[FollowRow], group: str, model: str) -> list[FollowRow]:
    """Return the rows of one model on one set."""
    return [r for r in rows if (r.group, r.model) == (group, model)]


def paired(rows: Sequence[FollowRow], group: str, model: str, other: str) -> Estimate:
    """Return the mean difference of two models on the same objects and planes."""
    theirs = {key(r): measure(r) for r in of(rows, group, other)}
    ours = [r for r in of(rows, group, model) if key(r) in theirs]
    return mean_of(ours, lambda r: measure(r) - theirs[key(r)])


def key(row: FollowRow) -> tuple[str, str, int, int]:
    """Return what the rows of two models on the same question share."""
    return row.image, row.draw, row.label, row.plane


def paragraphs(rows: Sequence[FollowRow]) -> list[str]:
    """Return the tables of all sets."""
    groups, models = ordered(r.group for r in rows), ordered(r.model for r in rows)
    parts = [MEANING, overview(rows, groups, models), "### By distance"]
    parts.append(by_distance(rows, groups, models))
    if any(g in GOALS for g in groups):
        parts += ["### Goals", goals(rows, groups, models)]
    if len(models) > 1:
        parts += [f"### {models[0]} minus the others", contrasts(rows, groups, models)]
    if any(not np.isnan(r.confidence) for r in rows):
        parts += ["### Confidence", DOUBTS, doubts(rows, groups, models)]
    return parts


def overview(rows: Sequence[FollowRow], groups: Sequence[str], models: Sequence[str]) -> str:
    """Return the means of each set and model."""
    lines = []
    for group in groups:
        for model in models:
            ours = of(rows, group, model)
            if ours:
                found = mean_of(ours)
                contours = mean_of([r for r in ours if not np.isnan(r.contour)], j_and_f)
                lost = [not r.found_area for r in ours if r.present]
                ghosts = [r.found_area > 0 for r in ours if not r.present]
                shares = [f"{np.mean(x):.0%}" if x else "" for x in (lost, ghosts)]
                lines.append([group, model, str(found.images), str(found), *shares, str(contours)])
    return table(("set", "model", "units", "mean", "lost", "ghosts", "J&F"), lines)


def j_and_f(row: FollowRow) -> float:
    """Return the mean of region and contour, as in DAVIS."""
    return (row.iou + row.contour) / 2


def by_distance(rows: Sequence[FollowRow], groups: Sequence[str], models: Sequence[str]) -> str:
    """Return means by distance to the given plane."""
    ends = [*(b - 1 for b in BINS[1:]), ALL]
    bins = list(zip(BINS, ends, strict=True))
    names = [span(a, b) for a, b in bins]
    lines = []
    for group in groups:
        for model in models:
            ours = of(rows, group, model)
            cells = [number(mean_of(near(ours, a, b)).value) for a, b in bins]
            if any(cells):
                lines.append([group, model, *cells])
    return table(("set", "model", *names), lines)


def goals(rows: Sequence[FollowRow], groups: Sequence[str], models: Sequence[str]) -> str:
    """Return every goal with what each model reaches."""
    lines = []
    for group in groups:
        for goal in GOALS.get(group, ()):
            found = [mean_of(near(of(rows, group, m), goal.first, goal.last)) for m in models]
            cells = [f"{number(e.value)}{' missed' * (e.value < goal.value)}" for e in found]
            lines.append([group, span(goal.first, goal.last), f"{goal.value:.2f}", *cells])
    return table(("set", "distance", "goal", *models), lines)


def span(first: int, last: int) -> str:
    """Return a range of distances in words."""
    if last >= ALL:
        return "all" if first == 1 else f"{first} and more"
    return str(first) if first == last else f"{first} to {last}"


def contrasts(rows: Sequence[FollowRow], groups: Sequence[str], models: Sequence[str]) -> str:
    """Return the first model minus every other, paired by object and plane."""
    lines = [[g, *(strong(paired(rows, g, models[0], m)) for m in models[1:])] for g in groups]
    return table(("set", *models[1:]), lines)


def doubts(rows: Sequence[FollowRow], groups: Sequence[str], models: Sequence[str]) -> str:
    """Return how well a low confidence tells what is wrong."""
    lines = []
    for group in groups:
        for model in models:
            said = [r for r in of(rows, group, model) if r.present and not np.isnan(r.confidence)]
            if said:
                rho = rank_correlation([r.confidence for r in said], [r.iou for r in said])
                bad = [r for r in said if r.iou < BAD]
                least = sorted(said, key=lambda r: r.confidence)[: len(bad)]
                hit = f"{np.mean([r.iou < BAD for r in least]):.0%}" if bad else ""
                part = f"{len(bad) / len(said):.0%}"
                lines.append([group, model, number(rho), part, hit])
    return table(("set", "model", "Spearman", "IoU below .5", "found"), lines)


def brief(rows: Sequence[FollowRow]) -> str:
    """Return the mean, and means by distance, in one line."""
    spans = [(a, b - 1) for a, b in pairwise(BINS)]
    cells = ((span(a, b), mean_of(near(rows, a, b)).value) for a, b in spans)
    curve = ", ".join(f"{name}: {number(v)}" for name, v in cells if not np.isnan(v))
    return f"mean {number(mean_of(rows).value)} ({curve})"
