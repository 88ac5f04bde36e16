"""Prompts of one object as pixels of the tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, PromptSet
from napari_ditto.errors import PromptError

Pixels = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Seeds:
    """What a prompt set says, clipped to the tile.

    Attributes
    ----------
    positive, negative : ndarray of int, shape (n, 2)
        Rows and columns that are on and not on the object.
    box : Box or None
        Pixels inside the box prompt.
    mask : ndarray of bool, shape (h, w), or None
        Rough mask.
    shape : (int, int)
        Tile.
    """

    positive: Pixels
    negative: Pixels
    box: Box | None
    mask: NDArray[np.bool_] | None
    shape: tuple[int, int]

    @property
    def frame(self) -> Box | None:
        """The box, or the rough mask's box: where to look."""
        if self.box is not None or self.mask is None:
            return self.box
        rows, cols = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        return Box(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)


def read_seeds(prompts: PromptSet, shape: tuple[int, int]) -> Seeds:
    """Return the pixels of a prompt set in a tile of `shape`.

    Raises
    ------
    PromptError
        If nothing positive lies on the tile.
    """
    tile = Box.of_shape(shape)
    box = _whole(prompts.box).intersect(tile) if prompts.box else None
    mask = prompts.mask.rasterize(shape) if prompts.mask else None
    seeds = Seeds(
        _pixels(prompts, shape, positive=True),
        _pixels(prompts, shape, positive=False),
        None if box is None or box.is_empty else box,
        mask if mask is not None and mask.any() else None,
        shape,
    )
    if not len(seeds.positive) and seeds.frame is None:
        raise PromptError(
            "No positive prompt lies on this tile", todo="Click on the object or draw a box"
        )
    return seeds


def _pixels(prompts: PromptSet, shape: tuple[int, int], *, positive: bool) -> Pixels:
    clicks = np.array([(p.y, p.x) for p in prompts.points if p.positive == positive])
    strokes = [s.samples(0.5) for s in prompts.scribbles if s.positive == positive]
    spots = np.concatenate([clicks.reshape(-1, 2), *strokes])
    pixels = np.floor(spots[np.isfinite(spots).all(axis=1)] + 0.5).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < np.array(shape))).all(axis=1)
    # In the order given: the first click says most.
    kept = list(dict.fromkeys(map(tuple, pixels[inside].tolist())))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _whole(box: BoxPrompt) -> Box:
    """Return the pixels whose centre lies in the box; the nearest one if there is none."""
    (y0, y1), (x0, x1) = _span(box.y0, box.y1), _span(box.x0, box.x1)
    return Box(y0, x0, y1, x1)


def _span(low: float, high: float) -> tuple[int, int]:
    first, last = int(np.ceil(low)), int(np.floor(high))
    middle = int(np.floor((low + high + 1) / 2))
    return (first, last + 1) if first <= last else (middle, middle + 1)
