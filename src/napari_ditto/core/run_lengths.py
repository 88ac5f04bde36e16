"""Run-length encoding of masks as COCO has it: down the columns, in a text of 48 signs.

The encoding is that of https://github.com/cocodataset/cocoapi (common/maskApi.c): counts of zeros
and ones in turn, from the third but one on as differences to the one before the last, in groups of
five bits, least first, with a sixth for "more follows", plus 48.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import Mask

LONGEST = 13
"""Groups of five bits that a number of 64 bits takes."""


def counts_of(mask: Mask, box: Box, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the lengths of the runs of an object in a plane, zeros first.

    Parameters
    ----------
    mask : ndarray of bool, shape ``box.shape``
        The object.
    box : Box
        Where it lies; inside the plane.
    shape : (int, int)
        Height and width of the plane.
    """
    height, width = shape
    columns = np.zeros((box.width, box.height + 2), dtype=np.int8)
    columns[:, 1:-1] = mask.T
    steps = np.diff(columns, axis=1)
    x, y = np.nonzero(steps > 0)
    begins = (box.x0 + x) * height + box.y0 + y
    x, y = np.nonzero(steps < 0)
    ends = (box.x0 + x) * height + box.y0 + y
    if not len(ends):
        return np.array([height * width], dtype=np.int64)
    # A run that goes on at the top of the next column is one run.
    joined = begins[1:] == ends[:-1]
    begins = begins[np.append(True, ~joined)]
    ends = ends[np.append(~joined, True)]
    turns = np.stack([begins, ends], axis=1).ravel()
    counts = np.diff(turns, prepend=0, append=height * width).astype(np.int64)
    return counts if counts[-1] else counts[:-1]


def encode(counts: NDArray[np.int64]) -> str:
    """Return the text of some counts."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    groups = np.empty((len(values), LONGEST), dtype=np.int64)
    more = np.ones((len(values), LONGEST), dtype=bool)
    for n in range(LONGEST):
        groups[:, n] = values & 31
        values = values >> 5
        sign = (groups[:, n] & 16) != 0
        more[:, n] = np.where(sign, values != -1, values != 0)
    kept = np.ones_like(more)
    kept[:, 1:] = np.logical_and.accumulate(more[:, :-1], axis=1)
    signs = (groups | (more << 5)) + 48
    return signs[kept].astype(np.uint8).tobytes().decode("ascii")


def decode(text: str) -> NDArray[np.int64]:
    """Return the counts of a text; raises ValueError if it is none."""
    signs = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if signs.size and not (signs.min() >= 0 and signs.max() < 64):
        raise ValueError("this is no run-length encoding")
    values, value, shift = [], 0, 0
    for sign in signs.tolist():
        value |= (sign & 31) << shift
        shift += 5
        if shift > 5 * LONGEST:
            raise ValueError("a run is too long")
        if not sign & 32:
            values.append(value - (1 << shift) if sign & 16 else value)
            value, shift = 0, 0
    if shift:
        raise ValueError("the run-length encoding is cut off")
    for n in range(3, len(values)):
        values[n] += values[n - 2]
    return np.array(values, dtype=np.int64)


def mask_of(counts: NDArray[np.int64], shape: tuple[int, int]) -> tuple[Box, Mask]:
    """Return the box round an object and the object in it.

    Raises
    ------
    ValueError
        If the counts are not those of a plane of this shape.
    """
    height, width = shape
    if (counts < 0).any() or int(counts.sum(dtype=object)) != height * width:
        raise ValueError(f"the runs do not fill {height} x {width} pixels")
    turns = np.cumsum(counts)
    ends = turns[1::2]
    begins = turns[0::2][: len(ends)]
    begins, ends = begins[begins < ends], ends[begins < ends]
    if not len(begins):
        return Box(0, 0, 0, 0), np.zeros((0, 0), dtype=bool)
    return _drawn(begins, ends, height)


def _drawn(begins: NDArray[np.int64], ends: NDArray[np.int64], height: int) -> tuple[Box, Mask]:
    first, last = begins // height, (ends - 1) // height
    x0, x1 = int(first.min()), int(last.max()) + 1
    flat = np.zeros((x1 - x0) * height + 1, dtype=np.int8)
    np.add.at(flat, begins - x0 * height, 1)
    np.add.at(flat, ends - x0 * height, -1)
    mask = np.cumsum(flat[:-1], dtype=np.int8).view(np.bool_).reshape(x1 - x0, height).T
    rows = np.flatnonzero(mask.any(axis=1))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    return Box(y0, x0, y1, x1), mask[y0:y1].copy()
