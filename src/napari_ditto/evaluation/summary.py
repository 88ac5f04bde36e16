"""From rows of single objects to means with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_ditto.evaluation.metrics import calibration_error, interval, mean, rank_correlation
from napari_ditto.evaluation.prompted import FIRST, Row
from napari_ditto.evaluation.semantic import CONTROL_COUNT, DiceRow

SIZES = (0.0, 16.0, 32.0, 64.0, 128.0, float("inf"))
"""Borders of the bins of equivalent diameter, pixels."""

ELLIPSE = "ellipse"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        nan where nothing was measured.
    objects, images : int
        How many it is based on; the interval is over objects if there is one image.
    """

    value: float
    low: float
    high: float
    objects: int
    images: int

    @property
    def beyond_zero(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        if not self.objects:
            return ""
        flag = "†" if self.images < 2 else ""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{flag}"


def estimate(values: Sequence[float], images: Sequence[str]) -> Estimate:
    """Return the mean over objects, then images, with its interval."""
    low, high = interval(values, images)
    return Estimate(mean(values, images), low, high, len(values), len(set(images)))


def of_rows(rows: Sequence[Row], value: Callable[[Row], float] = lambda r: r.iou) -> Estimate:
    """Return the mean of something over rows."""
    return estimate([value(r) for r in rows], [image(r) for r in rows])


def image(row: Row) -> str:
    """Return the name of a row's image, unique over sets."""
    return f"{row.group}/{row.image}"


def pick(
    rows: Iterable[Row], group: str | None = None, model: str | None = None, prompt: str = ""
) -> list[Row]:
    """Return the rows of a set, a model and a prompt; None takes all."""
    return [
        r
        for r in rows
        if (group is None or r.group == group)
        and (model is None or r.model == model)
        and (not prompt or r.prompt == prompt)
    ]


def paired(ours: Sequence[Row], theirs: Sequence[Row]) -> Estimate:
    """Return the mean difference of IoU on objects that both have."""
    other = {(r.group, r.image, r.number): r.iou for r in theirs}
    both = [r for r in ours if (r.group, r.image, r.number) in other]
    return of_rows(both, lambda r: r.iou - other[r.group, r.image, r.number])


def gain(rows: Sequence[Row], group: str, model: str) -> Estimate:
    """Return the exact box minus the ellipse inscribed in it, paired."""
    ours = pick(rows, group, model, "box_exact")
    return paired(ours, pick(rows, group, ELLIPSE, "box_exact"))


def best_gap(rows: Sequence[Row]) -> Estimate:
    """Return how much better the best candidate is than the first shown."""
    return of_rows(rows, lambda r: r.best - r.iou)


def ranks(rows: Sequence[Row]) -> tuple[float, float, float]:
    """Return Spearman of score and IoU for what is shown and for all candidates, and the ECE."""
    first = [r for r in rows if r.prompt in FIRST]
    shown = rank_correlation([r.score for r in first], [r.iou for r in first])
    every = rank_correlation(
        [s for r in first for s in r.scores], [v for r in first for v in r.ious]
    )
    return shown, every, calibration_error([r.score for r in first], [r.iou for r in first])


def by_size(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of each bin of :data:`SIZES`."""
    place = np.digitize([r.diameter for r in rows], SIZES[1:-1])
    return [[r for r, p in zip(rows, place, strict=True) if p == k] for k in range(len(SIZES) - 1)]


def failures(rows: Sequence[Row]) -> float:
    """Return the part of objects that never reached the goal."""
    return float(np.mean([not r.reached for r in rows])) if rows else float("nan")


def of_dice(rows: Sequence[DiceRow], examples: int, control: str = "") -> Estimate:
    """Return the mean of a number of examples, without or with a control."""
    chosen = [r for r in rows if r.examples == examples and r.control == control]
    return estimate([r.value for r in chosen], [_picture(r) for r in chosen])


def paired_dice(
    rows: Sequence[DiceRow], group: str, model: str, other: str, examples: int = CONTROL_COUNT
) -> Estimate:
    """Return the mean difference of two models on the same queries and draws."""
    chosen = [r for r in rows if (r.group, r.examples, r.control) == (group, examples, "")]
    theirs = {(r.image, r.draw): r.value for r in chosen if r.model == other}
    ours = [r for r in chosen if r.model == model and (r.image, r.draw) in theirs]
    return estimate([r.value - theirs[r.image, r.draw] for r in ours], [_picture(r) for r in ours])


def _picture(row: DiceRow) -> str:
    """Return the image that a view was cut from."""
    return row.image.partition("@")[0]
