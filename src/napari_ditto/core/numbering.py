"""Which labels a plane shows, and where: without sorting its pixels where ids are small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

Labels = NDArray[np.integer]

MOST_COUNTED = 1 << 20
"""Ids below this are counted in a table; others are sorted."""


def numbered(labels: Labels) -> tuple[list[int], NDArray[np.int32]]:
    """Return the labels of a plane but 0, rising, and the plane with their numbers from 1."""
    highest = int(labels.max(initial=0))
    if highest < MOST_COUNTED:
        shown = np.bincount(labels.ravel(), minlength=1) > 0
        shown[0] = False
        numbers = np.where(shown, np.cumsum(shown), 0).astype(np.int32)
        return np.flatnonzero(shown).tolist(), numbers[labels]
    ids = np.unique(labels)
    ids = ids[ids != 0]
    dense = np.where(labels, np.searchsorted(ids, labels) + 1, 0)
    return ids.tolist(), dense.astype(np.int32)


def label_areas(labels: Labels) -> dict[int, int]:
    """Return the pixels of each label of a plane but 0, by rising label."""
    if int(labels.max(initial=0)) < MOST_COUNTED:
        counts = np.bincount(labels.ravel(), minlength=1)
        ids = np.flatnonzero(counts)
        counts = counts[ids]
    else:
        ids, counts = np.unique(labels, return_counts=True)
    areas = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    areas.pop(0, None)
    return areas


def boxes(labels: Labels) -> Iterator[tuple[int, Box]]:
    """Yield each label and its bounding box, by rising label; their size may be any."""
    ids, dense = numbered(labels)
    yield from zip(ids, dense_boxes(dense), strict=True)


def dense_boxes(dense: NDArray[np.int32]) -> list[Box]:
    """Return the bounding boxes of labels 1 to n, all of which are there."""
    from scipy.ndimage import find_objects

    return [Box(y.start, x.start, y.stop, x.stop) for y, x in find_objects(dense)]


def only(labels: Labels, wanted: Sequence[int]) -> Labels:
    """Return a plane with some of its labels, 0 in place of the others; itself if that is all."""
    ids, dense = numbered(labels)
    if set(ids) <= set(wanted):
        return labels
    kept = np.concatenate([[False], np.isin(ids, wanted)])
    return np.where(kept[dense], labels, labels.dtype.type(0))
