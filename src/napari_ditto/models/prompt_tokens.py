"""What a SAM-like decoder reads of a prompt set: a few points, at most one box, one mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.prompts import BoxPrompt, PromptSet, ScribblePrompt
from napari_ditto.errors import PromptError

# SAM was trained with up to about a dozen points; more of them only cost time.
POINTS_PER_SCRIBBLE = 8
# A mask becomes logits of +-6.9, the inverse sigmoid of .999, as in micro-sam.
_CERTAIN = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The prompts of one object in tile pixels, x before y as SAM wants them.

    Attributes
    ----------
    points : ndarray of float64, shape (k, 2)
        ``(x, y)``.
    labels : ndarray of int64, shape (k,)
        1 on the object, 0 off it.
    box : ndarray of float64, shape (4,), or None
        ``(x0, y0, x1, y1)``.
    mask : ndarray of bool, shape (h, w), or None
        Rough mask of the whole tile.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    box: NDArray[np.float64] | None = None
    mask: NDArray[np.bool_] | None = None

    @property
    def kind(self) -> tuple[int, bool, bool]:
        """Prompts of equal kind can be decoded in one batch."""
        return len(self.points), self.box is not None, self.mask is not None

    @property
    def is_ambiguous(self) -> bool:
        """Whether this is a single click, which may mean a part, an object or a group."""
        return self.kind == (1, False, False)


def tokenize(prompts: PromptSet, shape: tuple[int, int]) -> Tokens:
    """Return what the decoder reads of a prompt set in a tile of `shape`.

    Clicks and strokes outside the tile say nothing about it and are left out, a box is clipped.
    A mask alone gets a click at its innermost pixel, as SAM never saw a mask without points.

    Raises
    ------
    PromptError
        If a coordinate is not finite, or nothing lies in the tile.
    """
    rows, signs = [], []
    for positive in (True, False):
        inside = _inside(_positions(prompts, positive), shape)
        rows.append(inside)
        signs.append(np.full(len(inside), int(positive), dtype=np.int64))
    points, labels = np.concatenate(rows)[:, ::-1], np.concatenate(signs)
    box = _clip_box(prompts.box, shape) if prompts.box else None
    mask = prompts.mask.rasterize(shape) if prompts.mask else None
    tokens = Tokens(points, labels, box, mask if mask is not None and mask.any() else None)
    if tokens.kind == (0, False, True):
        return _with_innermost_point(tokens)
    if tokens.kind == (0, False, False):
        raise PromptError("no prompt lies in this tile", todo="Click on the image")
    return tokens


def _positions(prompts: PromptSet, positive: bool) -> NDArray[np.float64]:
    """Return clicks and a few samples of every stroke of one sign, ``(y, x)``, shape (n, 2)."""
    clicks = [(p.y, p.x) for p in prompts.points if p.positive == positive]
    strokes = [_samples(s) for s in prompts.scribbles if s.positive == positive]
    found = np.concatenate([np.array(clicks, dtype=np.float64).reshape(-1, 2), *strokes])
    if not np.isfinite(found).all():
        raise PromptError("a prompt has a coordinate that is not a number")
    return found


def _samples(stroke: ScribblePrompt) -> NDArray[np.float64]:
    if not np.isfinite(stroke.path).all():
        raise PromptError("a scribble has a coordinate that is not a number")
    dense = stroke.samples()
    count = min(len(dense), POINTS_PER_SCRIBBLE)
    chosen = np.linspace(0, len(dense) - 1, count).round().astype(np.intp)
    return np.take(dense, chosen, axis=0)


def _inside(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    size = np.array(shape)
    kept = points[((points >= -0.5) & (points <= size - 0.5)).all(axis=1)]
    return np.minimum(np.maximum(kept, 0.0), size - 1.0)


def _clip_box(box: BoxPrompt, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    corners = np.array([[box.x0, box.y0], [box.x1, box.y1]], dtype=np.float64)
    if not np.isfinite(corners).all():
        raise PromptError("a box has a coordinate that is not a number")
    clipped = np.clip(corners, -0.5, np.array(shape[::-1]) - 0.5)
    return clipped.ravel() if (clipped[1] > clipped[0]).all() else None


def _with_innermost_point(tokens: Tokens) -> Tokens:
    from scipy.ndimage import distance_transform_edt

    # The tile's border counts as outside, so that a cut object is not clicked at the cut.
    depth = distance_transform_edt(np.pad(tokens.mask, 1))[1:-1, 1:-1]  # type: ignore[arg-type]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return replace(tokens, points=np.array([[x, y]], dtype=np.float64), labels=np.array([1]))


def mask_logits(coverage: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return logits for the covered fraction of each cell, as SAM takes a mask (not 0 and 1)."""
    p = np.clip(coverage, 1 - _CERTAIN, _CERTAIN)
    logits: NDArray[np.floating] = np.log(p / (1 - p))
    return logits.astype(np.float32)


def batches(tokens: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    """Yield indices of prompts that can be decoded together, `size` at most.

    Only equal kinds are joined. The library can pad points (label -10), but then the padding
    takes part in the attention as a zero token and changes the masks of its neighbours.
    """
    kinds: dict[tuple[int, bool, bool], list[int]] = {}
    for index, one in enumerate(tokens):
        kinds.setdefault(one.kind, []).append(index)
    for members in kinds.values():
        yield from (members[i : i + size] for i in range(0, len(members), size))
