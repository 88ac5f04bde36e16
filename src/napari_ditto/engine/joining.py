"""Objects found slice by slice, joined across slices into 3D objects.

Each object is joined to at most one in the next slice, so neighbours never merge; where it is
missing in one slice, the one behind it may go on with it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.engine.assignment import assign
from napari_ditto.engine.observation import Floats, FrameObjects, Indices, Shared, observe_steps

LEAST_OVERLAP = 0.35
"""Mean of IoU and containment. The last slices of a ball shrink fast, and IoU alone parts them."""


def join(
    slices: Sequence[NDArray[np.integer]], *, gap: int = 1, min_overlap: float = LEAST_OVERLAP
) -> NDArray[np.uint32]:
    """Return 3D labels made of the labels of single slices.

    Parameters
    ----------
    slices : sequence of ndarray of int, shape (height, width)
        Objects of each slice under any ids; 0 is background. A stack will do.
    gap : int
        In how many slices on end an object may be missing. These slices stay as they are.
    min_overlap : float
        Least mean of IoU and containment of two slices of one object, in [0, 1].

    Returns
    -------
    ndarray of uint32, shape (len(slices), height, width)
        Ids from 1, in the order in which the objects begin.

    Raises
    ------
    LabelsError
        If the slices are no labels.
    """
    return drain(join_steps(slices, gap=gap, min_overlap=min_overlap))


def join_steps(
    slices: Sequence[NDArray[np.integer]], *, gap: int = 1, min_overlap: float = LEAST_OVERLAP
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Return what :func:`join` returns, slice by slice."""
    tables, meetings = yield from observe_steps(slices, lags=gap + 1)
    ids = join_tables(tables, meetings, min_overlap)
    joined = np.zeros((len(slices), *(slices[0].shape if len(slices) else (0, 0))), np.uint32)
    for number, table in enumerate(tables):
        yield Progress("write", number, len(tables), f"slice {number + 1} of {len(tables)}")
        joined[number] = relabel(slices[number], table, ids[number])
    return joined


def relabel(
    labels: NDArray[np.integer], table: FrameObjects, ids: NDArray[np.integer]
) -> NDArray[np.uint32]:
    """Return the labels of a frame with new ids, one for each row of its table."""
    labels = np.asarray(labels)
    new = np.zeros(labels.shape, dtype=np.uint32)
    found = labels != 0
    new[found] = ids[table.rows(labels[found])]
    return new


def join_tables(
    tables: Sequence[FrameObjects], meetings: Sequence[Sequence[Shared]], least: float
) -> list[Indices]:
    """Return the new ids of each slice's objects: neighbouring slices first, then over gaps.

    Parameters
    ----------
    tables : sequence of FrameObjects
        The objects of each slice.
    meetings : sequence of sequence of Shared
        For each slice, what it shares with the one before, the one before that, ...
    least : float
        Least mean of IoU and containment.
    """
    first = np.cumsum([0, *(len(t.ids) for t in tables)])
    previous = np.full(int(first[-1]), -1, dtype=np.int64)
    ended = np.ones(int(first[-1]), dtype=bool)
    for lag in range(max((len(met) for met in meetings), default=0)):
        for number in range(lag + 1, len(tables)):
            met = meetings[number][lag]
            before, after = first[number - 1 - lag] + met.before, first[number] + met.after
            iou, overlap = _overlap(met, tables[number - 1 - lag], tables[number])
            free = np.flatnonzero(ended[before] & (previous[after] < 0) & (overlap >= least))
            pairs = before[free], after[free], 1 - overlap[free]
            chosen = free[assign(*pairs, 1.0, iou[free] > 0.5)]
            previous[after[chosen]], ended[before[chosen]] = before[chosen], False
    return np.split(_numbers(previous), first[1:-1])


def _overlap(met: Shared, before: FrameObjects, after: FrameObjects) -> tuple[Floats, Floats]:
    """Return the IoU of each pair, and its mean with their containment."""
    a, b = before.areas[met.before], after.areas[met.after]
    iou = met.pixels / (a + b - met.pixels)
    return iou, (iou + met.pixels / np.minimum(a, b)) / 2


def _numbers(previous: Indices) -> Indices:
    """Return a number from 1 for each chain, in the order in which chains begin."""
    begins = previous < 0
    numbers = np.where(begins, np.cumsum(begins), 0)
    for at in np.flatnonzero(~begins):
        numbers[at] = numbers[previous[at]]
    return numbers
