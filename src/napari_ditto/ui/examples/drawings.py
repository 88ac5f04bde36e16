"""Drawings on the plane on show as rough labels: every shape, stroke and click is one object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import PointPrompt, ScribblePrompt
from napari_ditto.ui.prompt_reading import Collected, read_layer
from napari_ditto.ui.region import paint

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Layer

CLICK_RADIUS = 2.0
"""Pixels that a click stands for; the model finds the rest."""


def drawing_on_plane(
    layers: Iterable[Layer], image: Image, plane: PlaneAddress, box: Box, dims: Dims
) -> NDArray[np.int32]:
    """Return rough labels of everything positive that is drawn on a plane.

    Returns
    -------
    ndarray of int32, shape ``box.shape``
        Ids from 1 in the order of drawing, areas before strokes before clicks.
    """
    labels = np.zeros(box.shape, dtype=np.int32)
    number = 0
    for layer in layers:
        for mask in _masks(read_layer(layer, image, plane, dims), box):
            free = mask & (labels == 0)
            number += bool(free.any())
            labels[free] = number
    return labels


def _masks(said: Collected, box: Box) -> Iterator[NDArray[np.bool_]]:
    yield from (paint(region, box) for region in said.regions)
    yield from (_stroke(stroke, box) for stroke in said.scribbles if stroke.positive)
    yield from (_stroke(_dot(click), box) for click in said.points if click.positive)


def _dot(click: PointPrompt) -> ScribblePrompt:
    return ScribblePrompt(((click.y, click.x),), width=2 * CLICK_RADIUS)


def _stroke(stroke: ScribblePrompt, box: Box) -> NDArray[np.bool_]:
    """Return the pixels within half the stroke's width of its line."""
    radius = max(stroke.width / 2, 0.71)
    mask = np.zeros(box.shape, dtype=bool)
    for y, x in stroke.samples(radius) - (box.y0, box.x0):
        near = Box(
            int(np.floor(y - radius)), int(np.floor(x - radius)),
            int(np.ceil(y + radius)) + 1, int(np.ceil(x + radius)) + 1,
        ).intersect(Box.of_shape(box.shape))  # fmt: skip
        rows, columns = np.ogrid[near.slices]
        mask[near.slices] |= (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return mask
