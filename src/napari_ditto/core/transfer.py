"""Labels carried to a neighbouring plane by looking alike.

Every pixel of the new plane looks for patches like its own among those near the same place in the
plane before, and takes over their labels by vote: the more alike and the nearer, the more a vote
counts. This is non-local means (Buades et al. 2005) of labels instead of grey values, as in
patch-based label fusion (Coupé et al. 2011). It knows nothing of any model, and nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

Floats = NDArray[np.float32]
Labels = NDArray[np.integer]

REACH = 6
"""How far a pixel looks around, pixels."""

NEAR = 3.6
"""Standard deviation of the vote's weight over the distance, pixels."""

PATCH = 3
"""Half side of a patch."""

SHARPNESS = 5.0
"""A patch whose distance is twice the least counts ``exp(-SHARPNESS)``."""

NOISE = 2e-4
"""Squared distance of patches that show the same, by noise alone."""

BLUR = 2.0
"""Beside its pixels a patch compares the image blurred by this."""

STRIP_BYTES = 64 << 20
"""Memory for the weights of all offsets, of some rows at a time."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """Where labels of the plane before are in the new one.

    Attributes
    ----------
    chances : mapping of int to (Box, ndarray of float32)
        For each label the votes for it in [0, 1], in its own box; 0 outside.
    misfit : ndarray of float32, shape (h, w)
        Squared distance to the most similar patch.
    """

    chances: Mapping[int, tuple[Box, Floats]]
    misfit: Floats

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

    Parameters
    ----------
    before, now : ndarray of float32, shape (h, w, c)
        The same window of two planes, values in [0, 1]; motion between them is at most `REACH`.
    labels : ndarray of int, shape (h, w)
        Of `before`; 0 is background.
    """
    found = {
        label: box.grow(REACH).intersect(Box.of_shape(labels.shape)) for label, box in boxes(labels)
    }
    chances = {label: (box, np.zeros(box.shape, np.float32)) for label, box in found.items()}
    misfit = np.empty(labels.shape, np.float32)
    offsets = list(_offsets())
    pair = list(zip(features(before), features(now), strict=True))
    wide = np.pad(labels, REACH)
    for rows in _strips(labels.shape, len(offsets)):
        weights, misfit[rows] = _weights(pair, rows, offsets)
        for label, (box, chance) in chances.items():
            low, high = max(box.y0, rows.start), min(box.y1, rows.stop)
            for weight, (dy, dx) in zip(weights, offsets, strict=True):
                if low < high:
                    mine = weight[low - rows.start : high - rows.start, box.x0 : box.x1]
                    y, x = REACH + dy, REACH + dx
                    said = wide[y + low : y + high, x + box.x0 : x + box.x1] == label
                    chance[low - box.y0 : high - box.y0] += mine * said
    return Transfer(chances, misfit)


def boxes(labels: Labels) -> Iterator[tuple[int, Box]]:
    """Yield each label and its bounding box, by rising label; their size may be any."""
    from scipy.ndimage import find_objects

    ids, dense = np.unique(labels, return_inverse=True)
    start = 1 if ids[0] == 0 else 0
    for label, found in zip(
        ids[start:], find_objects(dense.reshape(labels.shape) + 1 - start), strict=True
    ):
        rows, columns = found
        yield int(label), Box(rows.start, columns.start, rows.stop, columns.stop)


def features(image: Floats) -> list[Floats]:
    """Return the maps that patches are compared by, each (h, w); grey images have two."""
    from scipy.ndimage import gaussian_filter

    grey = bool((image[..., 1:] == image[..., :1]).all())
    channels = [image[..., k] for k in range(1 if grey else image.shape[2])]
    scale = np.float32(1 / np.sqrt(len(channels)))
    return [scale * m for c in channels for m in (c, gaussian_filter(c, BLUR))]


def _weights(
    pair: Sequence[tuple[Floats, Floats]], rows: slice, offsets: Sequence[tuple[int, int]]
) -> tuple[Floats, Floats]:
    """Return the normalised weight of every offset in some rows, and the least distance."""
    from scipy.ndimage import uniform_filter

    height = pair[0][1].shape[0]
    top, bottom = max(0, rows.start - PATCH), min(height, rows.stop + PATCH)
    inner = slice(rows.start - top, rows.stop - top)
    targets = [now[top:bottom] for _, now in pair]
    sources = [np.pad(old, REACH, mode="edge") for old, _ in pair]
    width = targets[0].shape[1]
    distance = np.empty((len(offsets), rows.stop - rows.start, width), np.float32)
    for k, (dy, dx) in enumerate(offsets):
        y, x = REACH + dy + top, REACH + dx
        moved = (s[y : y + bottom - top, x : x + width] for s in sources)
        squares = sum(((t - m) ** 2 for t, m in zip(targets, moved, strict=True)), np.float32(0))
        distance[k] = uniform_filter(squares, 2 * PATCH + 1)[inner]
    least = distance.min(axis=0)
    distance -= least
    distance *= -SHARPNESS / (least + NOISE)
    distance -= np.array([(dy * dy + dx * dx) / (2 * NEAR**2) for dy, dx in offsets])[:, None, None]
    weights = np.exp(distance, out=distance)
    weights /= weights.sum(axis=0)
    return weights, least


def _offsets() -> Iterator[tuple[int, int]]:
    steps = range(-REACH, REACH + 1)
    yield from ((dy, dx) for dy in steps for dx in steps if dy * dy + dx * dx <= REACH**2 + 1)


def _strips(shape: tuple[int, ...], offsets: int) -> Iterator[slice]:
    rows = max(1, STRIP_BYTES // (4 * offsets * max(1, shape[1])))
    yield from (slice(y, min(y + rows, shape[0])) for y in range(0, shape[0], rows))
