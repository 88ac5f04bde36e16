"""Tuning of linear scores by gradient: what the families that learn by ridge regression share.

The ridge asks for scores of 0 and 1 everywhere; what counts is on which side of the border a pixel
is. So the scores are moved on towards a small cross entropy and a large Dice, held near the ridge's
own solution by a penalty. Soft Dice: Milletari et al. (2016), V-Net; here with balanced classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.ridge import BALANCE, SHARPNESS

HELD = 3.0
"""How firmly the solution is held, in parts of the ridge's own penalty."""

MOST, IN_ALL = 3000, 32_000
"""Pixels that are looked at, of one class in one example and of everything together."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of the examples.

    Attributes
    ----------
    features : ndarray of float32, shape (n, d)
    place : ndarray of int, shape (n,)
        0 for the background, else which class, from 1.
    weight : ndarray of float, shape (n,)
        For how many pixels each stands.
    """

    features: NDArray[np.float32]
    place: NDArray[np.intp]
    weight: NDArray[np.floating]


def draw(
    labels: NDArray[np.integer], classes: tuple[int, ...], examples: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return some known pixels of one of several examples, the same ones every time.

    Returns
    -------
    at, place : ndarray of int, shape (n,)
        Where they are in the flat array, and their class, 0 for the background.
    weight : ndarray of float64, shape (n,)
        For how many pixels each stands.
    """
    most = max(1, min(MOST, IN_ALL // (examples * (1 + len(classes)))))
    rng = np.random.default_rng(0)
    found = [np.flatnonzero(labels == c) for c in (0, *classes)]
    drawn = [a if len(a) <= most else np.sort(rng.choice(a, most, replace=False)) for a in found]
    counts = [len(d) for d in drawn]
    stands_for = [len(a) / max(1, n) for a, n in zip(found, counts, strict=True)]
    place = np.repeat(np.arange(len(counts)), counts)
    return np.concatenate(drawn), place, np.repeat(stands_for, counts)


def refine(pixels: Pixels, start: Floats, anchor: Floats, penalty: Floats, steps: int) -> Floats:
    """Return coefficients after so many steps of a quasi-Newton method (L-BFGS).

    Parameters
    ----------
    pixels : Pixels
    start, anchor : ndarray, shape (1 + c, d)
        Where to start, and where it is held: the ridge's solution for the same pixels.
    penalty : ndarray, shape (d,)
        The ridge's, in parts of each feature's own second moment.
    steps : int

    Returns
    -------
    ndarray of float64, shape (1 + c, d)
    """
    from scipy.optimize import minimize

    objective = Objective.of(pixels, anchor, penalty)
    first = np.ravel(start * objective.scale)
    done = minimize(objective.loss, first, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return np.asarray(done.x.reshape(start.shape) / objective.scale, np.float64)


@dataclass(frozen=True, eq=False)
class Objective:
    """What is made small, of coefficients of features whose second moment is 1.

    Attributes
    ----------
    features : ndarray of float32, shape (n, d)
        Scaled, and sharpened: their products with coefficients are log odds.
    truth : ndarray of float32, shape (n, 1 + c)
        One in the column of the true class.
    weight : ndarray of float32, shape (n, 1)
        Balanced between classes; the sum is 1.
    anchor, held : ndarray, shapes (1 + c, d) and (d,)
        Where coefficients are held, and how firmly.
    scale : ndarray, shape (d,)
        Root mean square of the features as they were.
    """

    features: NDArray[np.float32]
    truth: NDArray[np.float32]
    weight: NDArray[np.float32]
    anchor: Floats
    held: Floats
    scale: Floats

    @classmethod
    def of(cls, pixels: Pixels, anchor: Floats, penalty: Floats) -> Objective:
        """Return the objective for some pixels."""
        mass = np.bincount(pixels.place, pixels.weight, len(anchor))
        share = mass**BALANCE / (mass**BALANCE).sum()
        weight = (pixels.weight * (share / np.maximum(mass, 1e-9))[pixels.place]).astype(np.float32)
        moment = np.einsum("nd,nd,n->d", pixels.features, pixels.features, weight)
        scale = np.sqrt(np.maximum(moment, 1e-12)).astype(np.float64)
        return cls(
            pixels.features * (SHARPNESS / scale).astype(np.float32),
            np.eye(len(anchor), dtype=np.float32)[pixels.place],
            weight[:, None],
            anchor * scale,
            HELD * penalty * SHARPNESS**2,
            scale,
        )

    def loss(self, at: Floats) -> tuple[float, Floats]:
        """Return what is to be small, and its gradient, both for flat coefficients."""
        moved = at.reshape(self.anchor.shape)
        odds = self.features @ moved.astype(np.float32).T
        odds -= odds.max(axis=1, keepdims=True)
        chances = np.exp(odds)
        total = chances.sum(axis=1, keepdims=True)
        chances /= total
        right = ((odds - np.log(total)) * self.truth).sum(axis=1, keepdims=True)
        overlap, slope = self._overlap(chances)
        wrong = self.weight * (chances - self.truth)
        wrong += chances * (slope - (chances * slope).sum(axis=1, keepdims=True))
        away = moved - self.anchor
        worth = -float((self.weight * right).sum()) - overlap + float((self.held * away**2).sum())
        gradient = (wrong.T @ self.features).astype(np.float64) + 2 * self.held * away
        return worth, gradient.ravel()

    def _overlap(self, chances: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        """Return the mean soft Dice of the classes, and the slope of its negative."""
        both = (self.weight * chances * self.truth).sum(axis=0)
        each = np.maximum((self.weight * (chances + self.truth)).sum(axis=0), 1e-9)
        slope = 2 * self.weight * (both / each - self.truth) / each / (len(both) - 1)
        slope[:, 0] = 0
        return float((2 * both / each)[1:].mean()), slope
