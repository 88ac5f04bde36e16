"""Windows of two planes brought together by how the image has moved between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.motion import estimate_flow, move
from napari_ditto.core.noise import light, quiet
from napari_ditto.data.protocols import Source

Floats = NDArray[np.float32]

MARGIN = 24
"""Pixels around the objects that are looked at: motion must be seen to be found."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The same window of two planes.

    Attributes
    ----------
    pixels : ndarray of float32, shape (h, w, 3)
        What the second plane shows.
    flow : ndarray of float32, shape (2, h, w)
        Where each of its pixels has come from.
    then, now : ndarray of float32, shape (h, w, c)
        Both planes with as little noise as they need to be compared.
    """

    pixels: Floats
    flow: Floats
    then: Floats
    now: Floats

    @cached_property
    def before(self) -> Floats:
        """The first plane as the flow has moved it."""
        channels = [move(c, self.flow, order=1) for c in np.moveaxis(self.then, 2, 0)]
        return np.stack(channels, axis=2)


def pair(source: Source, there: PlaneAddress, here: PlaneAddress, box: Box) -> Pair:
    """Return a window of two planes."""
    pixels = source.read(here, box)
    then, now = quiet(_grey(source.read(there, box), pixels))
    return Pair(pixels, estimate_flow(light(then), light(now)), then, now)


def windows_around(places: Iterable[Box], plane: Box) -> list[Box]:
    """Return windows around groups of objects that are near each other."""
    groups: list[Box] = []
    for box in places:
        around = box.grow(MARGIN).intersect(plane)
        while meeting := [g for g in groups if not g.intersect(around).is_empty]:
            groups = [g for g in groups if g not in meeting]
            for group in meeting:
                around = around.union(group)
        groups.append(around)
    return sorted(groups)


def _grey(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return images (h, w, 3) with one channel if neither has colours."""
    if any((image[..., k] != image[..., 0]).any() for image in (first, second) for k in (1, 2)):
        return first, second
    return np.ascontiguousarray(first[..., :1]), np.ascontiguousarray(second[..., :1])
