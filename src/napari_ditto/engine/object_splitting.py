"""Splitting a labelled object: along a line, between clicks, or between two planes.

As the operations of :mod:`napari_ditto.engine.objects`: all or nothing, and undone bit for bit.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.splitting import cut_along, split_at
from napari_ditto.data.label_edit import Labels, all_or_nothing, write_plane
from napari_ditto.data.label_extent import label_extent
from napari_ditto.data.label_search import Place, find_labels
from napari_ditto.engine.objects import Changed, LabelImage, Steps, rewrite
from napari_ditto.errors import LabelsError

LARGEST = 1 << 25
"""Most pixels of one object's box that are held in memory to split it."""

Line = NDArray[np.float64]


def split_by_line(
    image: LabelImage, label: int, path: Line, plane: PlaneAddress, everywhere: bool = False
) -> Steps:
    """Cut an object along a line; the largest piece keeps the id.

    Parameters
    ----------
    image : LabelImage
        The labels.
    label : int
        The object.
    path : ndarray of float, shape (n, 2)
        Row and column of the line's vertices on the plane.
    plane : PlaneAddress
        Where the line was drawn.
    everywhere : bool
        Cut all parallel planes along the same line, so that a piece is one object in all of
        them; only this plane by default.

    Raises
    ------
    LabelsError
        If the line does not cross the object.
    """
    low, high = np.floor(path.min(axis=0)), np.ceil(path.max(axis=0))
    near = Box(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1)
    held = yield from _hold(image, label, plane, everywhere, near)
    yield Progress("write", text=f"splitting object {label}")
    parts = cut_along(held.mask, path - np.array((held.box.y0, held.box.x0), dtype=np.float64))
    if parts.max() < 2:
        raise LabelsError(
            f"split: the line does not cross object {label}",
            todo="Draw it from one side of the object to the other",
        )
    return _part(image, held, parts)


def split_by_clicks(
    image: LabelImage,
    label: int,
    clicks: Sequence[tuple[PlaneAddress, int, int]],
    plane: PlaneAddress,
    everywhere: bool = False,
) -> Steps:
    """Part an object between clicks on it; the largest part keeps the id.

    Parameters
    ----------
    image, label, plane, everywhere
        See :func:`split_by_line`.
    clicks : sequence of (PlaneAddress, int, int)
        Plane, row and column, each on the object; on the plane itself unless `everywhere`.

    Raises
    ------
    LabelsError
        If there are fewer than two clicks on the object.
    """
    near = _around(Box(y, x, y + 1, x + 1) for _, y, x in clicks)
    held = yield from _hold(image, label, plane, everywhere, near)
    yield Progress("write", text=f"splitting object {label}")
    spots = dict.fromkeys(held.position(*click) for click in clicks)
    seeds = [spot for spot in spots if _inside(spot, held.mask.shape) and held.mask[spot]]
    if len(seeds) < 2:
        raise LabelsError(
            f"split: {len(seeds)} of {len(clicks)} clicks lie on object {label}",
            todo="Put two points on it, one on each part",
        )
    if len(held.mask) == 1:
        return _part(image, held, split_at(held.mask[0], [spot[1:] for spot in seeds])[None])
    return _part(image, held, split_at(held.mask, seeds))


def part_planes(image: LabelImage, label: int, plane: PlaneAddress) -> Steps:
    """Part an object between a plane and the one before it: what follows gets a new id.

    The axis is the last one that the plane has an index on.

    Raises
    ------
    LabelsError
        If the object is only on one side.
    """
    axis = _stacked_along(plane)
    if not axis:
        raise LabelsError("split: the image has one plane only")
    found = yield from _along(image, label, plane, axis)
    here = [index for index in found if index >= plane.index[axis]]
    if len(here) in (0, len(found)):
        raise LabelsError(
            f"split: object {label} is not on both sides of this plane",
            todo="Go to the first plane of its second part",
        )
    places = [at for index in here for at in found[index]]
    (new,) = image.next_free()
    deltas = yield from rewrite(image, places, lambda old: np.where(old == label, new, old))
    return Changed(deltas, {label: (label, new)})


@dataclass(frozen=True, eq=False)
class _Held:
    """What is read of one object to split it: a box on one plane, or on several in a row.

    Attributes
    ----------
    label : int
        The object.
    addresses : sequence of PlaneAddress
        The planes.
    axis : str
        What they follow each other along; ``""`` for one plane.
    box : Box
        The same on each of them.
    labels : ndarray of int, shape (planes, height, width)
        What is there.
    """

    label: int
    addresses: Sequence[PlaneAddress]
    axis: str
    box: Box
    labels: Labels

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object."""
        mask: NDArray[np.bool_] = self.labels == self.label
        return mask

    def position(self, address: PlaneAddress, y: int, x: int) -> tuple[int, int, int]:
        """Return where a pixel is in `labels`, inside of it or not."""
        first = self.addresses[0].index.get(self.axis, 0)
        return address.index.get(self.axis, 0) - first, y - self.box.y0, x - self.box.x0


def _hold(
    image: LabelImage, label: int, plane: PlaneAddress, everywhere: bool, near: Box
) -> Generator[Progress, None, _Held]:
    yield Progress("read", text="looking for the object")
    axis = _stacked_along(plane) if everywhere else ""
    if axis:
        found = yield from _along(image, label, plane, axis)
        addresses = [plane.with_index({axis: i}) for i in range(min(found), max(found) + 1)]
        box = _around(at.box for places in found.values() for at in places)
    else:
        shape = image.plane_shape(plane)
        box = label_extent(image.store, plane, shape, label, near.intersect(Box.of_shape(shape)))
        addresses = [plane]
    if box.is_empty:
        raise LabelsError(f"there is no object {label}", where=str(plane))
    if len(addresses) * box.area > LARGEST:
        raise LabelsError(
            f"object {label} is too large to be split on all planes at once",
            todo="Split it on this plane",
        )
    labels = np.stack([image.store.read(address, box) for address in addresses])
    return _Held(label, addresses, axis, box, labels)


def _part(image: LabelImage, held: _Held, parts: NDArray[np.intp]) -> Changed:
    """Write the parts of an object, the largest under its id."""
    order = np.argsort(-np.bincount(parts.ravel())[1:], kind="stable")
    fresh = image.next_free(len(order) - 1)
    numbers = np.zeros(len(order) + 1, dtype=image.store.dtype)
    numbers[order + 1] = (held.label, *fresh)
    with all_or_nothing(image.store) as deltas:
        for address, old, part in zip(held.addresses, held.labels, parts, strict=True):
            new = np.where(part > 0, numbers[part], old)
            if (new != old).any():
                deltas.append(write_plane(image.store, address, held.box, old, new))
    return Changed(tuple(deltas), {held.label: (held.label, *fresh)})


def _stacked_along(plane: PlaneAddress) -> str:
    """Return the axis along which planes of an object follow each other, ``""`` in 2-D."""
    return plane.fixed[-1][0] if plane.fixed else ""


def _along(
    image: LabelImage, label: int, plane: PlaneAddress, axis: str
) -> Generator[Progress, None, dict[int, tuple[Place, ...]]]:
    """Return where an object lies on each of the planes parallel to one that show it.

    Raises
    ------
    LabelsError
        If none does.
    """
    found: dict[int, tuple[Place, ...]] = {}
    for index in range(image.store.shape[image.axes.index(axis)]):
        address = plane.with_index({axis: index})
        places = (yield from find_labels(image.store, image.axes, (label,), address))[label]
        if places:
            found[index] = places
    if not found:
        raise LabelsError(f"there is no object {label} on planes like this", where=str(plane))
    return found


def _around(boxes: Iterable[Box]) -> Box:
    found = Box(0, 0, 0, 0)
    for box in boxes:
        found = found.union(box)
    return found


def _inside(position: Sequence[int], shape: Sequence[int]) -> bool:
    return all(0 <= p < n for p, n in zip(position, shape, strict=True))
