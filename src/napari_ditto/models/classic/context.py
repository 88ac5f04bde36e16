"""In-context segmentation: class-balanced ridge regression on the filter bank.

The memory holds, per class, the number, the sum and the second moments of its pixels' features
(the normal equations), so its size does not depend on the number of examples and examples may be
added in any order. Closed form: Hoerl & Kennard (1970).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.errors import ModelError
from napari_ditto.models.classic.features import upsample
from napari_ditto.models.protocols import ContextMap, Example, Memory

RIDGE = 1e-2
SHARPNESS = 4.0
"""Turns differences of ridge scores (targets 0 and 1) into log odds."""


def remember(examples: Sequence[Example], model: str) -> Memory:
    """Condense examples into per-class moments."""
    return _condense(examples, [np.ones(e.labels.shape) for e in examples], model)


def recall(embedding: Embedding, memory: Memory) -> ContextMap:
    """Return the probability of every remembered class at every pixel of a tile."""
    scores = _scores(design(embedding), memory)
    odds = np.exp(SHARPNESS * (scores - scores.max(axis=0)))
    return ContextMap((odds[1:] / odds.sum(axis=0)).astype(np.float32))


def tune(memory: Memory, examples: Sequence[Example], steps: int, model: str) -> Memory:
    """Return a memory in which pixels that are still wrong count more (as in boosting)."""
    weights = [np.ones(e.labels.shape) for e in examples]
    for _ in range(min(steps, 5)):
        for example, weight in zip(examples, weights, strict=True):
            maps = recall(example.embedding, memory).probability
            everything = np.concatenate([1 - maps.sum(axis=0, keepdims=True), maps])
            place = np.searchsorted(memory.classes, example.labels) + 1
            place[example.labels == 0] = 0
            right = np.take_along_axis(everything, place[None], axis=0)[0]
            weight *= 1.5 - right
        memory = _condense(examples, weights, model)
    return memory


def design(embedding: Embedding) -> NDArray[np.float32]:
    """Return the features of every pixel with a constant, shape (d, h, w)."""
    shape = embedding.tile_shape
    fine = [embedding.arrays[name].astype(np.float32) for name in ("color", "fine")]
    coarse = upsample(embedding.arrays["coarse"].astype(np.float32), Box.of_shape(shape))
    return np.concatenate([*fine, coarse, np.ones((1, *shape), np.float32)])


def _condense(
    examples: Sequence[Example], weights: Sequence[NDArray[np.float64]], model: str
) -> Memory:
    classes = sorted({int(c) for e in examples for c in np.unique(e.labels)} - {0})
    if not classes:
        raise ModelError(
            "No labelled pixel in the examples",
            todo="Paint or accept at least one object in an example image",
        )
    moments = [_moments(examples, weights, label) for label in (0, *classes)]
    return Memory({"moments": np.stack(moments)}, tuple(classes), model)


def _moments(
    examples: Sequence[Example], weights: Sequence[NDArray[np.float64]], label: int
) -> NDArray[np.float64]:
    total = 0.0
    for example, weight in zip(examples, weights, strict=True):
        chosen = example.labels == label
        x = design(example.embedding)[:, chosen].astype(np.float64)
        total = total + (x * weight[chosen] * example.weight) @ x.T
    return np.asarray(total)


def _scores(features: NDArray[np.float32], memory: Memory) -> NDArray[np.float32]:
    """Return ridge scores per class, background first, shape (1 + c, h, w)."""
    moments = memory.arrays["moments"].astype(np.float64)
    mass = np.maximum(moments[:, -1, -1], 1e-9)
    balanced = moments / mass[:, None, None]
    gram, target = balanced.mean(axis=0), balanced[:, :, -1].T / len(balanced)
    penalty = RIDGE * np.diag(gram).copy()
    penalty[-1] = 0
    solution = np.linalg.solve(gram + np.diag(penalty + 1e-9), target)
    return np.tensordot(solution.T.astype(np.float32), features, axes=1)
