"""Ridge regression of classes on features and random Fourier features, tried out on its examples.

Examples are left out in turn (one example is cut into quarters instead) to choose which features
are trusted, how strong the penalty is, and above which score a pixel belongs to a class.
Ridge: Hoerl & Kennard (1970); random Fourier features: Rahimi & Recht (2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.ditto.context_features import FILTERS, NETWORK, POSITION, STRIDES, kinds

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCKS = ((FILTERS,), (NETWORK,), (FILTERS, NETWORK), (FILTERS, NETWORK, POSITION))
"""Which kinds of features each block of waves is made of."""

WAVES = 64
"""Waves of a block."""

REACH = 1.0
"""Standard deviation of a wave's phase over the examples' pixels."""

VIEWS = ((0, 1, 2), (0,), (1,), (0, 1, 2, 3))
"""Blocks that may be used together; the first is preferred."""

PENALTIES = (1e-1, 3e-1, 1e-2)
"""In parts of each feature's own second moment; the first is tried first."""
BALANCE = 0.5
"""1 counts classes by their pixels, 0 equally; between them, rare classes are not overdone."""

PREFERENCE = 0.01
"""Dice that another choice must gain over the preferred one."""

CUTS = 101
"""Thresholds that are tried."""

SLOPES = np.geomspace(3, 30, 12)
"""Slopes that are tried, from scores to log odds."""

PARTS = 4
"""Parts that a single example is cut into; folds of different examples differ by as much."""

_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class Samples:
    """Pixels of the examples.

    Attributes
    ----------
    features : ndarray of float32, shape (n, channels)
    truth : ndarray of int, shape (n,)
        Index of the class, 0 is background.
    weight : ndarray of float64, shape (n,)
        How many pixels each stands for.
    fold : ndarray of int, shape (n,)
        Pixels of one fold are left out together.
    classes : int
        How many classes there are beside the background, shown or not.
    """

    features: Floats
    truth: NDArray[np.intp]
    weight: Doubles
    fold: NDArray[np.intp]
    classes: int


@dataclass(frozen=True)
class Choice:
    """Which blocks are used, and how strongly coefficients are held back."""

    view: int = 0
    penalty: float = PENALTIES[0]


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and standard deviation of each feature."""

    mean: Floats
    spread: Floats


@dataclass(frozen=True, eq=False)
class Fit:
    """Scores of classes as a function of expanded features, and how they are read.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (c, expanded)
    threshold, slope : ndarray of float64, shape (c,)
        A class is likely above its threshold; the slope makes log odds of the difference.
    """

    coefficients: Doubles
    threshold: Doubles
    slope: Doubles


@cache
def channel_kinds() -> NDArray[np.intp]:
    """Return the kind of each feature in the order of :func:`context_features.sample`."""
    of = kinds()
    return np.concatenate([of[s] for s in STRIDES])


@cache
def turns() -> tuple[Floats, Floats]:
    """Return frequencies, shape (waves, channels), and phases of all waves.

    The bands of one stride and kind share their part of the phase, so that a few colours are heard
    beside a hundred channels of the network.
    """
    rng = np.random.default_rng(0)
    of, strides = channel_kinds(), np.concatenate([np.full(len(k), s) for s, k in kinds().items()])
    parts = []
    for block in BLOCKS:
        drawn = rng.standard_normal((WAVES, len(of)))
        groups = [(of == k) & (strides == s) for k in block for s in STRIDES]
        groups = [g for g in groups if g.any()]
        for g in groups:
            drawn[:, g] *= REACH / np.sqrt(g.sum() * len(groups))
        drawn[:, ~np.isin(of, block)] = 0
        parts.append(drawn)
    phases = rng.uniform(0, 2 * np.pi, WAVES * len(BLOCKS))
    return np.concatenate(parts).astype(np.float32), phases.astype(np.float32)


def measure(samples: Samples) -> Scale:
    """Return the scale of the features, classes counted by :data:`BALANCE`."""
    weight = balanced(samples)[:, None]
    mean = (weight * samples.features).sum(0) / weight.sum()
    spread = np.sqrt((weight * (samples.features - mean) ** 2).sum(0) / weight.sum())
    return Scale(mean.astype(np.float32), (spread + _FLOOR).astype(np.float32))


def balanced(samples: Samples) -> Doubles:
    """Return weights with which no class is drowned by another; they sum to 1."""
    mass = np.bincount(samples.truth, samples.weight)
    share = np.where(mass > 0, mass**BALANCE / (mass**BALANCE).sum(), 0)
    return np.asarray(samples.weight * (share / np.maximum(mass, 1e-12))[samples.truth])


def expand(features: Floats, scale: Scale) -> Floats:
    """Return standardised features, their waves and a constant, shape (n, expanded)."""
    plain = (features - scale.mean) / scale.spread
    turn, phase = turns()
    waves = np.sqrt(2, dtype=np.float32) * np.cos(plain @ turn.T + phase)
    return np.concatenate((plain, waves, np.ones((len(plain), 1), np.float32)), axis=1)


@cache
def columns(view: int) -> NDArray[np.intp]:
    """Return which expanded features a view may use."""
    blocks = VIEWS[view]
    allowed = {k for b in blocks for k in BLOCKS[b]}
    waves = np.isin(np.repeat(np.arange(len(BLOCKS)), WAVES), blocks)
    chosen = np.concatenate((np.isin(channel_kinds(), list(allowed)), waves, [True]))
    return np.flatnonzero(chosen)


class Moments:
    """Second moments of expanded features with themselves and with the classes, by fold."""

    def __init__(self, expanded: Floats, samples: Samples, weight: Doubles) -> None:
        self.folds = np.unique(samples.fold)
        hot = np.eye(samples.classes + 1, dtype=np.float32)[samples.truth][:, 1:]
        grams, targets = [], []
        for fold in self.folds:
            own = samples.fold == fold
            x = expanded[own]
            weighted = (x * weight[own, None]).astype(np.float32).T
            grams.append((weighted @ x).astype(np.float64))
            targets.append((weighted @ hot[own]).astype(np.float64))
        self.grams, self.targets = np.stack(grams), np.stack(targets)

    def solve(self, choice: Choice, without: int | None = None) -> Doubles:
        """Return coefficients, shape (c, expanded), from all folds but one."""
        from scipy.linalg import cho_factor, cho_solve

        keep = [i for i in range(len(self.folds)) if i != without]
        used = columns(choice.view)
        gram = self.grams[keep].sum(0)[np.ix_(used, used)]
        target = self.targets[keep].sum(0)[used]
        penalty = choice.penalty * np.diag(gram)
        penalty[-1] = 0
        found = np.zeros((target.shape[1], self.grams.shape[1]))
        factor = cho_factor(gram + np.diag(penalty + 1e-9), overwrite_a=True, check_finite=False)
        found[:, used] = cho_solve(factor, target, check_finite=False).T
        return found


def choose(moments: Moments, expanded: Floats, samples: Samples, views: Sequence[int]) -> Choice:
    """Return the choice with the best Dice on left-out folds: first the penalty, then the view."""
    if len(moments.folds) < 2:
        return Choice()

    def worth(choice: Choice) -> float:
        _, dice = cut(left_out(moments, expanded, samples, choice), samples)
        return float(dice.mean()) - PREFERENCE * (choice.view != 0)

    firm = max((Choice(0, penalty) for penalty in PENALTIES), key=worth)
    return max((replace(firm, view=view) for view in views), key=worth)


def left_out(moments: Moments, expanded: Floats, samples: Samples, choice: Choice) -> Doubles:
    """Return the scores of each pixel by a fit without its fold, shape (n, c)."""
    classes = moments.targets.shape[2]
    scores = np.empty((len(expanded), classes))
    if len(moments.folds) < 2:
        return np.asarray(expanded @ moments.solve(choice).T)
    for i, fold in enumerate(moments.folds):
        own = samples.fold == fold
        scores[own] = expanded[own] @ moments.solve(choice, without=i).T
    return scores


def cut(scores: Doubles, samples: Samples) -> tuple[Doubles, Doubles]:
    """Return the threshold of each class with the best Dice, and that Dice.

    It is the mean of the examples' Dice: one with a large object is worth no more than another.
    """
    found = [_cut(scores[:, c], samples.truth == c + 1, samples) for c in range(scores.shape[1])]
    threshold, dice = np.array(found).T
    return threshold, dice


def _cut(score: Doubles, truth: NDArray[np.bool_], samples: Samples) -> tuple[float, float]:
    steps = np.quantile(score, np.linspace(0, 1, CUTS))
    steps[0] -= 0.5  # everything is of the class
    example, total, count = samples.fold // PARTS, np.zeros(CUTS), 0
    for one in np.unique(example):
        own = example == one
        if truth[own].any():
            total += _dice(score[own], truth[own], samples.weight[own], steps)
            count += 1
    best = int(total.argmax())
    return float(steps[best]), float(total[best]) / max(count, 1)


def _dice(score: Doubles, truth: NDArray[np.bool_], weight: Doubles, steps: Doubles) -> Doubles:
    """Return the Dice at several thresholds."""
    order = np.argsort(score)
    first = np.searchsorted(score[order], steps, side="right")
    above = [np.append(np.cumsum(w[order][::-1])[::-1], 0)[first] for w in (weight, weight * truth)]
    return np.asarray(2 * above[1] / (above[0] + (weight * truth).sum()))


def calibrate(scores: Doubles, samples: Samples) -> tuple[Doubles, Doubles]:
    """Return thresholds and slopes of the classes from scores of left-out pixels."""
    threshold, _ = cut(scores, samples)
    slopes = [
        _slope(scores[:, c] - threshold[c], samples.truth == c + 1, balanced(samples))
        for c in range(len(threshold))
    ]
    return threshold, np.array(slopes)


def _slope(away: Doubles, truth: NDArray[np.bool_], weight: Doubles) -> float:
    """Return the slope with the best likelihood."""
    signed = np.where(truth, away, -away)
    losses = [(weight * np.logaddexp(0, -slope * signed)).sum() for slope in SLOPES]
    return float(SLOPES[int(np.argmin(losses))])


def fit(
    samples: Samples, scale: Scale, choice: Choice | None, extra: Doubles | None = None
) -> tuple[Fit, Choice]:
    """Fit classes to samples; what is not chosen yet is chosen.

    Parameters
    ----------
    samples : Samples
    scale : Scale
    choice : Choice, optional
        As found before.
    extra : ndarray of float64, shape (n,), optional
        Further weights of the samples.
    """
    expanded = expand(samples.features, scale)
    weight = balanced(samples) if extra is None else balanced(samples) * extra
    moments = Moments(expanded, samples, weight)
    if choice is None:
        alone = len(np.unique(samples.fold // PARTS)) < 2
        views = range(len(VIEWS) - 1) if alone else range(len(VIEWS))
        choice = choose(moments, expanded, samples, views)
    threshold, slope = calibrate(left_out(moments, expanded, samples, choice), samples)
    return Fit(moments.solve(choice), threshold, slope), choice
