"""Tracks of objects through time, as napari's Tracks layer and the tracking formats want them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Lineage:
    """Tracks and who descends from whom.

    Attributes
    ----------
    points : ndarray of float64, shape (n, 2 + d)
        One row per object and frame, sorted by track and frame: track id, frame, and the centre
        ``(y, x)`` or ``(z, y, x)`` in pixels. What napari's Tracks layer takes.
    parents : mapping of int to tuple of int
        The mother of each daughter track. Tracks without a mother are absent.
    """

    points: NDArray[np.float64]
    parents: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def graph(self) -> dict[int, list[int]]:
        """The parents as napari's Tracks layer takes them: lists, no tuples."""
        return {track: list(mothers) for track, mothers in self.parents.items()}

    @property
    def tracks(self) -> tuple[int, ...]:
        """The track ids, in order."""
        return tuple(int(t) for t in np.unique(self.points[:, 0]))

    @property
    def divisions(self) -> dict[int, tuple[int, ...]]:
        """The daughters of each mother."""
        found: dict[int, tuple[int, ...]] = {}
        for child in sorted(self.parents):
            for mother in self.parents[child]:
                found[mother] = (*found.get(mother, ()), child)
        return found
