"""Chances of labels settled between borders: certainty spreads where nothing stands in its way.

A random walk from each pixel stops now and then, and reads the chance where it stops; it seldom
crosses a border (random walker with prior, Grady 2005). A fixed number of relaxation steps is
enough, since walks are short.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import place
from napari_ditto.core.transfer import Transfer

Floats = NDArray[np.float32]

STEPS = 60
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
    down = np.exp(-OBSTACLE * np.maximum(borders[1:], borders[:-1]))
    right = np.exp(-OBSTACLE * np.maximum(borders[:, 1:], borders[:, :-1]))
    total = _gather(np.ones_like(prior), down, right)
    going = np.float32(1 - STOPPING) / total
    chance = prior
    for _ in range(STEPS):
        chance = np.float32(STOPPING) * prior + going * _gather(chance, down, right)
    return chance


def _gather(values: Floats, down: Floats, right: Floats) -> Floats:
    """Return the sum over the four neighbours, each by the ease of getting there."""
    total = np.full_like(values, 1e-6)
    total[1:] += down * values[:-1]
    total[:-1] += down * values[1:]
    total[:, 1:] += right * values[:, :-1]
    total[:, :-1] += right * values[:, 1:]
    return total
