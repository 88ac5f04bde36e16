"""Areas that a user drew or pointed at, and how several of them become one box and one mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt

MAX_MASK_PIXELS = 64 * 2**20
"""A rough mask larger than this says no more than its box, and costs more than the image."""

_ELLIPSE_VERTICES = 96


@dataclass(frozen=True, eq=False)
class Outline:
    """A drawn area.

    Attributes
    ----------
    vertices : ndarray of float64, shape (n, 2)
        The polygon, ``(row, column)`` in pixels of the plane.
    """

    vertices: NDArray[np.float64]

    @property
    def box(self) -> BoxPrompt:
        """The rectangle round the area."""
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        return BoxPrompt(float(low[0]), float(low[1]), float(high[0]), float(high[1]))

    @property
    def is_box(self) -> bool:
        """Whether this is a rectangle along the pixel axes, and so no more than its box."""
        box, (y, x) = self.box, self.vertices.T
        # The shoelace formula; a rectangle at an angle has less area than the box round it.
        area = abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) / 2
        return len(y) == 4 and math.isclose(area, box.height * box.width, rel_tol=1e-4)


Region = Outline | MaskPrompt


def ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a polygon for the ellipse inside a parallelogram, given by its four corners."""
    center = corners.mean(axis=0)
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_VERTICES, endpoint=False)[:, None]
    return np.asarray(center + np.cos(angle) * across + np.sin(angle) * down)


def join_regions(
    regions: Sequence[Region],
) -> tuple[BoxPrompt | None, MaskPrompt | None, tuple[str, ...]]:
    """Return the box round all areas, the union of what they cover, and notes.

    One plain rectangle is only a box; masks alone are only a mask.
    """
    if not regions:
        return None, None, ()
    first, drawn = regions[0], any(isinstance(region, Outline) for region in regions)
    box = _hull([_box(region) for region in regions])
    if len(regions) == 1 and isinstance(first, Outline) and first.is_box:
        return box, None, ()
    notes = (f"{len(regions)} areas are read as one object",) if len(regions) > 1 else ()
    # The pixels whose centres lie in the box.
    y1, x1 = math.floor(box.y1) + 1, math.floor(box.x1) + 1
    pixels = Box(math.ceil(box.y0), math.ceil(box.x0), y1, x1)
    if pixels.area > MAX_MASK_PIXELS:
        return box, None, (*notes, "the area is too large for a rough mask; only its box is used")
    canvas = np.zeros(pixels.shape, dtype=bool)
    for region in regions:
        canvas |= paint(region, pixels)
    return box if drawn else None, MaskPrompt(pixels, canvas) if canvas.any() else None, notes


def _box(region: Region) -> BoxPrompt:
    box = region.box
    if isinstance(box, BoxPrompt):
        return box
    return BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)


def _hull(boxes: Sequence[BoxPrompt]) -> BoxPrompt:
    edges = np.array([(b.y0, b.x0, b.y1, b.x1) for b in boxes])
    low, high = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)
    return BoxPrompt(float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def paint(region: Region, pixels: Box) -> NDArray[np.bool_]:
    """Return which pixels of a box have their centre in the region."""
    if isinstance(region, MaskPrompt):
        here = MaskPrompt(region.box.shift(-pixels.y0, -pixels.x0), region.mask)
        return here.rasterize(pixels.shape)
    from skimage.draw import polygon2mask

    corner = (pixels.y0, pixels.x0)
    inside: NDArray[np.bool_] = polygon2mask(pixels.shape, region.vertices - corner)  # type: ignore[no-untyped-call]
    return inside
