"""Chances of labels settled between borders: certainty spreads where nothing stands in its way.

A random walk from each pixel stops now and then, and reads the chance where it stops; it seldom
crosses a border (random walker with prior, Grady 2005). Steps of relaxation are speeded up by
Chebyshev polynomials (Golub & Varga 1961): walks are short, so that a few are enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import place
from napari_ditto.core.transfer import Transfer

Floats = NDArray[np.float32]

STEPS = 20
"""Of relaxation; 60 plain ones would leave as much, at most some thousandths."""

STOPPING = 0.05
"""Chance that a walk stops at a pixel."""

OBSTACLE = 6.0
"""A sure border lets ``exp(-OBSTACLE)`` of the walks pass."""

MARGIN = 8
"""Pixels around the box of a label that it may spread into."""


def settle(transfer: Transfer, borders: Floats) -> Transfer:
    """Return the chances after they have settled.

    Parameters
    ----------
    transfer : Transfer
        Chances of labels in a window.
    borders : ndarray of float32, shape (h, w)
        Of the same window, how likely each pixel is on a border, in [0, 1].
    """
    chances = {}
    for label, (box, chance) in transfer.chances.items():
        around = box.grow(MARGIN).intersect(Box.of_shape(borders.shape))
        chances[label] = (around, _relax(place(chance, box, around), borders[around.slices]))
    return Transfer(chances)


def _relax(prior: Floats, borders: Floats) -> Floats:
    # Flat, with a column that leads nowhere: a step to any neighbour is a shift of the whole.
    height, width = prior.shape
    size, row = height * (width + 1), width + 1
    down, right = np.zeros((2, height, row), np.float32)
    down[:-1, :-1] = np.exp(-OBSTACLE * np.maximum(borders[1:], borders[:-1]))
    right[:, : width - 1] = np.exp(-OBSTACLE * np.maximum(borders[:, 1:], borders[:, :-1]))
    steps = [(down.ravel(), row), (right.ravel(), 1)]
    total: Floats = np.full(size, 1e-6, np.float32)
    for ease, shift in steps:
        total[shift:] += ease[:-shift]
        total += ease
    going = np.float32(1 - STOPPING) / total
    ways = [(shift, ease[:-shift] * going[:-shift], ease[:-shift] * going[shift:])
            for ease, shift in steps]  # fmt: skip
    start = np.pad(prior, ((0, 0), (0, 1))).ravel()
    rest = np.float32(STOPPING) * start + np.float32(1e-6) * going
    before = chance = start
    moved, weight = np.empty(size, np.float32), np.float32(1)
    for step in range(STEPS):
        after = rest.copy()
        for shift, back, ahead in ways:
            part = moved[:-shift]
            after[:-shift] += np.multiply(chance[shift:], back, out=part)
            after[shift:] += np.multiply(chance[:-shift], ahead, out=part)
        after -= before
        after *= weight
        after += before
        before, chance = chance, after
        weight = 1 / (1 - np.float32((1 - STOPPING) ** 2 / (4 if step else 2)) * weight)
    found: Floats = chance.reshape(height, row)[:, :width]
    return found.clip(0, 1)
