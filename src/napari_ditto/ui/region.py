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
class Region:
    """An area of the plane: an outline, or a mask.

    Attributes
    ----------
    outline : ndarray of float64, shape (n, 2), or None
        Vertices ``(row, column)`` of a polygon.
    mask : MaskPrompt or None
        Pixels, where the area was given as such.
    """

    outline: NDArray[np.float64] | None = None
    mask: MaskPrompt | None = None

    @property
    def is_box(self) -> bool:
        """Whether the outline is a rectangle along the pixel axes, and so says no more."""
        if self.outline is None or len(self.outline) != 4:
            return False
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        near = np.isclose(self.outline, low, atol=1e-3) | np.isclose(self.outline, high, atol=1e-3)
        return bool(near.all()) and math.isclose(
            _area(self.outline), float(np.prod(high - low)), rel_tol=1e-3, abs_tol=1e-6
        )

    @property
    def extent(self) -> BoxPrompt:
        """The rectangle round the area, edges in pixel coordinates."""
        if self.outline is not None:
            low, high = self.outline.min(axis=0), self.outline.max(axis=0)
            return BoxPrompt(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        assert self.mask is not None
        box = self.mask.box
        return BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)

    def paint(self, canvas: NDArray[np.bool_], box: Box) -> None:
        """Set the pixels whose centres lie in the area, on a canvas that covers `box`."""
        if self.mask is not None:
            inside = box.intersect(self.mask.box)
            here = inside.shift(-box.y0, -box.x0).slices
            canvas[here] |= self.mask.mask[
                inside.shift(-self.mask.box.y0, -self.mask.box.x0).slices
            ]
            return
        from skimage.draw import polygon

        assert self.outline is not None
        rows, columns = (self.outline - (box.y0, box.x0)).T
        canvas[polygon(rows, columns, canvas.shape)] = True


def _area(outline: NDArray[np.float64]) -> float:
    y, x = outline.T
    return float(abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) / 2)


def outline_of(vertices: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Return the polygon of a napari shape; an ellipse is given by the corners round it."""
    if kind != "ellipse":
        return vertices
    center = vertices.mean(axis=0)
    right, down = (vertices[1] - vertices[0]) / 2, (vertices[3] - vertices[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_VERTICES, endpoint=False)[:, None]
    return np.asarray(center + np.cos(angle) * right + np.sin(angle) * down)


def join_regions(
    regions: Sequence[Region],
) -> tuple[BoxPrompt | None, MaskPrompt | None, tuple[str, ...]]:
    """Return the box round all areas, the union of what they cover, and notes.

    One plain rectangle is only a box; masks alone are only a mask.
    """
    if not regions:
        return None, None, ()
    box = _hull([region.extent for region in regions])
    if len(regions) == 1 and regions[0].is_box:
        return box, None, ()
    drawn = any(region.outline is not None for region in regions)
    pixels = Box(
        math.ceil(box.y0), math.ceil(box.x0), math.floor(box.y1) + 1, math.floor(box.x1) + 1
    )
    if pixels.area > MAX_MASK_PIXELS:
        return box, None, ("the area is too large for a mask; only its box is used",)
    canvas = np.zeros(pixels.shape, dtype=bool)
    for region in regions:
        region.paint(canvas, pixels)
    mask = MaskPrompt(pixels, canvas) if canvas.any() else None
    return box if drawn else None, mask, ()


def _hull(boxes: Sequence[BoxPrompt]) -> BoxPrompt:
    edges = np.array([(b.y0, b.x0, b.y1, b.x1) for b in boxes])
    low, high = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)
    return BoxPrompt(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
