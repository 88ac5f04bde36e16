"""Textbook engines of seeded segmentation, for `classic_engines.py`.

Every engine sees one prompt as a window with foreground and background seeds, and has one
strength to be tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage as ndi  # noqa: TID253
from scipy.sparse import coo_array  # noqa: TID253
from scipy.sparse.csgraph import breadth_first_order, maximum_flow  # noqa: TID253
from skimage.graph import MCP_Geometric  # noqa: TID253
from skimage.segmentation import random_walker, watershed  # noqa: TID253
from skimage.transform import resize  # noqa: TID253

from classic_accuracy import Case
from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.models.classic import boxes
from napari_ditto.models.classic.features import gradient, opponent, smooth
from napari_ditto.models.classic.proposals import Scene

LARGEST, LARGEST_CUT = 192, 96  # longest side of a window that is solved at full resolution
CAPACITY = 1000


@dataclass(frozen=True)
class Task:
    """One prompt as an engine sees it: a window with seeds."""

    case: Case
    embedding: Embedding
    window: Box
    inside: np.ndarray
    outside: np.ndarray

    @cached_property
    def color(self) -> np.ndarray:
        """Smoothed lightness and opponent colours of the window, shape (3, h, w)."""
        return np.stack([smooth(c, 1.0) for c in opponent(self.case.tile[self.window.slices])])

    def shrunk(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return colour and seeds at every n-th pixel, so that no side is longer than `side`."""
        step = -(-max(self.window.shape) // side)
        blurred = self.color if step == 1 else ndi.uniform_filter(self.color, (1, step, step))
        return tuple(a[..., ::step, ::step] for a in (blurred, self.inside, self.outside))

    def finish(self, mask: np.ndarray) -> np.ndarray:
        """Return the part of a mask that holds the foreground seeds, without holes, on the tile."""
        if mask.shape != self.window.shape:
            mask = resize(mask.astype(float), self.window.shape, order=1) > 0.5
        parts, _ = ndi.label(mask | self.inside)
        held = np.unique(parts[self.inside])
        whole = np.zeros(self.case.truth.shape, bool)
        whole[self.window.slices] = ndi.binary_fill_holes(np.isin(parts, held))
        return whole


def walk(task: Task, beta: float) -> np.ndarray:
    """Random walker (Grady 2006)."""
    color, inside, outside = task.shrunk(LARGEST)
    seeds = inside + 2 * outside
    if not np.ptp(color):
        return inside
    image = np.moveaxis(color, 0, -1)
    return random_walker(image, seeds, beta, "bf", channel_axis=-1) == 1


def flood(task: Task, sigma: float) -> np.ndarray:
    """Watershed of the gradient from markers (Meyer 1994)."""
    color, inside, outside = task.shrunk(LARGEST)
    slope = gradient(np.stack([smooth(c, sigma) for c in color]) if sigma else color)
    return watershed(slope, inside + 2 * outside) == 1


def travel(task: Task, ease: float) -> np.ndarray:
    """Nearer by geodesic distance to foreground than to background (Bai & Sapiro 2007)."""
    color, inside, outside = task.shrunk(LARGEST)
    slope = gradient(color)
    cost = ease + slope / max(slope.mean(), 1e-9)
    near, far = (
        MCP_Geometric(cost).find_costs(np.argwhere(s))[0] if s.any() else np.full(s.shape, np.inf)
        for s in (inside, outside)
    )
    return near < far


def cut(task: Task, region: float) -> np.ndarray:
    """Minimum cut (Boykov & Jolly 2001), likelihoods of two Gaussians weighted by `region`."""
    color, inside, outside = task.shrunk(LARGEST_CUT)
    mask = _minimum_cut(color, inside, outside, np.zeros(inside.shape))
    for _ in range(2 if region else 0):
        logit = _gaussian(color, mask | inside) - _gaussian(color, ~mask | outside)
        mask = _minimum_cut(color, inside, outside, region * np.clip(logit, -5, 5))
    return mask


def _gaussian(color: np.ndarray, where: np.ndarray) -> np.ndarray:
    x = color[:, where]
    mean, var = x.mean(axis=1)[:, None, None], x.var(axis=1)[:, None, None] + 1e-4
    return -0.5 * ((color - mean) ** 2 / var + np.log(var)).sum(axis=0)


def _minimum_cut(
    color: np.ndarray, inside: np.ndarray, outside: np.ndarray, logit: np.ndarray
) -> np.ndarray:
    index = np.arange(inside.size).reshape(inside.shape)
    source, sink = inside.size, inside.size + 1
    ends = [(index[:-1], index[1:]), (index[:, :-1], index[:, 1:])]
    steps = [(np.diff(color, axis=a) ** 2).sum(axis=0) for a in (1, 2)]
    scale = 2 * max(float(np.mean(np.concatenate([s.ravel() for s in steps]))), 1e-9)
    rows, cols, caps = [], [], []
    for (a, b), step in zip(ends, steps, strict=True):
        rows += [a.ravel(), b.ravel()]
        cols += [b.ravel(), a.ravel()]
        caps += [np.exp(-step / scale).ravel()] * 2
    hard = 1e4
    for to_source, weight in (
        (True, np.where(inside, hard, np.maximum(logit, 0))),
        (False, np.where(outside, hard, np.maximum(-logit, 0))),
    ):
        end = np.full(inside.size, source if to_source else sink)
        rows.append(end if to_source else index.ravel())
        cols.append(index.ravel() if to_source else end)
        caps.append(weight.ravel())
    whole = np.rint(CAPACITY * np.concatenate(caps)).astype(np.int32)
    place = (np.concatenate(rows), np.concatenate(cols))
    graph = coo_array((whole, place), shape=(inside.size + 2,) * 2).tocsr()
    graph.eliminate_zeros()
    flow = maximum_flow(graph, source, sink).flow
    left = graph - flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    mask = np.zeros(inside.size + 2, bool)
    mask[reached] = True
    return mask[:-2].reshape(inside.shape)


def regress(task: Task, rounds: float) -> np.ndarray:
    """Ridge on the filter bank, trained on the seeds and then on its own answer."""
    features = Scene(task.embedding).features(task.window)
    score = boxes._classify(features, task.inside, task.outside)
    for _ in range(int(rounds)):
        score = boxes._classify(features, task.inside | (score > 0) & ~task.outside, task.outside)
    return score > 0


@dataclass(frozen=True)
class Engine:
    """An engine and the strengths that it was tried with."""

    solve: Callable[[Task, float], np.ndarray]
    strengths: tuple[float, ...]


ENGINES = {
    "random walker": Engine(walk, (500.0, 2000.0, 1e4, 4e4)),
    "watershed": Engine(flood, (0.0, 1.0, 2.0)),
    "geodesic": Engine(travel, (0.01, 0.03, 0.1, 0.4)),
    "graph cut": Engine(cut, (0.0, 0.1, 0.3, 1.0, 3.0)),
    "ridge": Engine(regress, (0.0, 1.0, 3.0)),
}
