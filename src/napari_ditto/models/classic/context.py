"""In-context segmentation: ridge regression on the filter bank and random Fourier features.

The memory holds, per class, the number, the sum and the second moments of its pixels' features
(the normal equations), so its size does not depend on the number of examples and examples may be
added in any order. Closed form: Hoerl & Kennard (1970).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.errors import ModelError
from napari_ditto.models.classic.features import upsample
from napari_ditto.models.protocols import ContextMap, Example, Memory

RIDGE = 1e-2
BALANCE = 0.5
"""1 counts classes by their pixels, 0 equally; between them, rare classes are not overdone."""
SHARPNESS = 4.0
"""Turns differences of ridge scores (targets 0 and 1) into log odds."""
WAVES = 64
REACH = 0.25
"""Random Fourier features (Rahimi & Recht 2007) and their frequency per standard deviation."""
# fmt: off
SPREAD = np.array([
    0.18, 0.03, 0.03, 0.029, 0.014, 0.013, 0.17, 0.025, 0.018, 0.045, 0.042, 0.02,
    0.16, 0.023, 0.016, 0.026, 0.025, 0.017, 0.13, 0.02, 0.013, 0.01, 0.01, 0.014,
], dtype=np.float32)
# fmt: on
"""Typical standard deviation of each feature, measured on the training images."""

ROWS = 64
"""Rows of a tile that are worked on at once."""


def remember(examples: Sequence[Example], model: str) -> Memory:
    """Condense examples into per-class moments."""
    return _condense(examples, [np.ones(e.labels.shape) for e in examples], model)


def recall(embedding: Embedding, memory: Memory) -> ContextMap:
    """Return the probability of every remembered class at every pixel of a tile."""
    solution = _solve(memory).astype(np.float32)
    strips = [np.tensordot(solution, x, axes=1) for _, x in _strips(embedding)]
    scores = np.concatenate(strips, axis=1)
    odds = np.exp(SHARPNESS * (scores - scores.max(axis=0)))
    return ContextMap((odds[1:] / odds.sum(axis=0)).astype(np.float32))


def tune(memory: Memory, examples: Sequence[Example], steps: int, model: str) -> Memory:
    """Return the best memory on the way to one in which wrong pixels count more.

    As in boosting, but never worse on the examples than what was given.
    """
    weights = [np.ones(e.labels.shape) for e in examples]
    best, least = memory, _loss(memory, examples)
    for _ in range(min(steps, 5)):
        for example, weight in zip(examples, weights, strict=True):
            weight *= 1.5 - _right(memory, example)
            weight /= weight.mean()
        memory = _condense(examples, weights, model)
        if (loss := _loss(memory, examples)) < least:
            best, least = memory, loss
    return best


def _loss(memory: Memory, examples: Sequence[Example]) -> float:
    """Return the mean over classes, background too, of one less the soft Dice."""
    losses = []
    for example in examples:
        maps = recall(example.embedding, memory).probability
        for label, chance in zip(memory.classes, maps, strict=True):
            true = example.labels == label
            losses.append(1 - 2 * chance[true].sum() / max(float(chance.sum() + true.sum()), 1e-9))
    return float(np.mean(losses))


def _right(memory: Memory, example: Example) -> NDArray[np.floating]:
    """Return the probability that the memory gives to the true class of each pixel."""
    maps = recall(example.embedding, memory).probability
    everything = np.concatenate([1 - maps.sum(axis=0, keepdims=True), maps])
    place = np.where(example.labels == 0, 0, np.searchsorted(memory.classes, example.labels) + 1)
    return np.asarray(np.take_along_axis(everything, place[None], axis=0)[0])


def _strips(embedding: Embedding) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield rows and the features of their pixels, shape (d, rows, w), a constant last."""
    height, width = embedding.tile_shape
    turn, phase = _waves()
    for start in range(0, height, ROWS):
        rows = slice(start, min(start + ROWS, height))
        fine = [embedding.arrays[n][:, rows].astype(np.float32) for n in ("color", "fine")]
        small = embedding.arrays["coarse"].astype(np.float32)
        coarse = upsample(small, Box(rows.start, 0, rows.stop, width))
        x = np.concatenate([*fine, coarse]) / SPREAD[:, None, None]
        waves = np.cos(np.tensordot(turn, x, axes=1) + phase[:, None, None])
        yield rows, np.concatenate([x, waves, np.ones((1, *x.shape[1:]), np.float32)])


@cache
def _waves() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    turn = REACH * rng.standard_normal((WAVES, len(SPREAD)))
    return turn.astype(np.float32), rng.uniform(0, 2 * np.pi, WAVES).astype(np.float32)


def _condense(
    examples: Sequence[Example], weights: Sequence[NDArray[np.floating]], model: str
) -> Memory:
    classes = sorted({int(c) for e in examples for c in np.unique(e.labels)} - {0})
    if not classes:
        raise ModelError(
            "No labelled pixel in the examples",
            todo="Paint or accept at least one object in an example image",
        )
    size = len(SPREAD) + WAVES + 1
    moments = np.zeros((1 + len(classes), size, size))
    for example, weight in zip(examples, weights, strict=True):
        for rows, x in _strips(example.embedding):
            for total, label in zip(moments, (0, *classes), strict=True):
                chosen = example.labels[rows] == label
                own = x[:, chosen].astype(np.float64)
                total += (own * weight[rows][chosen] * example.weight) @ own.T
    return Memory({"moments": moments}, tuple(classes), model)


def _solve(memory: Memory) -> NDArray[np.floating]:
    """Return ridge coefficients per class, background first, shape (1 + c, d)."""
    moments = memory.arrays["moments"].astype(np.float64)
    mass = np.maximum(moments[:, -1, -1], 1e-9)
    share = mass**BALANCE / (mass**BALANCE).sum()
    balanced = moments * (share / mass)[:, None, None]
    gram, target = balanced.sum(axis=0), balanced[:, :, -1]
    penalty = RIDGE * np.diag(gram)
    penalty[-1] = 0
    return np.asarray(np.linalg.solve(gram + np.diag(penalty + 1e-9), target.T).T)
