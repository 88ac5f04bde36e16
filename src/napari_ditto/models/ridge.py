"""Ridge regression on moments: what the families that learn from examples share.

A pixel has features, the last of them constant. Per class, the weighted sum of their outer
products is all that the regression needs (the normal equations), so examples may be added in any
order, and none is kept. Closed form: Hoerl & Kennard (1970).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import UNKNOWN, ContextMap, Example, Memory

RIDGE = 1e-2
"""Penalty, in parts of each feature's own second moment."""

BALANCE = 0.5
"""1 counts classes by their pixels, 0 equally; between them, rare classes are not overdone."""

SHARPNESS = 4.0
"""Turns differences of ridge scores (targets 0 and 1) into log odds."""

ROUNDS = 5

MOST_CLASSES = 512
"""More are objects that were taken for classes."""

Weights = Sequence[NDArray[np.floating]]
"""How much each pixel counts, of each example."""


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


def boost(
    memory: Memory,
    examples: Sequence[Example],
    steps: int,
    recall: Callable[[Embedding, Memory], ContextMap],
    condense: Callable[[Sequence[Example], Weights, tuple[int, ...]], Memory],
) -> Memory:
    """Return the best memory on the way to one in which wrong pixels count more.

    As in boosting, but never worse on the examples than what was given.

    Raises
    ------
    ModelError
        If the examples show no class, or one that the memory does not know.
    """
    if unknown := set(read_classes(examples)) - set(memory.classes):
        raise ModelError(
            f"Label values {sorted(unknown)} are not among the classes {memory.classes} "
            "of this memory",
            todo="Make a new memory of all examples",
        )
    weights = [np.ones(e.labels.shape) for e in examples]
    maps = [recall(e.embedding, memory).probability for e in examples]
    best, least = memory, _loss(memory, examples, maps)
    for _ in range(min(steps, ROUNDS)):
        for example, weight, chances in zip(examples, weights, maps, strict=True):
            weight *= 1.5 - _right(memory, example, chances)
            weight /= weight[example.labels != UNKNOWN].mean()
        memory = condense(examples, weights, memory.classes)
        maps = [recall(e.embedding, memory).probability for e in examples]
        if (loss := _loss(memory, examples, maps)) < least:
            best, least = memory, loss
    return best


def _loss(memory: Memory, examples: Sequence[Example], maps: Weights) -> float:
    """Return the mean over examples and classes of one less the soft Dice."""
    losses = []
    for example, chances in zip(examples, maps, strict=True):
        known = example.labels != UNKNOWN
        for label, chance in zip(memory.classes, chances[:, known], strict=True):
            true = example.labels[known] == label
            losses.append(1 - 2 * chance[true].sum() / max(float(chance.sum() + true.sum()), 1e-9))
    return float(np.mean(losses))


def _right(memory: Memory, example: Example, chances: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the probability that was given to the true class of each pixel."""
    everything = np.concatenate([1 - chances.sum(axis=0, keepdims=True), chances])
    place = np.where(example.labels <= 0, 0, np.searchsorted(memory.classes, example.labels) + 1)
    return np.asarray(np.take_along_axis(everything, place[None], axis=0)[0])
