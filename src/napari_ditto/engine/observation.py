"""What linking knows of label frames: a table of objects, and who lies on whom.

Each frame is read once, beside the few before it; no pixels are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.progress import Progress
from napari_ditto.errors import LabelsError

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Frame = NDArray[np.integer]

LARGEST_ID = int(np.iinfo(np.uint32).max)
FEWEST = 3
"""Objects of which a common motion is believed."""


@dataclass(frozen=True, eq=False)
class FrameObjects:
    """The objects of one frame, in the order of their centres, so that ids play no part.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Their labels.
    centers : ndarray of float64, shape (n, d)
        Mean position in pixels.
    areas : ndarray of float64, shape (n,)
        Number of pixels.
    at_border : ndarray of bool, shape (n,)
        Whether they touch the border of the frame.
    """

    ids: Indices
    centers: Floats
    areas: Floats
    at_border: NDArray[np.bool_]

    def rows(self, labels: NDArray[np.integer]) -> Indices:
        """Return the row of each label; all must be objects of the frame."""
        order = np.argsort(self.ids)
        return order[np.searchsorted(self.ids, labels, sorter=order)]


@dataclass(frozen=True, eq=False)
class Shared:
    """Pixels that objects of two frames have in common once the common motion is taken off.

    Attributes
    ----------
    before, after : ndarray of int64, shape (n,)
        Rows in the two frames.
    pixels : ndarray of float64, shape (n,)
        How many.
    drift : ndarray of float64, shape (d,)
        The common motion in pixels, 0 where none is seen.
    """

    before: Indices
    after: Indices
    pixels: Floats
    drift: Floats


def measure(labels: Frame) -> FrameObjects:
    """Return the objects of a label frame of any number of axes.

    Raises
    ------
    LabelsError
        If the labels are no ids, or negative, or above 4,294,967,295.
    """
    if labels.dtype.kind not in "iu":
        raise LabelsError(f"labels of type {labels.dtype} have no ids", todo="Convert to integers")
    found = np.flatnonzero(labels)
    ids, row, counts = np.unique(labels.ravel()[found], return_inverse=True, return_counts=True)
    if ids.size and not 0 < int(ids[0]) <= int(ids[-1]) <= LARGEST_ID:
        raise LabelsError(f"ids from {ids[0]} to {ids[-1]}; they must be 1 to {LARGEST_ID}")
    at = np.unravel_index(found, labels.shape)
    edge = np.zeros(found.size, dtype=bool)
    for position, size in zip(at, labels.shape, strict=True):
        # A single slice is no border: everything would touch it.
        edge |= ((position == 0) | (position == size - 1)) & (size > 1)
    centers = np.stack([np.bincount(row, p, ids.size) for p in at], -1) / counts[:, None]
    border = np.bincount(row, edge, ids.size) > 0
    order = np.lexsort((counts, *centers.T[::-1]))
    return FrameObjects(
        ids[order].astype(np.int64), centers[order], counts[order].astype(float), border[order]
    )


def shared(before: Frame, after: Frame, a: FrameObjects, b: FrameObjects) -> Shared:
    """Return who lies on whom in two frames, moved by their common motion if that fits better."""
    still = _meet(before, after, a, b, np.zeros(before.ndim))
    drift = _common_motion(a, b)
    if not np.rint(drift).any():
        return still
    moved = _meet(before, after, a, b, drift)
    return moved if moved.pixels.sum() > still.pixels.sum() else still


def observe_steps(
    frames: Sequence[Frame], lags: int = 1
) -> Generator[Progress, None, tuple[list[FrameObjects], list[list[Shared]]]]:
    """Return the objects of each frame, and what it shares with those 1 to `lags` before it."""
    tables: list[FrameObjects] = []
    meetings: list[list[Shared]] = []
    recent: deque[Frame] = deque(maxlen=lags)
    for number in range(len(frames)):
        yield Progress("read", number, len(frames), f"frame {number + 1} of {len(frames)}")
        frame = np.asarray(frames[number])
        tables.append(measure(frame))
        meetings.append(
            [
                shared(old, frame, tables[-2 - lag], tables[-1])
                for lag, old in enumerate(reversed(recent))
            ]
        )
        recent.append(frame)
    return tables, meetings


def _common_motion(a: FrameObjects, b: FrameObjects) -> Floats:
    """Return the median motion between nearest neighbours that choose one another."""
    from scipy.spatial import cKDTree

    none = np.zeros(a.centers.shape[1])
    if min(len(a.ids), len(b.ids)) < FEWEST:
        return none
    there = np.asarray(cKDTree(b.centers).query(a.centers)[1])
    back = np.asarray(cKDTree(a.centers).query(b.centers)[1])
    mutual = np.flatnonzero(back[there] == np.arange(len(there)))
    if mutual.size < FEWEST:
        return none
    motion: Floats = np.median(b.centers[there[mutual]] - a.centers[mutual], axis=0)
    return motion


def _meet(before: Frame, after: Frame, a: FrameObjects, b: FrameObjects, drift: Floats) -> Shared:
    here, there = _windows(before.shape, np.rint(drift).astype(int))
    old, new = before[here], after[there]
    both = (old != 0) & (new != 0)
    pairs = a.rows(old[both]) * max(1, len(b.ids)) + b.rows(new[both])
    met, pixels = np.unique(pairs, return_counts=True)
    i, j = np.divmod(met, max(1, len(b.ids)))
    return Shared(i, j, pixels.astype(float), drift)


def _windows(
    shape: tuple[int, ...], shift: NDArray[np.int_]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return what of two frames lies on one another when the first is moved by `shift`."""
    sizes = list(zip(shape, shift.tolist(), strict=True))
    here = tuple(slice(max(0, -s), max(0, min(n, n - s))) for n, s in sizes)
    there = tuple(slice(max(0, s), max(0, min(n, n + s))) for n, s in sizes)
    return here, there
