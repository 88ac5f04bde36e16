"""Masks that lie in boxes: place, compare, select, resample.

A mask is a pair of a :class:`~napari_ditto.core.geometry.Box` and a bool array of that shape, so
that the cost of everything here goes with the object, never with the plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

Mask = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels that touch by a corner are connected, as growth over a tile's corner needs."""


@dataclass(frozen=True, eq=False)
class PlacedMask:
    """One object's mask and how much the model believes in it.

    Attributes
    ----------
    box : Box
        Where the mask lies.
    mask : ndarray of bool, shape ``box.shape``
        True on the object.
    score : float
        Estimated IoU in [0, 1].
    """

    box: Box
    mask: Mask
    score: float = 1.0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def cropped(self) -> PlacedMask:
        """Return the same object in its bounding box."""
        inner = bounding_box(self.mask)
        box = inner.shift(self.box.y0, self.box.x0)
        return PlacedMask(box, self.mask[inner.slices], self.score)

    def in_box(self, box: Box) -> Mask:
        """Return the part that lies in a box, shape ``box.shape``."""
        return place(self.mask, self.box, box)


def bounding_box(mask: Mask) -> Box:
    """Return the smallest box around the True pixels, empty if there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return Box(0, 0, 0, 0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return Box(top, int(columns[0]), bottom, int(columns[-1]) + 1)


def place(values: NDArray[Scalar], box: Box, target: Box) -> NDArray[Scalar]:
    """Return what `values` (lying in `box`) shows of `target`; zero where it says nothing."""
    if box == target:
        return values
    out = np.zeros(target.shape, dtype=values.dtype)
    common = box.intersect(target)
    if not common.is_empty:
        inside = common.shift(-box.y0, -box.x0)
        out[common.shift(-target.y0, -target.x0).slices] = values[inside.slices]
    return out


def intersection(a: PlacedMask, b: PlacedMask) -> int:
    """Return the number of pixels that two masks share."""
    common = a.box.intersect(b.box)
    if common.is_empty:
        return 0
    in_a = a.mask[common.shift(-a.box.y0, -a.box.x0).slices]
    in_b = b.mask[common.shift(-b.box.y0, -b.box.x0).slices]
    return int(np.count_nonzero(in_a & in_b))


def iou(a: PlacedMask, b: PlacedMask) -> float:
    """Return intersection over union; 0 for two empty masks."""
    shared = intersection(a, b)
    return shared / max(1, a.area + b.area - shared)


def containment(a: PlacedMask, b: PlacedMask) -> float:
    """Return intersection over the smaller area (IoMin): 1 where one lies in the other."""
    return intersection(a, b) / max(1, min(a.area, b.area))


def expected_iou(chance: NDArray[np.float32], mask: Mask) -> float:
    """Return the IoU that a mask has on average if each pixel is on the object by its chance."""
    inside = float(chance[mask].sum())
    return inside / max(1e-6, float(mask.sum()) + float(chance.sum()) - inside)


def suppress(
    masks: Sequence[PlacedMask], max_iou: float = 0.5, max_containment: float = 0.8
) -> list[int]:
    """Return the indices of the masks to keep, best score first (non-maximum suppression).

    Boxes are compared first, masks only where boxes meet.

    Parameters
    ----------
    masks : sequence of PlacedMask
        Candidates; an empty one is never kept.
    max_iou, max_containment : float
        A candidate that shares more with a better one is the same object, or a part of it, or
        a group around it.
    """
    boxes = np.array([(m.box.y0, m.box.x0, m.box.y1, m.box.x1) for m in masks], dtype=np.int64)
    boxes = boxes.reshape(-1, 4)
    areas = [m.area for m in masks]
    kept: list[int] = []
    for i in np.argsort([-m.score for m in masks], kind="stable").tolist():
        rivals = (kept[k] for k in _meeting(boxes[i], boxes[kept]))
        if areas[i] and not any(
            _same(masks[i], masks[j], areas[i], areas[j], max_iou, max_containment) for j in rivals
        ):
            kept.append(i)
    return kept


def components(mask: Mask) -> tuple[NDArray[np.integer], int]:
    """Return the 8-connected components, numbered from 1, and how many there are."""
    from scipy.ndimage import label

    numbered, count = label(mask, structure=EIGHT)
    return numbered, int(count)


def components_meeting(mask: Mask, marker: Mask) -> Mask:
    """Return those components of `mask` that share a pixel with `marker`."""
    numbered, count = components(mask)
    wanted = np.zeros(count + 1, dtype=bool)
    wanted[numbered[marker & mask]] = True
    wanted[0] = False
    found: Mask = wanted[numbered]
    return found


def drop_denied(mask: Mask, negatives: NDArray[np.intp], positives: NDArray[np.intp]) -> Mask:
    """Return the mask without the components that hold a negative pixel and no positive one.

    Where no positive pixel lies on the mask (a box was drawn, say), the largest component stays.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        A candidate.
    negatives, positives : ndarray of int, shape (n, 2)
        Pixels (row, column); those outside the mask say nothing.
    """
    denied = _pick(mask, negatives)
    if not denied.any():
        return mask
    numbered, count = components(mask)
    bad = np.zeros(count + 1, dtype=bool)
    bad[numbered[tuple(negatives[denied].T)]] = True
    granted = positives[_pick(mask, positives)]
    bad[numbered[tuple(granted.T)] if len(granted) else _largest(numbered)] = False
    bad[0] = False
    kept: Mask = mask & ~bad[numbered]
    return kept


def deepest_pixels(mask: Mask, count: int = 1) -> list[tuple[int, int]]:
    """Return pixels far inside a mask, the deepest first, at most `count`.

    After each pick everything within its distance to the border is taken as told, so the picks
    spread over a long object.
    """
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    picks: list[tuple[int, int]] = []
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    while len(picks) < count and depth.max(initial=0) > 0:
        y, x = (int(v) for v in np.unravel_index(int(depth.argmax()), depth.shape))
        picks.append((y, x))
        depth[(rows - y) ** 2 + (columns - x) ** 2 <= max(1.0, 2 * depth[y, x]) ** 2] = 0
    return picks


def upsample(
    logits: NDArray[np.float32], box: Box, factor: tuple[float, float], target: Box
) -> NDArray[np.float32]:
    """Return logits of a level resampled to level 0, bilinear, by the half-pixel rule.

    Pixel ``p`` of level 0 lies at ``(p + .5) / f - .5`` of the level, as in
    :class:`~napari_ditto.core.prompts.Frame`.

    Parameters
    ----------
    logits : ndarray of float32, shape ``box.shape``
        Values on the level; beyond their border the outermost ones go on.
    box : Box
        Where they lie, pixels of the level.
    factor : (float, float)
        Level-0 pixels per pixel of the level.
    target : Box
        The part of level 0 that is wanted.

    Returns
    -------
    ndarray of float32, shape ``target.shape``
    """
    y, fy = _sample_axis(target.y0, target.y1, factor[0], box.y0, box.height)
    x, fx = _sample_axis(target.x0, target.x1, factor[1], box.x0, box.width)
    below, right = np.minimum(y + 1, box.height - 1), np.minimum(x + 1, box.width - 1)
    rows = logits[y] * (1 - fy)[:, None] + logits[below] * fy[:, None]
    return (rows[:, x] * (1 - fx) + rows[:, right] * fx).astype(np.float32, copy=False)


def _sample_axis(
    start: int, stop: int, factor: float, origin: int, length: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the lower neighbour and the weight of the upper one for each level-0 pixel."""
    at = (np.arange(start, stop) + 0.5) / factor - 0.5 - origin
    at = np.clip(at, 0, length - 1)
    low = np.floor(at).astype(np.intp)
    return low, (at - low).astype(np.float32)


def _meeting(box: NDArray[np.int64], others: NDArray[np.int64]) -> list[int]:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return np.flatnonzero((low < high).all(axis=1)).tolist()


def _same(
    a: PlacedMask, b: PlacedMask, area_a: int, area_b: int, max_iou: float, max_containment: float
) -> bool:
    shared = intersection(a, b)
    smaller = min(area_a, area_b)
    return shared > max_iou * (area_a + area_b - shared) or shared > max_containment * smaller


def _largest(numbered: NDArray[np.integer]) -> int:
    return int(np.bincount(numbered.ravel())[1:].argmax()) + 1


def _pick(mask: Mask, pixels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return for each pixel whether it lies on the mask."""
    inside = ((pixels >= 0) & (pixels < mask.shape)).all(axis=1)
    found = np.zeros(len(pixels), dtype=bool)
    found[inside] = mask[tuple(pixels[inside].T)]
    return found
