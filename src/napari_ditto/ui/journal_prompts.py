"""The prompts of the object in hand, in pixels of the image, as a journal keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.blocks import DamagedBlock

Vertices = NDArray[np.float64]
SHAPES = frozenset({"rectangle", "ellipse", "polygon", "line", "path"})
MAX_PROMPTS = 100_000


@dataclass(frozen=True, eq=False)
class KeptPrompts:
    """Points and shapes of one image.

    Attributes
    ----------
    points : ndarray of float64, shape (n, ndim)
        Positions in pixels of the image layer.
    signs : tuple of bool
        Which of them are positive.
    shapes : tuple of ndarray, each of shape (vertices, ndim)
        Likewise.
    kinds, widths, shape_signs : tuple
        Kind, width of the edge and sign of each shape.
    """

    points: Vertices = field(default_factory=lambda: np.zeros((0, 2)))
    signs: tuple[bool, ...] = ()
    shapes: tuple[Vertices, ...] = ()
    kinds: tuple[str, ...] = ()
    widths: tuple[float, ...] = ()
    shape_signs: tuple[bool, ...] = ()

    @property
    def count(self) -> int:
        """How many prompts there are."""
        return len(self.signs) + len(self.kinds)

    def encode(self) -> tuple[dict[str, object], dict[str, NDArray[Any]]]:
        """Return the prompts as facts and arrays of a record."""
        facts = {
            "signs": list(self.signs),
            "sizes": [len(shape) for shape in self.shapes],
            "kinds": list(self.kinds),
            "widths": list(self.widths),
            "shape_signs": list(self.shape_signs),
        }
        flat = np.concatenate(self.shapes) if self.shapes else np.zeros((0, 2))
        return facts, {"points": self.points, "shapes": flat}


def decode_prompts(
    facts: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]], ndim: int
) -> KeptPrompts:
    """Check and return the prompts of a record, for an image of `ndim` axes.

    Raises
    ------
    DamagedBlock
        If they are none.
    """
    try:
        return _decode(facts, arrays, ndim)
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedBlock(f"no prompts: {error}") from error


def _decode(
    facts: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]], ndim: int
) -> KeptPrompts:
    signs, kinds, sizes = facts["signs"], facts["kinds"], facts["sizes"]
    widths, shape_signs = facts["widths"], facts["shape_signs"]
    if len(signs) + len(kinds) > MAX_PROMPTS:
        raise DamagedBlock("too many prompts")
    if not len(kinds) == len(sizes) == len(widths) == len(shape_signs) or set(kinds) - SHAPES:
        raise DamagedBlock("no shapes")
    points = _positions(arrays["points"], len(signs), ndim)
    flat = _positions(arrays["shapes"], sum(sizes), ndim)
    shapes = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    if any(len(shape) < 2 for shape in shapes):
        raise DamagedBlock("a shape without vertices")
    return KeptPrompts(
        points,
        tuple(map(bool, signs)),
        tuple(shapes),
        tuple(kinds),
        tuple(max(0.0, float(width)) for width in widths),
        tuple(map(bool, shape_signs)),
    )


def _positions(found: NDArray[np.generic], count: int, ndim: int) -> Vertices:
    if not count:
        return np.zeros((0, ndim))
    if found.shape != (count, ndim) or found.dtype != np.float64 or not np.isfinite(found).all():
        raise DamagedBlock("no positions")
    return found.astype(np.float64)
