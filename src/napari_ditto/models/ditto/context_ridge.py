"""The network's part in learning from examples: a ridge on its maps and on waves of them.

Random Fourier features: Rahimi & Recht (2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253

from napari_ditto.models.ditto.context_features import STRIDES, Maps, channels, project, sample

PENALTY = 0.1
"""Ten times that of the filter bank: there are ten times as many features."""

WAVES = 64
REACH = 1.2
"""Standard deviation of a wave's phase; every group of channels has the same part in it."""

SPREAD = {64: (1.8,), 32: (1.8,), 16: (1.8, 3.1), 8: (3.4, 3.9), 4: (3.8, 4.0), 2: (2.4,)}
"""Root mean square of each group of channels, measured on the training images."""

MOST, IN_ALL = 4000, 12_000
"""Pixels that are learnt from, of one class in one example and of all classes together."""

Floats = NDArray[np.float32]


def measure(
    found: Maps,
    labels: NDArray[np.integer],
    weight: float,
    classes: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return the moments of the background and of each class, shape (1 + c, d, d)."""
    size = sum(sum(n) for n in channels().values()) + WAVES + 1
    moments = np.zeros((1 + len(classes), size, size))
    most = min(MOST, IN_ALL // (1 + len(classes)))
    drawn = [_draw(labels == c, most) for c in (0, *classes)]
    features = expand(sample(found, *np.divmod(np.concatenate(drawn), labels.shape[1])))
    ends = np.cumsum([len(d) for d in drawn])[:-1]
    for k, (at, x) in enumerate(zip(drawn, np.split(features, ends), strict=True)):
        stands_for = (labels == (0, *classes)[k]).sum() / max(1, len(at))
        moments[k] = weight * stands_for * (x.T @ x)
    return moments


def _draw(mask: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    at = np.flatnonzero(mask)
    rng = np.random.default_rng(0)
    return at if len(at) <= most else np.sort(rng.choice(at, most, replace=False))


def expand(x: Floats) -> Floats:
    """Return scaled features, waves and a constant."""
    spread, turn, phase = _waves()
    x = x / spread
    return np.concatenate([x, np.cos(x @ turn.T + phase), np.ones((len(x), 1), np.float32)], 1)


def score(found: Maps, solution: NDArray[np.floating]) -> Tensor:
    """Return the score of each class, background first, at stride 2."""
    spread, turn, phase = _waves()
    count, classes = len(spread), len(solution)
    weights = np.concatenate([solution[:, :count], turn]) / spread
    ends = np.cumsum([sum(n) for n in channels().values()])[:-1]
    parts = np.split(weights.astype(np.float32), ends, axis=1)
    constant = np.concatenate([solution[:, -1], phase]).astype(np.float32)
    by_stride = {s: torch.tensor(w) for s, w in zip(STRIDES, parts, strict=True)}
    total = project(found, by_stride, torch.from_numpy(constant))
    mix = torch.tensor(solution[:, count:-1], dtype=torch.float32)
    plain, waves = total[:classes].flatten(1), total[classes:].flatten(1)
    np.cos(waves.numpy(), out=waves.numpy())  # twice as fast as PyTorch's
    return plain.addmm_(mix, waves).view(classes, *total.shape[1:])


@cache
def _waves() -> tuple[Floats, Floats, Floats]:
    """Return the spread of the channels, and frequencies and phases of the waves."""
    rng = np.random.default_rng(0)
    groups = list(_groups())
    spread = np.concatenate([np.full(n, s) for n, s in groups])
    turn = [rng.standard_normal((WAVES, n)) / np.sqrt(n * len(groups)) for n, _ in groups]
    phase = rng.uniform(0, 2 * np.pi, WAVES)
    turns = REACH * np.concatenate(turn, axis=1)
    return spread.astype(np.float32), turns.astype(np.float32), phase.astype(np.float32)


def _groups() -> Iterator[tuple[int, float]]:
    for stride, counts in channels().items():
        yield from zip(counts, SPREAD[stride], strict=True)
