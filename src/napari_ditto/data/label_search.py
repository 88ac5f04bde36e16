"""Where objects of a label image lie, and which there are, in all planes of it or in one.

The image is looked at in blocks; what is not stored costs nothing, and of a stack on disk only one
block is in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.progress import Progress
from napari_ditto.data.label_edit import among
from napari_ditto.data.protocols import LabelStore

BLOCK = 1024
BLOCKS_PER_STEP = 16
COUNTABLE = 1 << 22
"""Ids up to this are counted in a table, which is faster than to sort them."""


class Place(NamedTuple):
    """A box of a plane."""

    address: PlaneAddress
    box: Box


def label_blocks(
    store: LabelStore, axes: Sequence[str], plane: PlaneAddress | None = None
) -> list[Place]:
    """Return blocks that cover a label image, or one plane of it, once.

    Parameters
    ----------
    store : LabelStore
        The image.
    axes : sequence of str
        Names of its axes.
    plane : PlaneAddress, optional
        Only this plane; all planes of the last two axes by default.
    """
    sizes = dict(zip(axes, store.shape, strict=True))
    planes: Iterator[PlaneAddress] = iter((plane,)) if plane else _planes(sizes)
    return [
        Place(address, Box(y, x, min(y + BLOCK, height), min(x + BLOCK, width)))
        for address in planes
        for height, width in ((sizes[address.rows], sizes[address.columns]),)
        for y in range(0, height, BLOCK)
        for x in range(0, width, BLOCK)
    ]


def _planes(sizes: dict[str, int]) -> Iterator[PlaneAddress]:
    *fixed, rows, columns = sizes
    for index in itertools.product(*(range(sizes[name]) for name in fixed)):
        yield PlaneAddress(rows, columns, tuple(zip(fixed, index, strict=True)))


def find_labels(
    store: LabelStore, axes: Sequence[str], ids: Collection[int], plane: PlaneAddress | None = None
) -> Generator[Progress, None, dict[int, tuple[Place, ...]]]:
    """Return where each id lies: tight boxes, one per block that shows it.

    Parameters
    ----------
    store, axes, plane
        See :func:`label_blocks`.
    ids : collection of int
        What to look for; an id that is nowhere has no places.
    """
    found: dict[int, list[Place]] = {label: [] for label in ids}
    blocks = label_blocks(store, axes, plane)
    for done, (address, box) in enumerate(blocks):
        if done % BLOCKS_PER_STEP == 0:
            yield Progress("read", done, len(blocks), "looking for the objects")
        block = store.read(address, box)
        wanted = among(block, ids)
        for label in np.unique(block[wanted]).tolist():
            tight = bounding_box(block == label)
            found[label].append(Place(address, tight.shift(box.y0, box.x0)))
    return {label: tuple(places) for label, places in found.items()}


def ids_in_use(store: LabelStore, axes: Sequence[str]) -> Generator[Progress, None, list[int]]:
    """Return all ids above 0, in order."""
    found: set[int] = set()
    blocks = label_blocks(store, axes)
    for done, (address, box) in enumerate(blocks):
        if done % BLOCKS_PER_STEP == 0:
            yield Progress("read", done, len(blocks), "looking for the objects")
        found |= _ids(store.read(address, box))
    return sorted(found)


def _ids(block: NDArray[np.integer]) -> set[int]:
    least, highest = int(block.min(initial=0)), int(block.max(initial=0))
    countable = least == 0 and highest < COUNTABLE
    ids = np.flatnonzero(np.bincount(block.ravel())) if countable else np.unique(block)
    return {label for label in ids.tolist() if label > 0}
