"""Learning from examples with the bundled network: remember, recall, tune.

The memory holds the solution of a ridge regression (:mod:`.context_ridge`) on the features of
:mod:`.context_features`, so neither its size nor the time to read it depends on how many examples
there were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.ditto import context_ridge as ridge
from napari_ditto.models.ditto.context_features import LEVELS, STRIDES, kinds, maps, project, sample
from napari_ditto.models.ditto.context_ridge import Choice, Fit, Samples, Scale
from napari_ditto.models.ditto.network import DENSE
from napari_ditto.models.protocols import ContextMap, Example, Memory

MOST_SAMPLES = 8_000
"""Pixels that are learnt from, of all examples together."""

LEAST_SAMPLES = 40
"""Of one class in one example, where it has so many."""

FOLDS = 4
TYPICAL = 32.0
"""Pixels: diameter of objects that the network's first level is best at."""


def remember(examples: Sequence[Example], key: str) -> Memory:
    """Condense examples into a memory of bounded size.

    Parameters
    ----------
    examples : sequence of Example
        Every label value but 0 is a class. The order does not matter. Examples without a label
        show the background; without any background, everything is of some class.
    key : str
        The model's key.

    Raises
    ------
    ModelError
        If nothing is labelled, or a label image does not have its tile's shape.
    """
    classes = _classes(examples)
    samples = gather(examples, classes)
    scale = ridge.measure(samples)
    fitted, choice = ridge.fit(samples, scale, None)
    return _pack(fitted, choice, scale, _level(examples), Memory({}, classes, key))


def tune(memory: Memory, examples: Sequence[Example], steps: int, key: str) -> Memory:
    """Return the memory that fits the examples best, on the way to one in which errors count more.

    Boosting with few rounds; never worse on the examples' sampled pixels than what was given.

    Raises
    ------
    ModelError
        If the examples show no class, or one that the memory does not know.
    """
    if unknown := set(_classes(examples)) - set(memory.classes):
        raise ModelError(
            f"classes {sorted(unknown)} are not in this memory",
            todo="Make a new memory of all examples",
        )
    memory = replace(memory, model=key)
    samples = gather(examples, memory.classes)
    scale, choice = _scale(memory), _choice(memory)
    extra = np.ones(len(samples.truth))
    best, least = memory, _loss(memory, samples)
    for _ in range(min(steps, 5)):
        extra *= 1.5 - _right(memory, samples)
        extra /= extra.mean()
        fitted, _ = ridge.fit(samples, scale, choice, extra)
        memory = _pack(fitted, choice, scale, int(memory.arrays["level"][0]), memory)
        if (loss := _loss(memory, samples)) < least:
            best, least = memory, loss
    return best


@torch.inference_mode()
def recall(embedding: Embedding, memory: Memory) -> ContextMap:
    """Return the probability of every remembered class at every pixel of a tile."""
    found = maps(embedding)
    chances = _shown(_read(found, memory), embedding.tile_shape)
    level = int(memory.arrays["level"][0])
    dense = _shown(torch.sigmoid(found[4 << level][-len(DENSE) :]), embedding.tile_shape)
    return ContextMap(chances, center=dense[1], boundary=dense[2])


def _read(found: dict[int, Tensor], memory: Memory) -> Tensor:
    """Return probabilities at stride 2, shape (c, rows, columns)."""
    weights = {s: _tensor(memory, f"weights{s}") for s in STRIDES}
    phases = project(found, weights)
    mix = _tensor(memory, "mix")
    count = len(mix)
    waves = torch.cos(phases[count:] + _tensor(memory, "phases")[:, None, None])
    odds = phases[:count] + torch.tensordot(mix, waves, 1)
    odds = (odds + _tensor(memory, "bias")[:, None, None]).clamp(-30, 30)
    rest = torch.zeros_like(odds[:1])
    return torch.softmax(torch.cat((rest, odds)), 0)[1:]


def _tensor(memory: Memory, name: str) -> Tensor:
    return torch.from_numpy(np.asarray(memory.arrays[name], np.float32))


def _shown(x: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge maps to the pixels of the tile."""
    stride = 1
    while x.shape[1] * stride < shape[0] or x.shape[2] * stride < shape[1]:
        stride *= 2
    large = F.interpolate(x[None], scale_factor=stride, mode="bilinear", align_corners=False)[0]
    return np.ascontiguousarray(large[:, : shape[0], : shape[1]].numpy())


def _pack(fitted: Fit, choice: Choice, scale: Scale, level: int, like: Memory) -> Memory:
    """Return a memory with everything that is linear folded into one matrix per stride."""
    turn, phase = ridge.turns()
    channels = turn.shape[1]
    slope = fitted.slope[:, None]
    plain = slope * fitted.coefficients[:, :channels]
    weights: NDArray[np.float64] = np.concatenate((plain, turn)).astype(np.float64)
    weights /= scale.spread
    shift = weights @ scale.mean
    count = len(plain)
    arrays: dict[str, NDArray[np.generic]] = {
        "bias": fitted.slope * (fitted.coefficients[:, -1] - fitted.threshold) - shift[:count],
        "phases": (phase - shift[count:]).astype(np.float32),
        "mix": np.sqrt(2) * slope * fitted.coefficients[:, channels:-1],
        "mean": scale.mean,
        "spread": scale.spread,
        "choice": np.array([choice.view, choice.penalty]),
        "level": np.array([level]),
    }
    ends = np.cumsum([len(k) for k in kinds().values()])[:-1]
    for stride, part in zip(STRIDES, np.split(weights, ends, axis=1), strict=True):
        arrays[f"weights{stride}"] = part.astype(np.float32)
    return Memory(arrays, like.classes, like.model)


def _scale(memory: Memory) -> Scale:
    mean, spread = (np.asarray(memory.arrays[n], np.float32) for n in ("mean", "spread"))
    return Scale(mean, spread)


def _choice(memory: Memory) -> Choice:
    view, penalty = np.asarray(memory.arrays["choice"], np.float64)
    return Choice(int(view), float(penalty))


def _right(memory: Memory, samples: Samples) -> NDArray[np.float64]:
    """Return the probability that a memory gives to the true class of each sample."""
    chances = _chances(memory, samples)
    everything = np.concatenate((1 - chances.sum(1, keepdims=True), chances), axis=1)
    return np.asarray(everything[np.arange(len(everything)), samples.truth])


def _chances(memory: Memory, samples: Samples) -> NDArray[np.float64]:
    weights = np.concatenate([memory.arrays[f"weights{s}"] for s in STRIDES], axis=1)
    phases = samples.features @ weights.T
    mix = np.asarray(memory.arrays["mix"], np.float64)
    count = len(mix)
    odds = phases[:, :count] + np.cos(phases[:, count:] + memory.arrays["phases"]) @ mix.T
    odds = np.clip(odds + memory.arrays["bias"], -30, 30)
    powers = np.exp(odds)
    return np.asarray(powers / (1 + powers.sum(1, keepdims=True)), np.float64)


def _loss(memory: Memory, samples: Samples) -> float:
    """Return one less the soft Dice, the mean over classes."""
    chances = _chances(memory, samples)
    losses = []
    for c in range(chances.shape[1]):
        true = samples.weight * (samples.truth == c + 1)
        total = (samples.weight * chances[:, c]).sum() + true.sum()
        losses.append(1 - 2 * (true * chances[:, c]).sum() / max(float(total), 1e-9))
    return float(np.mean(losses))


def _classes(examples: Sequence[Example]) -> tuple[int, ...]:
    for number, example in enumerate(examples, 1):
        if example.labels.shape != example.embedding.tile_shape:
            raise ModelError(
                f"labels of shape {example.labels.shape} for a tile of "
                f"{example.embedding.tile_shape}",
                where=f"example {number}",
            )
    found = sorted({int(c) for e in examples for c in np.unique(e.labels)} - {0})
    if not found:
        raise ModelError(
            "no labelled pixel in the examples",
            todo="Paint or accept at least one object in an example image",
        )
    return tuple(found)


def gather(examples: Sequence[Example], classes: Sequence[int]) -> Samples:
    """Return a bounded number of the examples' pixels, the same in whatever order they come."""
    ordered = sorted(examples, key=_digest)
    quota = MOST_SAMPLES // max(1, len(ordered))
    found = [_draw(e, i, len(ordered), classes, quota) for i, e in enumerate(ordered)]
    features, truth, weight, fold = (np.concatenate(p) for p in zip(*found, strict=True))
    return Samples(features, truth, weight, fold, len(classes))


def _digest(example: Example) -> str:
    parts = (example.embedding.arrays["pixels"], example.labels, np.float64(example.weight))
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


Drawn = tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]


def _draw(example: Example, index: int, count: int, classes: Sequence[int], quota: int) -> Drawn:
    """Draw pixels of one example, each class by itself."""
    rng = np.random.default_rng(0)
    labels = np.asarray(example.labels).ravel()
    present = [c for c in (0, *classes) if (labels == c).any()]
    share = max(quota // max(1, len(present)), LEAST_SAMPLES)
    places, weights = [], []
    for c in present:
        at = np.flatnonzero(labels == c)
        drawn = rng.choice(at, min(len(at), share), replace=False)
        places.append(drawn)
        weights.append(np.full(len(drawn), example.weight * len(at) / len(drawn)))
    place = np.concatenate(places)
    rows, columns = np.divmod(place, example.labels.shape[1])
    truth = np.where(labels[place] == 0, 0, np.searchsorted(classes, labels[place]) + 1)
    fold = _fold(rows, columns, example.labels.shape, index, count)
    features = sample(maps(example.embedding), rows, columns)
    return features, truth, np.concatenate(weights), fold


def _fold(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    shape: tuple[int, ...],
    index: int,
    count: int,
) -> NDArray[np.intp]:
    """Return the fold of each pixel: of its example, or its quarter of the only example."""
    if count > 1:
        return np.full(len(rows), index % FOLDS * ridge.PARTS)
    return 2 * (rows * 2 // shape[0]) + columns * 2 // shape[1]


def _level(examples: Sequence[Example]) -> int:
    """Return at which level of the network objects of the examples' size are seen best."""
    from scipy.ndimage import label

    areas = [
        np.bincount(label(e.labels == c)[0].ravel())[1:]
        for e in examples
        for c in np.unique(e.labels)
        if c
    ]
    diameter = float(np.median(np.sqrt(np.concatenate(areas))))
    return int(np.clip(round(np.log2(max(diameter, 1) / TYPICAL)), 0, LEVELS - 1))
