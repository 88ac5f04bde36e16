"""Examples: labelled planes of any image, sharpened, weighed, and shown in a list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.engine.sharpening import sharpen_steps
from napari_ditto.engine.similarity import weigh_steps
from napari_ditto.engine.teaching import object_labels

__all__ = ["PlaneExample", "sharpen_steps", "thumbnail", "weigh_steps"]

MARGIN = 0.2
"""Shown around the objects, in parts of their extent."""

OUTLINE = (255, 255, 0)


def thumbnail(example: PlaneExample, size: int = 64) -> NDArray[np.uint8]:
    """Return a picture of the labelled objects with their outlines, shape (size, size, 3).

    The largest object and its neighbourhood are shown; the middle of the plane if there is none.
    """
    labels = object_labels(example)
    window = _window(example, labels)
    source, address = example.source, example.address
    level = _level(example, window, size)
    fy, fx = source.factor(address, level)
    plane = Box.of_shape(source.plane_shape(address, level))
    reads = window.scale(1 / fy, 1 / fx).intersect(plane)
    pixels = source.read(address, reads, level)
    rows = np.linspace(window.y0, window.y1, size, endpoint=False) + window.height / size / 2
    columns = np.linspace(window.x0, window.x1, size, endpoint=False) + window.width / size / 2
    picture = pixels[
        np.ix_(
            np.clip((rows / fy).astype(int) - reads.y0, 0, reads.height - 1),
            np.clip((columns / fx).astype(int) - reads.x0, 0, reads.width - 1),
        )
    ]
    shown = _labels_at(labels, example.where, rows.astype(int), columns.astype(int))
    shades: NDArray[np.uint8] = np.rint(255 * picture).astype(np.uint8)
    shades[_borders(shown)] = OUTLINE
    return shades


def _window(example: PlaneExample, labels: NDArray[np.int64]) -> Box:
    """Return a square window of the plane around the largest object."""
    plane = Box.of_shape(example.source.plane_shape(example.address))
    inner, where = plane, example.where
    if labels.any():
        ids, areas = np.unique(labels[labels > 0], return_counts=True)
        inner = bounding_box(labels == ids[areas.argmax()]).shift(where.y0, where.x0)
    side = max(8, int((1 + 2 * MARGIN) * max(inner.shape)))
    side = min(side, *plane.shape)
    y, x = (round(c - side / 2 + 0.5) for c in inner.center)
    y = min(max(y, 0), plane.height - side)
    x = min(max(x, 0), plane.width - side)
    return Box(y, x, y + side, x + side)


def _level(example: PlaneExample, window: Box, size: int) -> int:
    """Return the coarsest level that still has a pixel for each of the picture's."""
    factors = (
        example.source.factor(example.address, level) for level in range(example.source.levels)
    )
    fits = [n for n, f in enumerate(factors) if window.height / max(f) >= size]
    return max(fits, default=0)


def _labels_at(
    labels: NDArray[np.int64], where: Box, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.int64]:
    inside = np.ix_(
        (rows >= where.y0) & (rows < where.y1), (columns >= where.x0) & (columns < where.x1)
    )
    shown = np.zeros((len(rows), len(columns)), dtype=np.int64)
    y = rows[inside[0].ravel()] - where.y0
    x = columns[inside[1].ravel()] - where.x0
    shown[inside] = labels[np.ix_(y, x)]
    return shown


def _borders(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the pixels of labels that touch another label or the background."""
    padded = np.pad(labels, 1)
    middle = padded[1:-1, 1:-1]
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray((middle > 0) & np.any([middle != b for b in beside], axis=0))
