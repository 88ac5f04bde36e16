"""Tuning: the weights of the prototypes and the calibration, fitted to the examples' cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.matching.dense import Floats
from napari_ditto.models.matching.prototypes import Coreset
from napari_ditto.models.matching.similarity import (
    NOTHING,
    Kernel,
    balance,
    cross_entropy,
    log_terms,
)

HELD = 1e-3
"""Penalty on what is changed."""


def reweigh(kernel: Kernel, coreset: Coreset, steps: int) -> Kernel:
    """Return the kernel after so many steps of a quasi-Newton method (L-BFGS).

    The loss is the cross entropy of the cells' classes, each cell told by what is known without
    its group, as in calibration, plus a penalty on how far log weights, slope and biases move.
    Directions stay.
    """
    from scipy.optimize import minimize

    owner = np.repeat(np.arange(len(kernel.bank.sizes)), kernel.bank.sizes)
    terms = _left_out(coreset, kernel.kappa)
    target = balance(coreset.cells.shares)
    start = np.concatenate([np.zeros(len(owner)), [kernel.slope], kernel.bias])

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved, slope, bias = at[: len(owner)], at[len(owner)], at[len(owner) + 1 :]
        density, parts = _mix(terms + moved, owner, len(bias))
        value, wrong = cross_entropy(slope * density + bias, target)
        gradient = [
            slope * (wrong[:, owner] * parts).sum(axis=0),
            [(wrong * density).sum()],
            wrong.sum(axis=0),
        ]
        away = at - start
        return value + HELD * float(away @ away), np.concatenate(gradient) + 2 * HELD * away

    done = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    weights = kernel.bank.weights * np.exp(done.x[: len(owner)]).astype(np.float32)
    return replace(
        kernel,
        bank=replace(kernel.bank, weights=weights),
        slope=float(done.x[len(owner)]),
        bias=np.asarray(done.x[len(owner) + 1 :], np.float32),
    )


def _left_out(coreset: Coreset, kappa: float) -> Floats:
    """Return what each prototype says of each cell had it not been seen, log, (n, k)."""
    features = coreset.cells.features
    out = np.empty((len(features), sum(coreset.sizes)), np.float32)
    for chosen, bank in coreset.left_out():
        out[chosen] = log_terms(features[chosen], bank, kappa)
    return out


def _mix(
    terms: NDArray[np.float64], owner: NDArray[np.intp], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log densities (n, classes), and each prototype's part in its class (n, k)."""
    density, parts = np.empty((len(terms), classes)), np.empty_like(terms)
    for c in range(classes):
        own = owner == c
        peak = np.maximum(terms[:, own].max(axis=1, keepdims=True), NOTHING)
        odds = np.exp(terms[:, own] - peak)
        total = np.maximum(odds.sum(axis=1, keepdims=True), 1)
        density[:, [c]], parts[:, own] = peak + np.log(total), odds / total
    return density, parts
