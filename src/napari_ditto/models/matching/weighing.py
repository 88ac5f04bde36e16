"""Tuning: the weights of the prototypes and the calibration, fitted to the examples' cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.matching.prototypes import Cells
from napari_ditto.models.matching.similarity import Kernel, balance, cross_entropy

HELD = 1e-3
"""Penalty on what is changed."""


def reweigh(kernel: Kernel, cells: Cells, steps: int) -> Kernel:
    """Return the kernel after so many steps of a quasi-Newton method (L-BFGS).

    The loss is the cross entropy of the cells' classes, as in calibration, plus a penalty on how
    far log weights, slope and biases move; directions stay.
    """
    from scipy.optimize import minimize

    used = kernel.bank.weights > 0
    owner = np.repeat(np.arange(len(kernel.bank.sizes)), kernel.bank.sizes)[used]
    terms = kernel.kappa * (cells.features @ kernel.bank.directions[used].T - 1)
    terms = (terms + np.log(kernel.bank.weights[used])).astype(np.float64)
    target = balance(cells.shares)
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
    weights = kernel.bank.weights.copy()
    weights[used] *= np.exp(done.x[: len(owner)]).astype(np.float32)
    return replace(
        kernel,
        bank=replace(kernel.bank, weights=weights),
        slope=float(done.x[len(owner)]),
        bias=np.asarray(done.x[len(owner) + 1 :], np.float32),
    )


def _mix(
    terms: NDArray[np.float64], owner: NDArray[np.intp], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log densities (n, classes), and each prototype's part in its class (n, k)."""
    density = np.zeros((len(terms), classes))
    parts = np.zeros_like(terms)
    for c in range(classes):
        own = owner == c
        if own.any():
            peak = terms[:, own].max(axis=1, keepdims=True)
            odds = np.exp(terms[:, own] - peak)
            total = odds.sum(axis=1, keepdims=True)
            density[:, [c]], parts[:, own] = peak + np.log(total), odds / total
    return density, parts
