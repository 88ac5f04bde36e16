"""How objects look: histograms of their colours, to tell whether what was found is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.bounded import Bounded
from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.numbering import boxes
from napari_ditto.core.propagation import Seen
from napari_ditto.data.protocols import Source

BINS = 32

KEPT = 64
"""Planes of which it is kept how their objects look."""

Look = NDArray[np.float64]
Looks = Mapping[int, Look]


class Album:
    """How the objects of labelled planes look, each plane looked at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kept: Bounded[str, Looks] = Bounded(KEPT)

    def looks_of(self, planes: Sequence[Seen]) -> Looks:
        """Return how the objects of some planes look, averaged."""
        total: dict[int, list[Look]] = {}
        for seen in planes:
            key = seen.digest
            if key not in self._kept:
                self._kept[key] = self._looks(seen)
            for label, look in self._kept[key].items():
                total.setdefault(label, []).append(look)
        return {label: np.mean(found, axis=0) for label, found in total.items()}

    def _looks(self, seen: Seen) -> Looks:
        found = {}
        for label, box in boxes(seen.labels):
            placed = PlacedMask(Box.of_shape(box.shape), seen.labels[box.slices] == label)
            found[label] = look_of(self._source.read(seen.address, box), placed)
        return found


def look_of(pixels: NDArray[np.float32], placed: PlacedMask) -> Look:
    """Return histograms of an object's colours, shape (3, bins), each of sum 1.

    Parameters
    ----------
    pixels : ndarray of float32, shape (h, w, 3)
        Values in [0, 1].
    placed : PlacedMask
        The object, in pixels of them.
    """
    from scipy.ndimage import gaussian_filter1d

    inside = pixels[placed.box.slices][placed.mask]
    grey = (inside == inside[:, :1]).all()
    counts = [np.histogram(c, BINS, (0.0, 1.0))[0] for c in inside.T[: 1 if grey else None]]
    smooth = gaussian_filter1d(np.array(counts, np.float64), 1.5, axis=1)
    return np.broadcast_to(smooth / max(1, len(inside)), (inside.shape[1], BINS))


def likeness(first: Look | None, second: Look) -> float:
    """Return the overlap of two looks in [0, 1]; 1 where there is nothing to compare with."""
    return 1.0 if first is None else float(np.minimum(first, second).sum() / len(first))
