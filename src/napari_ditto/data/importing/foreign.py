"""What a foreign file holds: outlines or masks of objects, and on which grid they lie."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import Mask
from napari_ditto.core.outlines import Ring, fill
from napari_ditto.data.exporting.features import PIXEL

LARGEST_FILE = 1 << 28
"""Bytes of a text file, which is held in memory as Python's own objects."""

MOST_SHAPES = 1 << 20
FARTHEST = 1e12
HIGHEST = 2**63 - 1

Part = tuple[Ring, ...]
"""The rings of a polygon, ``(row, column)`` of pixel corners, or ``(y, x)`` of a reference."""


@dataclass(frozen=True, eq=False)
class Shape:
    """One object in one plane.

    Attributes
    ----------
    parts : tuple of tuple of ring
        Its polygons, holes among the rings.
    placed : (Box, mask) or None
        Its pixels, where the file holds pixels.
    label : int or None
        Its id, if the file tells one.
    kind : str
        Name of its class, ``""`` for none.
    score : float or None
        How sure a model was.
    index : tuple of (str, int)
        The plane, as far as the file tells.
    """

    parts: tuple[Part, ...] = ()
    placed: tuple[Box, Mask] | None = None
    label: int | None = None
    kind: str = ""
    score: float | None = None
    index: tuple[tuple[str, int], ...] = ()

    @property
    def rings(self) -> list[Ring]:
        """All rings."""
        return [ring for part in self.parts for ring in part]

    def box(self) -> Box:
        """Return whole pixels that the object lies in; empty for an empty one."""
        if self.placed is not None:
            return self.placed[0]
        rings = [ring for ring in self.rings if len(ring)]
        if not rings:
            return Box(0, 0, 0, 0)
        points = np.concatenate(rings)
        (y0, x0), (y1, x1) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
        return Box(int(y0), int(x0), int(y1), int(x1))

    def mask_in(self, box: Box) -> Mask:
        """Return which pixels of a box are the object's."""
        if self.placed is not None:
            from napari_ditto.core.masks import place

            return place(self.placed[1], self.placed[0], box)
        mask = np.zeros(box.shape, dtype=bool)
        for part in self.parts:
            mask |= fill(part, box)
        return mask


@dataclass(frozen=True)
class Grid:
    """The pixels that a file says its objects lie on.

    Attributes
    ----------
    axes : tuple of str
        Rows and columns last.
    shape : tuple of int
        Size along each.
    scale, translate, units : tuple
        As :class:`~napari_ditto.data.exporting.label_image.LabelImage` has them.
    """

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]


def plain_grid(axes: Sequence[str], shape: Sequence[int]) -> Grid:
    """Return a grid of which no more is known."""
    n = len(axes)
    return Grid(tuple(axes), tuple(shape), (1.0,) * n, (0.0,) * n, ("",) * n)


@dataclass(frozen=True, eq=False)
class Foreign:
    """All that a file holds.

    Attributes
    ----------
    shapes : list of Shape
        In the order of the file.
    crs : str
        What coordinates mean: :data:`PIXEL`, or what pyproj takes.
    grid : Grid or None
        The pixels they lie on.
    colors : mapping of str to str
        ``"#rrggbb"`` of classes.
    notes : tuple of str
        What was left out.
    """

    shapes: list[Shape]
    crs: str = PIXEL
    grid: Grid | None = None
    colors: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def ring_of(points: Any) -> Ring:  # noqa: ANN401 - whatever the file holds
    """Return vertices ``(y, x)`` of a list of ``[x, y, ...]``; raises ValueError if it is none."""
    try:
        array = np.asarray([p[:2] for p in points], dtype=np.float64)
    except (TypeError, IndexError, KeyError, OverflowError) as error:
        raise ValueError("a ring is no list of points") from error
    if array.ndim != 2 or array.shape[1] != 2 or not (np.abs(array) <= FARTHEST).all():
        raise ValueError("a ring is no list of points")
    ring: NDArray[np.float64] = array[:, ::-1]
    return ring


def label_from(value: object) -> int | None:
    """Return an id, None for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    ok = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if ok and 0 < int(value) <= HIGHEST else None  # type: ignore[call-overload]


def score_from(value: object) -> float | None:
    """Return a score in [0, 1], None for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value) if 0 <= value <= 1 else None
    return None


def index_from(
    told: Mapping[str, Any], axes: Iterable[str] = ("t", "z")
) -> tuple[tuple[str, int], ...]:
    """Return the plane that some properties name."""
    found = ((axis, told.get(axis)) for axis in axes)
    return tuple(
        (axis, int(i))
        for axis, i in found
        if isinstance(i, int | np.integer) and not isinstance(i, bool) and 0 <= i <= HIGHEST
    )
