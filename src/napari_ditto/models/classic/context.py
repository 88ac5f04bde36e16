"""In-context segmentation: ridge regression on the filter bank and random Fourier features.

The memory holds the moments of each class (:mod:`napari_ditto.models.ridge`), or a tuned solution
(:mod:`napari_ditto.models.logistic`), so its size does not depend on the number of examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.models.classic.features import upsample
from napari_ditto.models.logistic import Pixels, draw, refine
from napari_ditto.models.protocols import ContextMap, Example, Memory
from napari_ditto.models.ridge import RIDGE, check_known, probabilities, read_classes, solve

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
    classes = read_classes(examples)
    return Memory({"moments": _total(examples, classes)}, classes, model)


def recall(embedding: Embedding, memory: Memory) -> ContextMap:
    """Return the probability of every remembered class at every pixel of a tile."""
    return ContextMap(probabilities(score(embedding, _solution(memory))))


def tune(memory: Memory, examples: Sequence[Example], steps: int) -> Memory:
    """Return a memory with a solution that fits the examples better.

    Examples that do not show every class of the memory change nothing.
    """
    if not check_known(memory, examples):
        return memory
    drawn = [draw(e.labels, memory.classes, len(examples)) for e in examples]
    pixels = Pixels(
        np.concatenate([sample(e.embedding, d[0]) for e, d in zip(examples, drawn, strict=True)]),
        np.concatenate([place for _, place, _ in drawn]),
        np.concatenate([e.weight * d[2] for e, d in zip(examples, drawn, strict=True)]),
    )
    anchor = solve(_total(examples, memory.classes))
    penalty = np.full(anchor.shape[1], RIDGE)
    tuned = refine(pixels, _solution(memory), anchor, penalty, steps)
    return Memory({"solution": tuned}, memory.classes, memory.model)


def _solution(memory: Memory) -> NDArray[np.float64]:
    if "solution" in memory.arrays:
        return np.asarray(memory.arrays["solution"], np.float64)
    return solve(memory.arrays["moments"])


def score(embedding: Embedding, solution: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the ridge's score of each class, background first, shape (1 + c, h, w)."""
    own = solution.astype(np.float32)
    return np.concatenate([_weigh(own, x) for _, x in _filters(embedding)], axis=1)


def _weigh(own: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a linear function of features that are never put together, (1 + c, rows, w)."""
    plain, wavy, constant = np.split(own, (len(SPREAD), -1), axis=1)
    found = np.tensordot(plain, x, axes=1) + np.tensordot(wavy, _swing(x), axes=1)
    return np.asarray(found + constant[:, :, None])


def _strips(embedding: Embedding) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield rows and the features of their pixels, shape (d, rows, w), a constant last."""
    for rows, x in _filters(embedding):
        yield rows, np.concatenate([x, _swing(x), np.ones((1, *x.shape[1:]), np.float32)])


def _filters(embedding: Embedding) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield rows and the filter bank of their pixels, shape (f, rows, w)."""
    height, width = embedding.tile_shape
    small = embedding.arrays["coarse"].astype(np.float32)
    for start in range(0, height, ROWS):
        rows = slice(start, min(start + ROWS, height))
        fine = [embedding.arrays[n][:, rows].astype(np.float32) for n in ("color", "fine")]
        coarse = upsample(small, Box(rows.start, 0, rows.stop, width))
        x = np.concatenate([*fine, coarse]) / SPREAD[:, None, None]
        yield rows, np.asarray(x, np.float32)


def _swing(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the random Fourier features of filters (f, rows, w)."""
    turn, phase = _waves()
    found = np.tensordot(turn, x, axes=1)
    found += phase[:, None, None]
    return np.cos(found, out=found)


@cache
def _waves() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    turn = REACH * rng.standard_normal((WAVES, len(SPREAD)))
    return turn.astype(np.float32), rng.uniform(0, 2 * np.pi, WAVES).astype(np.float32)


def sample(embedding: Embedding, at: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the features of some pixels of the flat tile, shape (n, d)."""
    width = embedding.tile_shape[1]
    found = np.empty((len(at), len(SPREAD) + WAVES + 1), np.float32)
    for rows, x in _strips(embedding):
        inside = (at >= rows.start * width) & (at < rows.stop * width)
        found[inside] = x.reshape(len(x), -1)[:, at[inside] - rows.start * width].T
    return found


def _total(examples: Sequence[Example], classes: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(sum(measure(e.embedding, e.labels, e.weight, classes) for e in examples))


def measure(
    embedding: Embedding,
    labels: NDArray[np.integer],
    weight: float,
    classes: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return the moments of the background and of each class, shape (1 + c, d, d)."""
    size = len(SPREAD) + WAVES + 1
    moments = np.zeros((1 + len(classes), size, size))
    for rows, x in _strips(embedding):
        for total, label in zip(moments, (0, *classes), strict=True):
            chosen = labels[rows] == label
            own = x[:, chosen].astype(np.float64)
            total += weight * (own @ own.T)
    return moments
