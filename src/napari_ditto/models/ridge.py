"""Ridge regression on moments: what the families that learn from examples share.

A pixel has features, the last of them constant. Per class, the weighted sum of their outer
products is all that the regression needs (the normal equations), so examples may be added in any
order, and none is kept. Closed form: Hoerl & Kennard (1970).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import UNKNOWN, Example, Memory

RIDGE = 1e-2
"""Penalty, in parts of each feature's own second moment."""

BALANCE = 0.5
"""1 counts classes by their pixels, 0 equally; between them, rare classes are not overdone."""

SHARPNESS = 4.0
"""Turns differences of ridge scores (targets 0 and 1) into log odds."""

MOST_CLASSES = 512
"""More are objects that were taken for classes."""


def read_classes(examples: Sequence[Example]) -> tuple[int, ...]:
    """Return the classes of the examples, in order: label values but 0 and unknown.

    Raises
    ------
    ModelError
        If nothing is labelled, too many classes are, or labels do not have their tile's shape.
    """
    for number, example in enumerate(examples, 1):
        if example.labels.shape != example.embedding.tile_shape:
            raise ModelError(
                f"Labels of shape {example.labels.shape} for a tile of "
                f"{example.embedding.tile_shape}",
                where=f"example {number}",
            )
    classes = sorted({int(c) for e in examples for c in np.unique(e.labels)} - {0, UNKNOWN})
    if not classes:
        raise ModelError(
            "No labelled pixel in the examples",
            todo="Paint or accept at least one object in an example image",
        )
    if len(classes) > MOST_CLASSES:
        raise ModelError(
            f"{len(classes)} classes in the examples, at most {MOST_CLASSES} can be told apart",
            todo="If the labels are objects of one kind, ask for objects instead of classes",
        )
    return tuple(classes)


def solve(moments: NDArray[np.generic], penalty: float = RIDGE) -> NDArray[np.float64]:
    """Return coefficients per class, shape (1 + c, d).

    Parameters
    ----------
    moments : ndarray, shape (1 + c, d, d)
        Of the background and of each class.
    penalty : float
        In parts of each feature's own second moment.
    """
    moments = moments.astype(np.float64, copy=False)
    mass = np.maximum(moments[:, -1, -1], 1e-9)
    share = mass**BALANCE / (mass**BALANCE).sum()
    counts = share / mass
    gram, target = np.tensordot(counts, moments, 1), counts[:, None] * moments[:, :, -1]
    held = penalty * np.diag(gram)
    held[-1] = 0
    return np.asarray(np.linalg.solve(gram + np.diag(held + 1e-9), target.T).T, np.float64)


def probabilities(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the probability of each class but the background, of scores (1 + c, h, w)."""
    odds = np.exp(SHARPNESS * (scores - scores.max(axis=0)))
    return np.asarray(odds[1:] / odds.sum(axis=0), np.float32)


def check_known(memory: Memory, examples: Sequence[Example]) -> bool:
    """Return whether examples show every class of a memory.

    Raises
    ------
    ModelError
        If they show no class, or one that the memory does not know.
    """
    shown = set(read_classes(examples))
    if unknown := shown - set(memory.classes):
        raise ModelError(
            f"Label values {sorted(unknown)} are not among the classes {memory.classes} "
            "of this memory",
            todo="Make a new memory of all examples",
        )
    return shown == set(memory.classes)
