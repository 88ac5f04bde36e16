"""Prompts: what a user says about one object, as frozen values.

All coordinates are ``(row, column)`` floats in pixels of one frame (a plane at level 0, or a
tile); pixel centres are whole numbers. :meth:`PromptSet.to_frame` moves between frames.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

_EDGE_TOLERANCE = 1e-6  # a mask edge on a pixel border must not claim the next pixel by rounding


@dataclass(frozen=True, slots=True)
class Frame:
    """An axis-aligned window of a plane: pixel ``p`` of the plane is ``(p + .5) / f - .5 - o``.

    Attributes
    ----------
    factor : (float, float)
        Plane pixels per frame pixel (the level's downsampling), rows and columns.
    origin : (float, float)
        First row and column of the frame, in pixels of the level.
    """

    factor: tuple[float, float] = (1.0, 1.0)
    origin: tuple[float, float] = (0.0, 0.0)

    def to_frame(self, y: float, x: float) -> tuple[float, float]:
        """Map a plane position to this frame."""
        fy, fx = self.factor
        return (y + 0.5) / fy - 0.5 - self.origin[0], (x + 0.5) / fx - 0.5 - self.origin[1]

    def to_plane(self, y: float, x: float) -> tuple[float, float]:
        """Map a frame position back to the plane."""
        fy, fx = self.factor
        return (y + self.origin[0] + 0.5) * fy - 0.5, (x + self.origin[1] + 0.5) * fx - 0.5


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """A click: the object is here (positive) or is not here (negative)."""

    y: float
    x: float
    positive: bool = True

    def on_pixel(self) -> PointPrompt:
        """Return the click in the middle of its pixel; one between two pixels stays."""
        return PointPrompt(_middle(self.y), _middle(self.x), self.positive)


def _middle(position: float) -> float:
    nearest = math.floor(position + 0.5)
    return position if position + 0.5 == nearest else float(nearest)


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A rectangle round the object, edges in pixel coordinates, ``y0 < y1`` and ``x0 < x1``."""

    y0: float
    x0: float
    y1: float
    x1: float

    @property
    def height(self) -> float:
        """Rows spanned."""
        return self.y1 - self.y0

    @property
    def width(self) -> float:
        """Columns spanned."""
        return self.x1 - self.x0

    @property
    def center(self) -> tuple[float, float]:
        """Centre ``(y, x)``."""
        return (self.y0 + self.y1) / 2, (self.x0 + self.x1) / 2

    def iou(self, other: BoxPrompt) -> float:
        """Return intersection over union with another rectangle."""
        rows = max(0.0, min(self.y1, other.y1) - max(self.y0, other.y0))
        columns = max(0.0, min(self.x1, other.x1) - max(self.x0, other.x0))
        common = rows * columns
        return common / (self.height * self.width + other.height * other.width - common)


@dataclass(frozen=True, slots=True)
class ScribblePrompt:
    """A stroke along the object (positive) or along what it is not (negative).

    Attributes
    ----------
    path : tuple of (y, x)
        At least one vertex; the stroke runs straight between them.
    positive : bool
        Whether the stroke lies on the object.
    width : float
        Stroke width in pixels of the frame.
    """

    path: tuple[tuple[float, float], ...]
    positive: bool = True
    width: float = 1.0

    def samples(self, spacing: float = 1.0) -> NDArray[np.float64]:
        """Return positions along the stroke, shape (n, 2), at most `spacing` apart."""
        pieces = [np.asarray(self.path[:1], dtype=np.float64)]
        for a, b in zip(self.path, self.path[1:], strict=False):
            steps = max(1, math.ceil(math.dist(a, b) / spacing))
            pieces.append(np.linspace(a, b, steps + 1)[1:])
        return np.concatenate(pieces)


@dataclass(frozen=True, slots=True, eq=False)
class MaskPrompt:
    """A rough mask of the object, stored inside its box.

    Attributes
    ----------
    box : Box
        Where the mask lies; may reach outside the frame.
    mask : ndarray of bool, shape ``box.shape``
        True on the object.
    """

    box: Box
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.mask.shape != self.box.shape or self.mask.dtype != np.bool_:
            raise ValueError(f"mask {self.mask.shape} {self.mask.dtype} does not fit {self.box}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskPrompt):
            return NotImplemented
        return self.box == other.box and np.array_equal(self.mask, other.mask)

    def __hash__(self) -> int:
        return hash((self.box, self.mask.tobytes()))

    def rasterize(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask in a frame of `shape`, shape (height, width)."""
        full = np.zeros(shape, dtype=bool)
        inside = self.box.intersect(Box.of_shape(shape))
        if not inside.is_empty:
            full[inside.slices] = self.mask[inside.shift(-self.box.y0, -self.box.x0).slices]
        return full

    def to_frame(self, frame: Frame) -> MaskPrompt:
        """Return the mask resampled (nearest) to another frame."""
        top, left = frame.to_frame(self.box.y0 - 0.5, self.box.x0 - 0.5)
        bottom, right = frame.to_frame(self.box.y1 - 0.5, self.box.x1 - 0.5)
        box = Box(_first(top), _first(left), _last(bottom) + 1, _last(right) + 1)
        rows = np.array([frame.to_plane(y, 0)[0] for y in range(box.y0, box.y1)])
        cols = np.array([frame.to_plane(0, x)[1] for x in range(box.x0, box.x1)])
        yi = np.clip(np.floor(rows + 0.5).astype(int) - self.box.y0, 0, self.box.height - 1)
        xi = np.clip(np.floor(cols + 0.5).astype(int) - self.box.x0, 0, self.box.width - 1)
        return MaskPrompt(box, self.mask[np.ix_(yi, xi)])


def _first(edge: float) -> int:
    return math.floor(edge + 0.5 + _EDGE_TOLERANCE)


def _last(edge: float) -> int:
    return math.ceil(edge - 0.5 - _EDGE_TOLERANCE)


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Everything said about one object; any mixture is allowed.

    Attributes
    ----------
    points, scribbles, box, mask
        What was clicked, stroked, drawn and roughly painted.
    diameter : float or None
        How large the object is about, pixels of the frame; a hint that a model may ignore.
    text : str
        What the object is called, for a model that reads words; ``""`` for no name.
    """

    points: tuple[PointPrompt, ...] = field(default=())
    scribbles: tuple[ScribblePrompt, ...] = field(default=())
    box: BoxPrompt | None = None
    mask: MaskPrompt | None = None
    diameter: float | None = None
    text: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been said."""
        return not (self.points or self.scribbles or self.box or self.mask or self.text)

    @property
    def has_positive(self) -> bool:
        """Whether anything says where the object is."""
        strokes = any(s.positive for s in self.scribbles)
        return bool(self.box or self.mask or strokes or any(p.positive for p in self.points))

    def positions(self, *, positive: bool) -> NDArray[np.float64]:
        """Return clicks and stroke vertices of one sign, shape (n, 2)."""
        clicks = [(p.y, p.x) for p in self.points if p.positive == positive]
        strokes = [v for s in self.scribbles if s.positive == positive for v in s.path]
        return np.array(clicks + strokes, dtype=np.float64).reshape(-1, 2)

    @property
    def extent(self) -> BoxPrompt | None:
        """Smallest box around everything positive; None if nothing is positive."""
        corners = [tuple(p) for p in self.positions(positive=True)]
        if self.box:
            corners += [(self.box.y0, self.box.x0), (self.box.y1, self.box.x1)]
        if self.mask and self.mask.mask.any():
            rows, cols = np.nonzero(self.mask.mask)
            y, x = rows + self.mask.box.y0, cols + self.mask.box.x0
            corners += [(float(y.min()), float(x.min())), (float(y.max()), float(x.max()))]
        if not corners:
            return None
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        return BoxPrompt(float(low[0]), float(low[1]), float(high[0]), float(high[1]))

    def to_frame(self, frame: Frame) -> PromptSet:
        """Return the same prompts in another frame (a tile, a coarser level)."""
        stretch = math.sqrt(frame.factor[0] * frame.factor[1])
        points = tuple(PointPrompt(*frame.to_frame(p.y, p.x), p.positive) for p in self.points)
        scribbles = tuple(
            ScribblePrompt(tuple(frame.to_frame(*v) for v in s.path), s.positive, s.width / stretch)
            for s in self.scribbles
        )
        box = self.box and BoxPrompt(
            *frame.to_frame(self.box.y0, self.box.x0), *frame.to_frame(self.box.y1, self.box.x1)
        )
        diameter = self.diameter and self.diameter / stretch
        mask = self.mask and self.mask.to_frame(frame)
        return PromptSet(points, scribbles, box, mask, diameter, self.text)

    def with_points(self, points: Iterable[PointPrompt]) -> PromptSet:
        """Return a copy with more points."""
        return replace(self, points=self.points + tuple(points))

    def on_pixels(self) -> PromptSet:
        """Return the same with every click in the middle of its pixel; a border belongs to neither.

        A click says which pixel: where in it the mouse was makes no other object.
        """
        return replace(self, points=tuple(p.on_pixel() for p in self.points))

    def digest(self) -> str:
        """Return a stable hash of the content, hex, for provenance and replay."""
        state = hashlib.sha256(repr((self.points, self.scribbles, self.box)).encode())
        if self.diameter:
            state.update(repr(self.diameter).encode())
        if self.mask:
            state.update(repr(self.mask.box).encode())
            state.update(np.packbits(self.mask.mask).tobytes())
        if self.text:  # without a name the digest is what it was before there were names
            state.update(repr(self.text).encode())
        return state.hexdigest()
