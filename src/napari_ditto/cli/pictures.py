"""Pictures of a result, for people: the image with the outlines of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.prompts import PromptSet

FILL = 0.25
DOT = 3
HERE, NOT_HERE = (0, 255, 0), (255, 0, 0)
GOLDEN_RATIO = 0.618034
"""Steps of this size round the colour circle keep neighbouring ids apart."""


def colours(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return a strong colour for each label, shape (..., 3) in [0, 1]; black for 0."""
    hue = 6 * ((labels * GOLDEN_RATIO) % 1.0)
    wheel = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], axis=-1)
    return np.where(labels[..., None] > 0, np.clip(wheel, 0, 1), 0).astype(np.float32)


def borders(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the pixels of a label that touch another label or the background."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        for step in (1, -1):
            edge |= np.roll(labels, step, axis) != labels
    edge &= labels > 0
    return edge


def overlay(image: NDArray[np.float32], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the image with tinted labels and their outlines.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w, 3)
        Values in [0, 1].
    labels : ndarray of int, shape (h, w)
        0 is background.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    tint, inside = colours(labels), (labels > 0)[..., None]
    blend = np.where(inside, (1 - FILL) * image + FILL * tint, image)
    blend = np.where(borders(labels)[..., None], tint, blend)
    pixels: NDArray[np.uint8] = np.rint(255 * blend).astype(np.uint8)
    return pixels


def mark(pixels: NDArray[np.uint8], prompts: Sequence[PromptSet]) -> NDArray[np.uint8]:
    """Return the picture with clicks as dots (green: here, red: not here) and boxes as frames."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for said in prompts:
        if said.box:
            corners = (said.box.x0, said.box.y0, said.box.x1, said.box.y1)
            draw.rectangle(corners, outline=HERE, width=2)
        for point in said.points:
            spot = (point.x - DOT, point.y - DOT, point.x + DOT, point.y + DOT)
            draw.ellipse(spot, fill=HERE if point.positive else NOT_HERE, outline=(0, 0, 0))
    return np.asarray(picture)


def save(path: Path, pixels: NDArray[np.uint8], facts: str = "") -> None:
    """Write a PNG; `facts` go into its description."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_itxt("Description", facts)
    Image.fromarray(pixels).save(path, pnginfo=info)
