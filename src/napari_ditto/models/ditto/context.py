"""Learning from examples with the bundled network: remember, recall, tune.

Two judges give every pixel a score for each class: the ridge of the model `classic` on its filter
bank, which knows colours and edges, and the same ridge on the network's maps
(:mod:`.context_ridge`), which know shapes and neighbourhoods. Their mean is what counts; with two
examples or more, one judge counts more if that is clearly better on examples left out in turn.
The memory holds solutions, so neither its size nor the time to read it depends on how many
examples there were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from napari_ditto.core.embedding import Embedding
from napari_ditto.models import logistic, ridge
from napari_ditto.models.classic import context as classic
from napari_ditto.models.classic.features import compute_filters
from napari_ditto.models.ditto import context_ridge as network
from napari_ditto.models.ditto.context_features import LEVELS, OUTLINED, maps, sample
from napari_ditto.models.ditto.network import DENSE
from napari_ditto.models.protocols import UNKNOWN, ContextMap, Example, Memory

FOLDS = 4

MANY_CLASSES = 64
"""With more, moments are kept of all examples together: they take 2 MB a class and fold."""

BLENDS = ((0.5, 0.5), (0.75, 0.25), (0.25, 0.75), (1.0, 0.0), (0.0, 1.0))
"""Parts of the filter bank's and of the network's score; the first is preferred."""

MARGIN = 0.01
"""Dice by which another blend must be better."""

TYPICAL = 32.0
"""Pixels: diameter of objects that the network's first level is best at."""

Judges = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Moments or solutions of the filter bank and of the network."""


def remember(examples: Sequence[Example], key: str) -> Memory:
    """Condense examples into a memory of bounded size.

    Parameters
    ----------
    examples : sequence of Example
        Every label value but 0 and `UNKNOWN` is a class. The order does not matter. Examples
        without a label show the background; without any background, everything is of some class.
    key : str
        The model's key.

    Raises
    ------
    ModelError
        If nothing is labelled, or a label image does not have its tile's shape.
    """
    classes = ridge.read_classes(examples)
    ordered = sorted((e for e in examples if (e.labels != UNKNOWN).any()), key=_digest)
    folds = _measure(ordered, classes)
    blend = _choose(ordered, folds, classes)
    return _pack(_solve(folds), blend, _level(ordered), classes, key)


def recall(embedding: Embedding, memory: Memory) -> ContextMap:
    """Return the probability of every remembered class at every pixel of a tile."""
    first, second = np.asarray(memory.arrays["blend"], np.float32)
    scores = _scores(embedding, _solutions(memory))
    chances = ridge.probabilities(first * scores[0] + second * scores[1])
    stride = OUTLINED[::-1][int(memory.arrays["level"][0])]
    logits = np.asarray(embedding.arrays[f"context{stride}"][-len(DENSE) :], np.float32)
    outlines = _shown(torch.sigmoid(torch.from_numpy(logits)), embedding.tile_shape)
    return ContextMap(chances, center=outlines[1], boundary=outlines[2])


def tune(memory: Memory, examples: Sequence[Example], steps: int, key: str) -> Memory:
    """Return a memory with solutions that fit the examples better; see :mod:`..logistic`.

    Both judges are tuned together, so that how much each counts is part of what is tuned.
    Examples that do not show every class of the memory change nothing.

    Raises
    ------
    ModelError
        If the examples show no class, or one that the memory does not know.
    """
    if not ridge.check_known(memory, examples):
        return memory
    ordered = sorted((e for e in examples if (e.labels != UNKNOWN).any()), key=_digest)
    equal = np.array(BLENDS[0])
    count = memory.arrays["filters"].shape[1]
    parts = np.repeat(memory.arrays["blend"] / equal, (count, memory.arrays["network"].shape[1]))
    start = parts * np.concatenate(_solutions(memory), axis=1)
    anchor = np.concatenate(_solve(_measure(ordered, memory.classes)), axis=1)
    penalty = np.repeat((ridge.RIDGE, network.PENALTY), (count, start.shape[1] - count))
    pixels = _draw(ordered, memory.classes)
    tuned = logistic.refine(pixels, start, anchor, penalty, steps)
    level = int(memory.arrays["level"][0])
    return _pack((tuned[:, :count], tuned[:, count:]), BLENDS[0], level, memory.classes, key)


def _draw(examples: Sequence[Example], classes: tuple[int, ...]) -> logistic.Pixels:
    """Return some pixels with the features of both judges, scaled by how much each counts."""
    drawn = [logistic.draw(e.labels, classes, len(examples)) for e in examples]
    features = []
    for example, (at, _, _) in zip(examples, drawn, strict=True):
        found = sample(maps(example.embedding), *np.divmod(at, example.labels.shape[1]))
        both = classic.sample(_filters(example.embedding), at), network.expand(found)
        scaled = [np.float32(b) * x for b, x in zip(BLENDS[0], both, strict=True)]
        features.append(np.concatenate(scaled, axis=1))
    return logistic.Pixels(
        np.concatenate(features),
        np.concatenate([place for _, place, _ in drawn]),
        np.concatenate([e.weight * d[2] for e, d in zip(examples, drawn, strict=True)]),
    )


def _solutions(memory: Memory) -> Judges:
    first, second = (np.asarray(memory.arrays[n], np.float64) for n in ("filters", "network"))
    return first, second


def _pack(
    solutions: Judges, blend: tuple[float, ...], level: int, classes: tuple[int, ...], key: str
) -> Memory:
    arrays: dict[str, NDArray[np.generic]] = {
        "filters": solutions[0],
        "network": solutions[1],
        "blend": np.array(blend),
        "level": np.array([level]),
    }
    return Memory(arrays, classes, key)


def _measure(examples: Sequence[Example], classes: tuple[int, ...]) -> list[Judges]:
    """Return the moments of each fold of examples."""
    folds: list[Judges] = []
    count = 1 if len(classes) > MANY_CLASSES else FOLDS
    for number, example in enumerate(examples):
        own = example.weight
        first = classic.measure(_filters(example.embedding), example.labels, own, classes)
        second = network.measure(maps(example.embedding), example.labels, own, classes)
        if number < count:
            folds.append((first, second))
        else:
            for total, more in zip(folds[number % count], (first, second), strict=True):
                total += more
    return folds


def _solve(folds: Sequence[Judges]) -> Judges:
    first, second = (np.sum(parts, axis=0) for parts in zip(*folds, strict=True))
    return ridge.solve(first), ridge.solve(second, network.PENALTY)


def _choose(
    examples: Sequence[Example], folds: Sequence[Judges], classes: tuple[int, ...]
) -> tuple[float, ...]:
    """Return the blend with the best Dice on examples that are left out in turn."""
    if len(folds) < 2:
        return BLENDS[0]
    left = [_solve([*folds[:f], *folds[f + 1 :]]) for f in range(len(folds))]
    worth = np.zeros(len(BLENDS))
    worth[0] = MARGIN
    for number, example in enumerate(examples):
        first, second = _scores(example.embedding, left[number % FOLDS])
        for k, (a, b) in enumerate(BLENDS):
            found = np.array((0, *classes))[(a * first + b * second).argmax(axis=0)]
            worth[k] += _dice(found, example.labels) / len(examples)
    return BLENDS[int(worth.argmax())]


def _dice(found: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Return the mean Dice of the classes found or shown where known; 1 if there is none."""
    found, labels = found[labels != UNKNOWN], labels[labels != UNKNOWN]
    present = np.union1d(found, labels)
    scores = [
        2 * ((found == c) & (labels == c)).sum() / ((found == c).sum() + (labels == c).sum())
        for c in present[present != 0]
    ]
    return float(np.mean(scores)) if scores else 1.0


def _scores(embedding: Embedding, solutions: Judges) -> tuple[NDArray[np.float32], ...]:
    """Return the two scores of each class, background first, each (1 + c, h, w)."""
    second = network.score(maps(embedding), solutions[1])
    return (
        classic.score(_filters(embedding), solutions[0]),
        _shown(second, embedding.tile_shape),
    )


def _filters(embedding: Embedding) -> Embedding:
    """Return the filter bank of `classic` of the same tile."""
    found = compute_filters(np.asarray(embedding.arrays["pixels"], np.float32))
    arrays: dict[str, NDArray[np.generic]] = {
        "color": found.color,
        "fine": found.fine,
        "coarse": found.coarse,
    }
    return Embedding(arrays, embedding.tile_shape, embedding.model)


def _shown(x: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge maps to the pixels of the tile."""
    stride = 1
    while x.shape[1] * stride < shape[0] or x.shape[2] * stride < shape[1]:
        stride *= 2
    large = F.interpolate(x[None], scale_factor=stride, mode="bilinear", align_corners=False)[0]
    return np.ascontiguousarray(large[:, : shape[0], : shape[1]].numpy())


def _digest(example: Example) -> str:
    parts = (example.embedding.arrays["pixels"], example.labels, np.float64(example.weight))
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def _level(examples: Sequence[Example]) -> int:
    """Return at which level of the network objects of the examples' size are seen best."""
    from scipy.ndimage import label

    areas = [
        np.bincount(label(e.labels == c)[0].ravel())[1:]
        for e in examples
        for c in np.unique(e.labels)
        if c > 0
    ]
    diameter = float(np.median(np.sqrt(np.concatenate(areas))))
    return int(np.clip(round(np.log2(max(diameter, 1) / TYPICAL)), 0, LEVELS - 1))
