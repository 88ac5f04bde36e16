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

ROWS = 8
"""Rows of a tile that are worked on at once."""

PIECE = 128
"""Pixels of one product."""


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
    own, count = solution.astype(np.float32), len(SPREAD)
    plain, wavy = own[:, [*range(count), -1]], own[:, count:-1]
    found = np.empty((len(own), *embedding.tile_shape), np.float32)
    for rows, x in _filters(embedding):
        flat = x.reshape(len(x), -1)
        scores = _times(plain, flat)
        scores += _times(wavy, _swing(flat))
        found[:, rows] = scores.reshape(len(own), *x.shape[1:])
    return found


def _strips(embedding: Embedding) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield rows and the features of their pixels, shape (d, rows, w), a constant last."""
    for rows, x in _filters(embedding):
        swing = _swing(x.reshape(len(x), -1)).reshape(WAVES, *x.shape[1:])
        yield rows, np.concatenate([x[:-1], swing, x[-1:]])


def _filters(embedding: Embedding) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield rows and the filter bank of their pixels, shape (f + 1, rows, w), a constant last."""
    height, width = embedding.tile_shape
    fine = [embedding.arrays[name] for name in ("color", "fine")]
    ends = np.cumsum([len(x) for x in fine])
    spread = np.split(SPREAD[:, None, None], ends)
    coarse = embedding.arrays["coarse"].astype(np.float32) / spread[-1]
    for start in range(0, height, ROWS):
        rows = slice(start, min(start + ROWS, height))
        x = np.ones((len(SPREAD) + 1, rows.stop - start, width), np.float32)
        for out, values, scale in zip(np.split(x, ends), fine, spread, strict=False):
            np.divide(values[:, rows], scale, out=out, dtype=np.float32)
        x[ends[-1] : -1] = upsample(coarse, Box(start, 0, rows.stop, width))
        yield rows, x


def _swing(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the random Fourier features of filters and their constant, both (f, n)."""
    found = _times(_waves(), x)
    return np.cos(found, out=found)


def _times(weights: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the product with columns (f, n), in pieces too small to be shared among threads.

    Small pieces stay in a core's cache; and BLAS's other threads would go on waiting on cores
    that are wanted by others.
    """
    found = np.empty((len(weights), x.shape[1]), np.float32)
    whole = x.shape[1] // PIECE * PIECE
    pieces, out = (a[:, :whole].reshape(len(a), -1, PIECE).swapaxes(0, 1) for a in (x, found))
    np.matmul(weights, pieces, out=out)
    np.matmul(weights, x[:, whole:], out=found[:, whole:])
    return found


@cache
def _waves() -> NDArray[np.float32]:
    """Return the frequencies of the waves, and their phases in the last column."""
    rng = np.random.default_rng(0)
    turn = REACH * rng.standard_normal((WAVES, len(SPREAD)))
    phase = rng.uniform(0, 2 * np.pi, (WAVES, 1))
    return np.concatenate([turn, phase], axis=1).astype(np.float32)


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
