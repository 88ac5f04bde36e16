"""Where a run is wanted: polygons that a user drew, or the nonzero pixels of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.run_plan import Polygon
from napari_ditto.data.arrays import wrap
from napari_ditto.data.opening import open_path
from napari_ditto.errors import SourceError

LARGEST_MASK = 1 << 26
"""Pixels of a mask, which is held in memory; coarse is good enough."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Region:
    """The part of every plane that is to be labelled.

    Attributes
    ----------
    polygons : sequence of polygons
        Vertices (row, column) in pixels of the plane.
    mask : ndarray of bool, or None
        Covers the plane at any resolution.
    plane : (int, int)
        Size of the plane.
    """

    polygons: Sequence[Polygon]
    mask: Mask | None
    plane: tuple[int, int]

    @classmethod
    def load(cls, polygons: Sequence[Polygon], mask: str, plane: tuple[int, int]) -> Region:
        """Return a region; `mask` is a path or empty."""
        return cls(polygons, read_mask(Path(mask)) if mask else None, plane)

    @property
    def is_everywhere(self) -> bool:
        """Whether nothing is left out."""
        return not self.polygons and self.mask is None

    def touches(self, box: Box) -> bool:
        """Whether any of a box is wanted; a few pixels too many do no harm."""
        drawn = not self.polygons or any(
            not outline.intersect(box).is_empty and _meet(polygon, box.grow(1))
            for polygon, outline in zip(self.polygons, self._outlines, strict=True)
        )
        return drawn and (self.mask is None or bool(self._coarse(self.mask, box).any()))

    def inside(self, box: Box) -> Mask | None:
        """Return which pixels of a box are wanted; None if all are."""
        return None if self.is_everywhere else self._raster(box)

    @cached_property
    def _outlines(self) -> list[Box]:
        return [_bounds(polygon) for polygon in self.polygons]

    def _coarse(self, mask: Mask, box: Box) -> Mask:
        """Return the pixels of a mask under a box."""
        (height, width), (rows, columns) = self.plane, mask.shape
        return mask[
            box.y0 * rows // height : -(-box.y1 * rows // height),
            box.x0 * columns // width : -(-box.x1 * columns // width),
        ]

    def _raster(self, box: Box) -> Mask:
        shown = np.zeros(box.shape, dtype=bool)
        for polygon, outline in zip(self.polygons, self._outlines, strict=True):
            common = outline.intersect(box)
            if not common.is_empty:
                shown[common.shift(-box.y0, -box.x0).slices] |= _filled(polygon, common)
        if self.mask is not None:
            rows, columns = (
                np.arange(start, stop) * size // total
                for start, stop, size, total in zip(
                    (box.y0, box.x0), (box.y1, box.x1), self.mask.shape, self.plane, strict=True
                )
            )
            found = self.mask[np.ix_(rows, columns)]
            shown = shown & found if self.polygons else found
        return shown


def read_mask(path: Path) -> Mask:
    """Return the nonzero pixels of an image of one plane.

    Raises
    ------
    SourceError
        If it is no plane, or too large.
    """
    opened = open_path(path.expanduser())
    try:
        fits = (level for level in opened.levels if math.prod(_shape(level)) <= LARGEST_MASK)
        level = next(fits, opened.levels[-1])
        raw = wrap(level, str(path))
        if len(raw.shape) != 2 or math.prod(raw.shape) > LARGEST_MASK:
            raise SourceError(
                f"a mask of shape {raw.shape}",
                where=str(path),
                todo="Give one plane of at most 64 Mpx; a coarse one will do",
            )
        found: Mask = raw.read(tuple(slice(0, n) for n in raw.shape)) != 0
        return found
    finally:
        if opened.close:
            opened.close()


def box_polygon(box: Box) -> Polygon:
    """Return the polygon around the pixels of a box."""
    y0, x0, y1, x1 = box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5
    return ((y0, x0), (y0, x1), (y1, x1), (y1, x0))


def _shape(level: object) -> tuple[int, ...]:
    return tuple(getattr(level, "shape", ()))


def _bounds(polygon: Polygon) -> Box:
    """Return the pixels whose centres may lie in a polygon."""
    y, x = zip(*polygon, strict=True)
    return Box(math.ceil(min(y)), math.ceil(min(x)), math.floor(max(y)) + 1, math.floor(max(x)) + 1)


def _meet(polygon: Polygon, box: Box) -> bool:
    """Whether a polygon and a box share a point: an edge crosses the box, or one holds the other.

    An edge is clipped by the box's four sides (Liang & Barsky 1984, doi:10.1145/357332.357333).
    """
    corners = np.asarray(polygon, dtype=np.float64)
    ends = np.roll(corners, -1, axis=0)
    step = ends - corners
    low = np.array([box.y0 - 0.5, box.x0 - 0.5]) - corners
    high = np.array([box.y1 - 0.5, box.x1 - 0.5]) - corners
    still = np.abs(step) < 1e-9
    safe = np.where(still, 1, step)
    one, two = low / safe, high / safe
    outside = still & ((low > 0) | (high < 0))
    enter = np.where(still, -np.inf, np.minimum(one, two)).max(axis=1)
    leave = np.where(still, np.inf, np.maximum(one, two)).min(axis=1)
    crossed = (np.maximum(enter, 0) <= np.minimum(leave, 1)) & ~outside.any(axis=1)
    return bool(crossed.any()) or _holds(corners, ends, box.center)


def _holds(
    corners: NDArray[np.float64], ends: NDArray[np.float64], point: tuple[float, float]
) -> bool:
    """Whether a point lies in a polygon: a ray from it crosses an odd number of edges."""
    y, x = point
    spans = (corners[:, 0] > y) != (ends[:, 0] > y)
    height = np.where(spans, ends[:, 0] - corners[:, 0], 1)
    at = corners[:, 1] + (y - corners[:, 0]) / height * (ends[:, 1] - corners[:, 1])
    return bool(np.count_nonzero(spans & (at > x)) % 2)


def _filled(polygon: Polygon, box: Box) -> Mask:
    """Return which pixels of a box have their centre in a polygon."""
    if len(polygon) == 4 and len({y for y, _ in polygon}) == len({x for _, x in polygon}) == 2:
        return np.ones(box.shape, dtype=bool)
    from skimage.draw import polygon2mask

    corner = (box.y0, box.x0)
    inside: Mask = polygon2mask(box.shape, np.array(polygon) - corner)  # type: ignore[no-untyped-call]
    return inside
