"""Planes with known objects, and an annotator that sees them perfectly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.proposals import Proposals
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.predict import GROWTH_TILES
from napari_ditto.testing.fakes import TRUTH_WINDOW, CountingModel, PerfectModel, paint_truth

Plane = NDArray[np.bool_]


def truth_source(truth: NDArray[np.integer], pyramid: bool = False) -> Source:
    """Return a source whose pixels tell the ids of a label plane.

    Parameters
    ----------
    truth : ndarray of int, shape (h, w)
        Ids up to 2**24 - 1.
    pyramid : bool
        Whether coarser levels are stored that keep every second pixel; levels that a source
        computes itself average ids and tell nothing.
    """
    levels = [paint_truth(truth)]
    while pyramid and min(levels[-1].shape[:2]) > 32:
        levels.append(levels[-1][::2, ::2])
    return open_source(levels, axes="yxc", window=TRUTH_WINDOW)


def annotate(
    truth: NDArray[np.integer],
    tile: int = 64,
    connected: bool = False,
    pyramid: bool = False,
    labels: NDArray[np.integer] | None = None,
    cache: EmbeddingStore | None = None,
    growth_tiles: int = GROWTH_TILES,
) -> Annotator:
    """Return an annotator of a label plane whose perfect model counts its calls."""
    model = CountingModel(PerfectModel(tile, connected))
    source = truth_source(truth, pyramid)
    return Annotator(source, model, labels, cache, growth_tiles=growth_tiles)


def full(proposals: Proposals, shape: tuple[int, int], choice: int | None = None) -> Plane:
    """Return a candidate (the best by default) in its plane."""
    plane = np.zeros(shape, dtype=bool)
    plane[proposals.box.slices] = proposals.masks[proposals.best if choice is None else choice]
    return plane


def disc(shape: tuple[int, int], center: tuple[float, float], radius: float) -> Plane:
    """Return a disc, cut at the border of the plane."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside: Plane = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2
    return inside


def snake(shape: tuple[int, int], width: int = 9, step: int = 28) -> Plane:
    """Return a winding band: rows of `width`, every `step`, joined right and left in turn."""
    plane = np.zeros(shape, dtype=bool)
    tops = range(6, shape[0] - width - 5, step)
    for i, top in enumerate(tops):
        plane[top : top + width, 5:-5] = True
        if top + step in tops:
            side = slice(5, 5 + width) if i % 2 else slice(-5 - width, -5)
            plane[top : top + step + width, side] = True
    return plane


def truth_stack(truth: NDArray[np.integer], axes: str = "zyx") -> Source:
    """Return a source of several planes whose pixels tell the ids of a label image.

    Parameters
    ----------
    truth : ndarray of int
        Ids up to 2**24 - 1.
    axes : str
        One letter per axis of `truth`.
    """
    return open_source(paint_truth(truth), axes=f"{axes}c", window=TRUTH_WINDOW)


def drifting(
    depth: int, shape: tuple[int, int] = (40, 48), count: int = 3, seed: int = 0
) -> NDArray[np.int32]:
    """Return a stack of discs that drift slowly, ids from 1, later ones on top."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.25, 0.75, (count, 2)) * shape
    drift = rng.uniform(-0.7, 0.7, (count, 2))
    radius = rng.uniform(5, 8, count)
    stack = np.zeros((depth, *shape), dtype=np.int32)
    for z, n in np.ndindex(depth, count):
        y, x = start[n] + (z - depth / 2) * drift[n]
        stack[z][disc(shape, (float(y), float(x)), float(radius[n]))] = n + 1
    return stack
