"""Labels carried to a neighbouring plane by looking alike.

Every pixel of the new plane looks for patches like its own among those near the same place in the
plane before, and takes over their labels by vote: the more alike and the nearer, the more a vote
counts. This is non-local means (Buades et al. 2005) of labels instead of grey values, as in
patch-based label fusion (Coupé et al. 2011). It knows nothing of any model, and nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.numbering import dense_boxes, numbered
from napari_ditto.core.patches import REACH, Patches, around_each
from napari_ditto.core.sliding import window_sums

Floats = NDArray[np.float32]
Labels = NDArray[np.integer]
Places = NDArray[np.intp]

BLOCK = 96
"""Side of the squares that are worked on at once."""


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
    patches = Patches(before, now)
    for block in _blocks(unsure):
        rows, columns = np.nonzero(unsure[block.slices])
        weights = patches.weights(block, rows, columns)
        total = weights.sum(axis=0)
        near = wide[block.y0 : block.y1 + 2 * REACH, block.x0 : block.x1 + 2 * REACH]
        said = around_each(near, rows, columns)
        for number in np.flatnonzero(np.bincount(near.ravel())).tolist():
            if number:
                votes = np.einsum("on,on->n", weights, said == number) / total
                _add(*chances[ids[number - 1]], rows + block.y0, columns + block.x0, votes)
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


def _add(box: Box, chance: Floats, rows: Places, columns: Places, votes: Floats) -> None:
    """Add votes to a label's chances; outside of its box there are none."""
    rows, columns = rows - box.y0, columns - box.x0
    inside = (rows >= 0) & (rows < box.height) & (columns >= 0) & (columns < box.width)
    chance[rows[inside], columns[inside]] += votes[inside]
