"""Labels carried to a neighbouring plane by looking alike.

Every pixel of the new plane looks for patches like its own among those near the same place in the
plane before, and takes over their labels by vote: the more alike and the nearer, the more a vote
counts. This is non-local means (Buades et al. 2005) of labels instead of grey values, as in
patch-based label fusion (Coupé et al. 2011). It knows nothing of any model, and nothing is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.numbering import dense_boxes, numbered
from napari_ditto.core.sliding import sliding_sum, window_sums

Floats = NDArray[np.float32]
Labels = NDArray[np.integer]
Places = NDArray[np.intp]

REACH = 6
"""How far a pixel looks around, pixels."""

NEAR = 3.6
"""Standard deviation of the vote's weight over the distance, pixels."""

PATCH = 3
"""Half side of a patch."""

SIDE = 2 * PATCH + 1

SHARPNESS = 5.0
"""A patch whose distance is twice the least counts ``exp(-SHARPNESS)``."""

NOISE = 2e-4
"""Squared distance of patches that show the same, by noise alone."""

BLUR = 2.0
"""Beside its pixels a patch compares the image blurred by this."""

BLOCK = 96
"""Side of the squares that are worked on at once, so that a row of offsets fits into a cache."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """Where labels of the plane before are in the new one.

    Attributes
    ----------
    chances : mapping of int to (Box, ndarray of float32)
        For each label the votes for it in [0, 1], in its own box; 0 outside.
    """

    chances: Mapping[int, tuple[Box, Floats]]

    def paint(self, shape: tuple[int, int]) -> NDArray[np.int64]:
        """Return the likeliest label of each pixel, 0 where no label is the likeliest."""
        most = np.ones(shape, np.float32)
        for box, chance in self.chances.values():
            most[box.slices] -= chance
        labels = np.zeros(shape, np.int64)
        for label, (box, chance) in sorted(self.chances.items()):
            better = chance > most[box.slices]
            most[box.slices][better] = chance[better]
            labels[box.slices][better] = label
        return labels


def transfer_labels(before: Floats, labels: Labels, now: Floats) -> Transfer:
    """Return the votes for every label.

    Where all pixels within reach have one label, that is the answer, whatever they look like; so
    patches are compared round the borders of labels only.

    Parameters
    ----------
    before, now : ndarray of float32, shape (h, w, c)
        The same window of two planes, values in [0, 1]; motion between them is at most `REACH`.
    labels : ndarray of int, shape (h, w)
        Of `before`; 0 is background.
    """
    ids, dense = numbered(labels)
    wide = np.pad(dense, REACH)
    unsure = _unsure(wide)
    plane, chances = Box.of_shape(labels.shape), {}
    for number, box in enumerate(dense_boxes(dense), 1):
        around = box.grow(REACH).intersect(plane)
        sure = (dense[around.slices] == number) & ~unsure[around.slices]
        chances[ids[number - 1]] = around, sure.astype(np.float32)
    patches = _Patches(before, now)
    for block in _blocks(unsure):
        rows, columns = np.nonzero(unsure[block.slices])
        weights = patches.weights(block, rows, columns)
        rows, columns = rows + block.y0, columns + block.x0
        said = wide.ravel()[_neighbours(rows, columns, wide.shape[1])]
        for number in np.flatnonzero(np.bincount(said.ravel())).tolist():
            if number:
                votes = np.einsum("on,on->n", weights, said == number)
                _add(*chances[ids[number - 1]], rows, columns, votes)
    return Transfer(chances)


def _unsure(wide: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return where several labels may be within reach, given the plane with a frame of it."""
    edges = np.zeros(wide.shape, np.uint8)
    edges[:-1] = wide[:-1] != wide[1:]
    edges[:, :-1] |= wide[:, :-1] != wide[:, 1:]
    side = 2 * REACH + 1  # its square fits into 8 bits
    return np.asarray(window_sums(edges[None], side)[0] > 0)


def _blocks(unsure: NDArray[np.bool_]) -> Iterator[Box]:
    """Yield what is unsure of each square."""
    for y, x in product(*(range(0, n, BLOCK) for n in unsure.shape)):
        part = unsure[y : y + BLOCK, x : x + BLOCK]
        if part.any():
            yield bounding_box(part).shift(y, x)


def _neighbours(rows: NDArray[np.intp], columns: NDArray[np.intp], width: int) -> Places:
    """Return the places of what is within reach in a padded plane, shape (offsets, n)."""
    steps = [dy * width + dx for dy, reach in ROWS for dx in range(-reach, reach + 1)]
    return np.asarray(np.array(steps)[:, None] + ((rows + REACH) * width + columns + REACH))


def _add(box: Box, chance: Floats, rows: Places, columns: Places, votes: Floats) -> None:
    """Add votes to a label's chances; outside of its box there are none."""
    rows, columns = rows - box.y0, columns - box.x0
    inside = (rows >= 0) & (rows < box.height) & (columns >= 0) & (columns < box.width)
    chance[rows[inside], columns[inside]] += votes[inside]


def features(image: Floats) -> list[Floats]:
    """Return the maps that patches are compared by, each (h, w); grey images have two."""
    from scipy.ndimage import gaussian_filter

    grey = bool((image[..., 1:] == image[..., :1]).all())
    channels = [image[..., k] for k in range(1 if grey else image.shape[2])]
    scale = np.float32(1 / np.sqrt(len(channels)))
    return [scale * m for c in channels for m in (c, gaussian_filter(c, BLUR))]


class _Patches:
    """Patches of two images, compared."""

    def __init__(self, before: Floats, now: Floats) -> None:
        self._targets = [np.pad(m, PATCH, mode="edge") for m in features(now)]
        self._sources = [np.pad(m, PATCH + REACH, mode="edge") for m in features(before)]

    def weights(self, block: Box, rows: Places, columns: Places) -> Floats:
        """Return the weights of all offsets at places of a block, (offsets, n), of sum 1."""
        width = block.width + 2 * (PATCH + REACH)
        places = rows * width + columns
        distance = np.empty((len(AWAY), len(places)), np.float32)
        done = 0
        for squares in self._squares(block, width):
            sums = sliding_sum(sliding_sum(squares, SIDE), SIDE, width)
            sums.take(places, 1, out=distance[done : done + len(sums)])
            done += len(sums)
        distance *= np.float32(1 / SIDE**2)
        least = distance.min(axis=0)
        distance -= least
        distance *= -SHARPNESS / (least + np.float32(NOISE))
        distance -= AWAY[:, None]
        weights = np.exp(distance, out=distance)
        weights /= weights.sum(axis=0)
        return weights

    def _squares(self, block: Box, width: int) -> Iterator[Floats]:
        """Yield the squared differences of pixels for each row of offsets, (offsets, pixels).

        The pixels of a block and `PATCH` round it, in rows of `width`, so that each offset is a
        shift of the flat images.
        """
        height = block.height + 2 * PATCH
        targets = [_flat(m, block, (height, block.width + 2 * PATCH), width) for m in self._targets]
        tall = height + 2 * REACH + 1
        sources = [_flat(m, block, (tall - 1, width), width, tall) for m in self._sources]
        for dy, reach in ROWS:
            start = (REACH + dy) * width + REACH - reach
            shape, strides = (2 * reach + 1, height * width), (4, 4)
            total: Floats | None = None
            for target, source in zip(targets, sources, strict=True):
                difference = target - as_strided(source[start:], shape, strides, writeable=False)
                difference *= difference
                total = difference if total is None else np.add(total, difference, out=total)
            if total is not None:
                yield total


def _flat(image: Floats, block: Box, shape: tuple[int, int], width: int, height: int = 0) -> Floats:
    """Return a part of an image from a block's corner on, in so many rows of `width`, 0 beyond."""
    found = np.zeros((height or shape[0], width), np.float32)
    rows, columns = shape
    found[:rows, :columns] = image[block.y0 : block.y0 + rows, block.x0 : block.x0 + columns]
    return found.ravel()


def _rows() -> Iterator[tuple[int, int]]:
    """Yield the rows within reach, and how far each of them goes."""
    for dy in range(-REACH, REACH + 1):
        yield dy, math.isqrt(REACH**2 + 1 - dy * dy)


ROWS = tuple(_rows())
AWAY = np.array(
    [(dy * dy + dx * dx) / (2 * NEAR**2) for dy, reach in ROWS for dx in range(-reach, reach + 1)],
    np.float32,
)
"""What each offset costs for being far off."""
