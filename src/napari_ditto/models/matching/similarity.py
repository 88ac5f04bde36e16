"""How much a cell looks like each class: a mixture of von Mises-Fisher kernels, calibrated.

The log density of a class at a direction ``f`` is ``log sum_k w_k exp(kappa (f . p_k - 1))`` over
its prototypes ``p_k`` (Banerjee et al. 2005). The concentration kappa, a slope and a bias per
class are fitted by logistic regression on cells that are left out in turn, so that one half is
the threshold to use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.matching.dense import Floats
from napari_ditto.models.matching.prototypes import Bank, Coreset, starts

KAPPAS = (8.0, 16.0, 32.0, 64.0)

ALONE = 1
"""Which kappa suits a class with nothing to tell it from."""

BALANCE = 0.5
"""1 counts classes by their area, 0 equally; between them, rare classes are not overdone."""

NOTHING = -60.0
"""Log density of a class that nothing was learnt of."""

TYPICAL = 0.05
"""Without any background, the class is what is not less like it than this part of it is."""

HELD = 1e-3
"""Penalty on the biases."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A calibrated classifier of directions.

    Attributes
    ----------
    bank : Bank
        Prototypes.
    kappa, slope : float
        Concentration of the kernels; what a difference of log densities is worth.
    bias : ndarray of float32, shape (1 + c,)
    """

    bank: Bank
    kappa: float
    slope: float
    bias: Floats

    def logits(self, cells: Floats) -> Floats:
        """Return the score of each class, shape (1 + c, n), of directions (n, d)."""
        raw = densities(cells, self.bank, self.kappa)
        return np.asarray(self.slope * raw + self.bias, np.float32).T


def densities(cells: Floats, bank: Bank, kappa: float) -> Floats:
    """Return the log density of each class, shape (n, 1 + c), of directions (n, d)."""
    terms = log_terms(cells, bank, kappa)
    first = starts(bank.sizes)
    peak = np.maximum(np.maximum.reduceat(terms, first, axis=1), NOTHING)
    parts = np.exp(terms - np.repeat(peak, bank.sizes, axis=1))
    total = np.add.reduceat(parts, first, axis=1)
    return np.asarray(peak + np.log(np.maximum(total, 1)), np.float32)


def log_terms(cells: Floats, bank: Bank, kappa: float) -> Floats:
    """Return what each prototype adds to its class, log, shape (n, k)."""
    with np.errstate(divide="ignore"):
        return np.asarray(kappa * (cells @ bank.directions.T - 1) + np.log(bank.weights))


def softmax(scores: Floats) -> Floats:
    """Return probabilities of scores (1 + c, ...)."""
    odds = np.exp(scores - scores.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0), np.float32)


def calibrate(coreset: Coreset) -> Kernel:
    """Return the kernel that tells left out cells best."""
    told = _left_out(coreset)
    shown = np.asarray(coreset.cells.shares.any(axis=0))
    best, slope, bias = ALONE, 1.0, np.zeros(shown.size, np.float32)
    if shown.sum() > 1:
        target = balance(coreset.cells.shares)
        fits = [_fit(scores, target) for scores in told]
        best = int(np.argmin([loss for loss, _, _ in fits]))
        _, slope, bias = fits[best]
    if not shown[0]:
        likest = (slope * told[best] + bias)[:, 1:].max(axis=1)
        bias[0] = np.quantile(likest, TYPICAL) - slope * NOTHING
    return Kernel(coreset.bank(), KAPPAS[best], slope, bias)


def balance(shares: Floats) -> NDArray[np.float64]:
    """Return what each cell counts for in each class; all adds up to 1."""
    mass = shares.sum(axis=0, dtype=np.float64)
    target = shares * np.where(mass > 0, np.maximum(mass, 1e-9) ** (BALANCE - 1), 0)
    return np.asarray(target / target.sum())


def cross_entropy(
    scores: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the loss and its gradient by the scores (n, 1 + c)."""
    z = scores - scores.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    wrong = np.exp(log_p) * target.sum(axis=1, keepdims=True) - target
    return -float((target * log_p).sum()), wrong


def _left_out(coreset: Coreset) -> list[Floats]:
    """Return the densities of each cell by what is known without its group, for each kappa."""
    features = coreset.cells.features
    out = [np.empty((len(features), len(coreset.sizes)), np.float32) for _ in KAPPAS]
    for chosen, bank in coreset.left_out():
        for found, kappa in zip(out, KAPPAS, strict=True):
            found[chosen] = densities(features[chosen], bank, kappa)
    return out


def _fit(scores: Floats, target: NDArray[np.float64]) -> tuple[float, float, Floats]:
    """Return loss, slope and biases of a logistic regression."""
    from scipy.optimize import minimize

    x = scores.astype(np.float64)

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, wrong = cross_entropy(at[0] * x + at[1:], target)
        slope = [(wrong * x).sum()]
        return (
            value + HELD * float(at[1:] @ at[1:]),
            np.concatenate([slope, wrong.sum(axis=0) + 2 * HELD * at[1:]]),
        )

    start = np.zeros(1 + x.shape[1])
    start[0] = 1.0
    bounds = [(0.05, 20.0)] + [(None, None)] * x.shape[1]
    done = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(done.fun), float(done.x[0]), done.x[1:].astype(np.float32)
