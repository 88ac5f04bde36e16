"""Classes as colours: SegGPT reads and paints pictures of labels, never numbers.

A mask of 0 and 1 would be black on black to it. Black is the background.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CERTAINTY = 8.0
"""Log odds of a class over the nearest other colour where a pixel has exactly its colour."""


def palette(classes: int) -> NDArray[np.uint8]:
    """Return black and one colour for each class, shape (1 + classes, 3).

    The colours of the published processor (Wang et al. 2023, Images Speak in Images, section
    3.1): white for one class, else a regular lattice of the colour cube.
    """
    base = int(classes ** (1 / 3)) + 1
    place = np.arange(classes)
    levels = np.stack([place // base**2, place % base**2 // base, place % base], axis=1)
    colors = 255 - levels * (256 // base)
    return np.concatenate([np.zeros((1, 3)), colors]).astype(np.uint8)


def probabilities(painted: NDArray[np.floating], colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how likely each colour is meant at each pixel, shape (c, h, w).

    Parameters
    ----------
    painted : ndarray, shape (3, h, w)
        What the network has painted, 0 to 255; what lies outside is clipped.
    colors : ndarray of uint8, shape (c, 3)
        A palette.

    Notes
    -----
    A softmax over negative squared distances, the scores of the published postprocessing, so
    the likeliest class is the one it would give. Their scale is a convention: the network paints
    and says nothing about how sure it is. One unit is such that a pixel in exactly one colour has
    log odds of :data:`CERTAINTY` over the nearest other colour; half way between, both are equal.
    """
    seen = np.clip(painted.astype(np.float32), 0, 255)
    known = colors.astype(np.float32)
    distance = np.square(seen[None] - known[:, :, None, None]).sum(axis=1)
    score = -CERTAINTY / _spacing(known) * distance
    odds = np.exp(score - score.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0), np.float32)


def combine(passes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the probability of every class but the background, shape (c, h, w).

    Parameters
    ----------
    passes : list of ndarray, shape (1 + c_i, h, w)
        From :func:`probabilities`, for different classes; the background is in each.

    Notes
    -----
    Odds against the background are kept; no pass is so sure that another cannot contradict.
    """
    odds = np.concatenate([p[1:] / np.maximum(p[:1], LEAST) for p in passes])
    return np.asarray(odds / (1 + odds.sum(axis=0)), np.float32)


LEAST = 1e-3
"""Probability of the background that every pass leaves."""


def _spacing(colors: NDArray[np.float32]) -> float:
    """Return the squared distance of the two nearest colours."""
    apart = np.square(colors[:, None] - colors[None]).sum(axis=-1)
    return float(apart[~np.eye(len(colors), dtype=bool)].min())
