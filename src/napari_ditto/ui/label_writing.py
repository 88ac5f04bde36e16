"""Many labels written to a plane at once, each write one delta that Undo can take back."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.label_edit import among, write_plane
from napari_ditto.data.label_extent import label_extent
from napari_ditto.data.protocols import LabelDelta, LabelStore, OverlapPolicy

Labels = NDArray[np.integer]


def exchange(
    store: LabelStore,
    address: PlaneAddress,
    shape: tuple[int, int],
    label: int,
    box: Box,
    mask: NDArray[np.bool_],
    overlap: OverlapPolicy,
) -> LabelDelta:
    """Erase a label on a plane of `shape`, and write it where `mask` (in `box`) is true."""
    whole = Box.of_shape(shape)
    inside = box.intersect(whole)
    area = label_extent(store, address, shape, label, inside).union(inside)
    old = store.read(address, area)
    new = np.where(old == label, 0, old)
    view = new[inside.shift(-area.y0, -area.x0).slices]
    here = mask[inside.shift(-box.y0, -box.x0).slices]
    view[here & ((view == 0) | (overlap == "replace"))] = label
    return write_plane(store, address, area, old, new)


def repaint(
    store: LabelStore,
    address: PlaneAddress,
    new: Labels,
    ids: Collection[int],
    overlap: OverlapPolicy,
) -> LabelDelta:
    """Replace some objects of a plane by what `new` shows of them; all others stay.

    Parameters
    ----------
    store, address
        Where.
    new : ndarray of int, shape (height, width)
        The whole plane.
    ids : collection of int
        The objects that are replaced.
    overlap : {"keep", "replace"}
        Whether other objects keep pixels that `new` claims.
    """
    box = Box.of_shape(new.shape)
    old = store.read(address, box)
    rest = np.where(among(old, ids), 0, old)
    painted = (new > 0) & ((rest == 0) | (overlap == "replace"))
    return write_plane(store, address, box, old, np.where(painted, new, rest))


@dataclass(frozen=True, slots=True)
class Print:
    """What a plane showed when it was written, so that a later edit is noticed.

    Attributes
    ----------
    digest : bytes
        Of the objects that were followed.
    others : frozenset of int
        Which other objects were there.
    """

    digest: bytes
    others: frozenset[int]

    @classmethod
    def of(cls, labels: Labels, ids: Collection[int]) -> Print:
        """Take the print of a plane."""
        ours = among(labels, ids)
        state = hashlib.blake2b(np.where(ours, labels, 0).astype(np.int64).tobytes())
        others = np.unique(labels[~ours]).tolist()
        return cls(state.digest(), frozenset(others) - {0})
