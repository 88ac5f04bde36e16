"""Boxes and plane addresses: where a thing is, in which axes.

Coordinates are ``(row, column)`` in data pixels. A pixel with index ``i`` covers
``[i - 0.5, i + 0.5)``, as in napari; a :class:`Box` is half-open over indices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A half-open window of whole pixels: rows ``y0:y1``, columns ``x0:x1``."""

    y0: int
    x0: int
    y1: int
    x1: int

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """Return the box that covers a plane of ``(height, width)``."""
        return cls(0, 0, int(shape[0]), int(shape[1]))

    @property
    def height(self) -> int:
        """Number of rows, 0 for an empty box."""
        return max(0, self.y1 - self.y0)

    @property
    def width(self) -> int:
        """Number of columns, 0 for an empty box."""
        return max(0, self.x1 - self.x0)

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.area == 0

    @property
    def center(self) -> tuple[float, float]:
        """Centre ``(y, x)`` in pixel coordinates (pixel centres are whole numbers)."""
        return (self.y0 + self.y1 - 1) / 2, (self.x0 + self.x1 - 1) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this window in an array of ``(height, width)``."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def intersect(self, other: Box) -> Box:
        """Return the common window; empty boxes stay well formed."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        return Box(y0, x0, max(y0, min(self.y1, other.y1)), max(x0, min(self.x1, other.x1)))

    def union(self, other: Box) -> Box:
        """Return the smallest box around both; an empty box adds nothing."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        return Box(
            min(self.y0, other.y0),
            min(self.x0, other.x0),
            max(self.y1, other.y1),
            max(self.x1, other.x1),
        )

    def shift(self, dy: int, dx: int) -> Box:
        """Return the box moved by whole pixels."""
        return Box(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)

    def grow(self, pixels: int) -> Box:
        """Return the box with a margin on every side (negative shrinks)."""
        return Box(self.y0 - pixels, self.x0 - pixels, self.y1 + pixels, self.x1 + pixels)

    def scale(self, fy: float, fx: float) -> Box:
        """Return the smallest whole-pixel box that covers this one scaled by ``(fy, fx)``."""
        return Box(
            math.floor(self.y0 * fy),
            math.floor(self.x0 * fx),
            math.ceil(self.y1 * fy),
            math.ceil(self.x1 * fx),
        )

    def contains(self, y: float, x: float) -> bool:
        """Whether the pixel position ``(y, x)`` lies on a pixel of this box."""
        return self.y0 - 0.5 <= y < self.y1 - 0.5 and self.x0 - 0.5 <= x < self.x1 - 0.5

    def covers(self, other: Box) -> bool:
        """Whether every pixel of `other` lies in this box."""
        return other.is_empty or self.intersect(other) == other


@dataclass(frozen=True, slots=True)
class PlaneAddress:
    """The two displayed axes and a fixed index on every other axis of a source.

    Attributes
    ----------
    rows, columns : str
        Names of the displayed axes, in the order shown (``"y", "x"``; ``"z", "x"`` for XZ).
    fixed : tuple of (str, int)
        The index on each other axis, in the source's axis order.
    """

    rows: str = "y"
    columns: str = "x"
    fixed: tuple[tuple[str, int], ...] = field(default=())

    @property
    def index(self) -> dict[str, int]:
        """The fixed indices by axis name."""
        return dict(self.fixed)

    def with_index(self, changes: Mapping[str, int]) -> PlaneAddress:
        """Return the parallel plane with some fixed indices changed."""
        fixed = tuple((name, int(changes.get(name, i))) for name, i in self.fixed)
        return PlaneAddress(self.rows, self.columns, fixed)

    def __str__(self) -> str:
        where = ", ".join(f"{name}={i}" for name, i in self.fixed)
        return f"{self.rows}{self.columns} plane" + (f" at {where}" if where else "")
