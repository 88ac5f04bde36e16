"""The objects of a label image one by one, read by their boxes and never all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import Mask
from napari_ditto.data.exporting.label_image import BLOCK, Index, LabelImage
from napari_ditto.errors import LabelsError

TOGETHER = 1 << 24
"""Most pixels that are read at once for objects that lie together."""

LARGEST = 1 << 28
"""Most pixels in the box of one object."""


@dataclass(frozen=True, eq=False)
class PlaneObject:
    """One object in one plane.

    Attributes
    ----------
    label : int
        Its id.
    index : tuple of (str, int)
        The plane.
    box : Box
        Round its pixels.
    mask : ndarray of bool, shape ``box.shape``
        Its pixels.
    """

    label: int
    index: Index
    box: Box
    mask: Mask

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class Boxes:
    """Which objects a plane has, in the order of their ids.

    Attributes
    ----------
    labels : ndarray of int, shape (n,)
        Their ids.
    ends : ndarray of int, shape (n, 4)
        ``y0, x0, y1, x1`` of each.
    """

    labels: NDArray[np.integer]
    ends: NDArray[np.int64]


def find_boxes(labels: LabelImage, index: Index) -> Boxes:
    """Return the boxes of all objects of a plane, read block by block."""
    found = [
        (ids, ends + np.array([box.y0, box.x0, box.y0, box.x0]))
        for box in labels.blocks
        for ids, ends in [_boxes(labels.read(index, box))]
        if len(ids)
    ]
    if not found:
        return Boxes(np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    ids, ends = (np.concatenate(part) for part in zip(*found, strict=True))
    return Boxes(*_united(ids, ends))


def objects(labels: LabelImage, index: Index, boxes: Boxes) -> Iterator[PlaneObject]:
    """Yield the objects of a plane; those that lie together are read together.

    Raises
    ------
    LabelsError
        If one is too large to be held in memory.
    """
    groups = defaultdict(list)
    for number, (y0, x0, _, _) in enumerate(boxes.ends.tolist()):
        groups[y0 // BLOCK, x0 // BLOCK].append(number)
    for group in groups.values():
        yield from _read_group(labels, index, boxes, group)


def _read_group(
    labels: LabelImage, index: Index, boxes: Boxes, group: list[int]
) -> Iterator[PlaneObject]:
    ends = boxes.ends[group]
    around = Box(*ends[:, :2].min(axis=0).tolist(), *ends[:, 2:].max(axis=0).tolist())
    block = labels.read(index, around) if around.area <= TOGETHER else None
    for number in group:
        label, box = int(boxes.labels[number]), Box(*boxes.ends[number].tolist())
        if block is None:
            mask = _read_mask(labels, index, box, label)
        else:
            mask = block[box.shift(-around.y0, -around.x0).slices] == label
        yield PlaneObject(label, index, box, mask)


def _read_mask(labels: LabelImage, index: Index, box: Box, label: int) -> Mask:
    if box.area > LARGEST:
        raise LabelsError(
            f"object {label} spreads over {box.height} x {box.width} pixels, too many for outlines",
            where=labels.name,
            todo="Write OME-Zarr or TIFF, or delete the object",
        )
    mask = np.empty(box.shape, dtype=bool)
    rows = max(1, TOGETHER // max(1, box.width))
    for y in range(box.y0, box.y1, rows):
        part = Box(y, box.x0, min(y + rows, box.y1), box.x1)
        mask[part.y0 - box.y0 : part.y1 - box.y0] = labels.read(index, part) == label
    return mask


def _boxes(block: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Return ids and boxes of a block, by the runs of its rows: there are far fewer than pixels."""
    width = block.shape[1]
    changes = np.ones(block.shape, dtype=bool)
    np.not_equal(block[:, 1:], block[:, :-1], out=changes[:, 1:])
    begins = np.flatnonzero(changes)
    ids = block.ravel()[begins]
    stops = np.append(begins[1:], block.size)
    begins, stops, ids = begins[ids != 0], stops[ids != 0], ids[ids != 0]
    rows, x0 = np.divmod(begins, width)
    return _united(ids, np.stack([rows, x0, rows + 1, stops - rows * width], axis=1))


def _united(
    ids: NDArray[np.integer], ends: NDArray[np.int64]
) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Return each id once, with the box round all of its boxes."""
    if not len(ids):
        return ids, ends
    order = np.argsort(ids, kind="stable")
    ids, ends = ids[order], ends[order]
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    low = np.minimum.reduceat(ends[:, :2], first)
    high = np.maximum.reduceat(ends[:, 2:], first)
    return ids[first], np.concatenate([low, high], axis=1)
