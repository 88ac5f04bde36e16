"""What can be done to objects that are labelled: merge, split, delete, renumber.

Each operation is a job that changes a label image as a whole or not at all, touches no pixel of
any other object, and returns the deltas that take it back bit for bit. Objects are looked for in
all planes first, step by step, so that a job on a large stack can be watched and cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.splitting import cut_along, split_at
from napari_ditto.data.label_edit import Labels, all_or_nothing, among, write_plane
from napari_ditto.data.label_search import Place, find_labels, ids_in_use, label_blocks
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import LabelsError

LARGEST = 1 << 26
"""Most pixels of one object's box that are held in memory to split it."""

Path = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Changed:
    """What an operation did.

    Attributes
    ----------
    deltas : tuple of LabelDelta
        The writes, in order.
    became : mapping of int to tuple of int
        Under which ids each object that changed can be found now; none if it is gone.
    """

    deltas: tuple[LabelDelta, ...] = ()
    became: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


Steps = Generator[Progress, None, Changed]


@dataclass(frozen=True, eq=False)
class LabelImage:
    """A label image and how its axes are called.

    Attributes
    ----------
    store : LabelStore
        The labels.
    axes : tuple of str
        One name per axis.
    """

    store: LabelStore
    axes: tuple[str, ...]

    def find(
        self, ids: Collection[int], plane: PlaneAddress | None = None
    ) -> Generator[Progress, None, dict[int, tuple[Place, ...]]]:
        """Return where objects lie, see :func:`find_labels`.

        Raises
        ------
        LabelsError
            If one of them is nowhere.
        """
        found = yield from find_labels(self.store, self.axes, ids, plane)
        missing = sorted(label for label, places in found.items() if not places)
        if missing:
            raise LabelsError(
                f"there is no object {missing[0]}", where=str(plane) if plane else "the labels"
            )
        return found

    def next_free(self, count: int = 1) -> range:
        """Return ids that are not in use and follow each other.

        Raises
        ------
        LabelsError
            If the type of the labels holds no so many.
        """
        first = self.store.next_label()
        if first + count - 1 > np.iinfo(self.store.dtype).max:
            raise LabelsError(
                f"labels of type {self.store.dtype.name} have no room for {count} more objects",
                todo="Renumber the objects, or convert the Labels layer to a wider integer type",
            )
        return range(first, first + count)


def merge(image: LabelImage, ids: Sequence[int]) -> Steps:
    """Make one object of several, in all planes, under the id of the first."""
    first, *others = dict.fromkeys(ids)
    if not others:
        raise LabelsError("merge: one object alone", todo="Pick at least two objects")
    found = yield from image.find((first, *others))
    places = [at for label in others for at in found[label]]
    deltas = yield from _rewrite(
        image, places, lambda old: np.where(among(old, others), first, old)
    )
    return Changed(deltas, dict.fromkeys((first, *others), (first,)))


def delete(image: LabelImage, ids: Collection[int], plane: PlaneAddress | None = None) -> Steps:
    """Remove objects from all planes, or from one."""
    found = yield from image.find(ids, plane)
    places = [at for label in ids for at in found[label]]
    deltas = yield from _rewrite(image, places, lambda old: np.where(among(old, ids), 0, old))
    gone = ids if plane is None else (yield from _not_elsewhere(image, ids))
    return Changed(deltas, dict.fromkeys(gone, ()))


def _not_elsewhere(
    image: LabelImage, ids: Collection[int]
) -> Generator[Progress, None, Collection[int]]:
    found = yield from find_labels(image.store, image.axes, ids)
    return [label for label, places in found.items() if not places]


def renumber(image: LabelImage) -> Steps:
    """Give all objects the ids 1, 2, ... in the order of their old ids."""
    used = yield from ids_in_use(image.store, image.axes)
    numbers = {label: i for i, label in enumerate(used, 1) if label != i}
    if not numbers:
        raise LabelsError(f"renumber: the ids are 1 to {len(used)} already")
    table = _Table(numbers, image.store.dtype)
    blocks = label_blocks(image.store, image.axes)
    deltas = yield from _rewrite(image, blocks, table.look_up)
    return Changed(deltas, {label: (new,) for label, new in numbers.items()})


def give_id(image: LabelImage, label: int, new: int) -> Steps:
    """Give an object another id that is free.

    Raises
    ------
    LabelsError
        If another object has it.
    """
    if new == label:
        raise LabelsError(f"object {label} has this id already")
    if not 0 < new <= np.iinfo(image.store.dtype).max:
        raise LabelsError(f"{new} is no id for labels of type {image.store.dtype.name}")
    found = yield from find_labels(image.store, image.axes, (label, new))
    if found[new]:
        raise LabelsError(
            f"another object has the id {new}",
            todo="Choose another id, or merge the two if they are one object",
        )
    deltas = yield from _rewrite(image, found[label], lambda old: np.where(old == label, new, old))
    return Changed(deltas, {label: (new,)})


def split_by_line(
    image: LabelImage, label: int, path: Path, plane: PlaneAddress, everywhere: bool = False
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

    def cut(mask: NDArray[np.bool_], corner: tuple[int, ...]) -> NDArray[np.intp]:
        parts = cut_along(mask, path - np.array(corner[-2:], dtype=np.float64))
        if parts.max() < 2:
            raise LabelsError(
                f"split: the line does not cross object {label}",
                todo="Draw it from one side of the object to the other",
            )
        return parts

    return (yield from _split(image, label, plane, everywhere, cut))


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
    axis = _axis_of(image, plane)
    index = plane.index.get(axis, 0)

    def cut(mask: NDArray[np.bool_], corner: tuple[int, ...]) -> NDArray[np.intp]:
        at = [(address.index.get(axis, index), y, x) for address, y, x in clicks]
        first = (0, *corner)[-3:] if mask.ndim == 3 else (index, *corner)
        seeds = [tuple(p - c for p, c in zip(a, first, strict=True))[-mask.ndim :] for a in at]
        on_it = [s for s in dict.fromkeys(seeds) if _inside(s, mask.shape) and mask[s]]
        if len(on_it) < 2:
            raise LabelsError(
                f"split: {len(on_it)} of {len(clicks)} clicks lie on object {label}",
                todo="Put two points on it, one on each part",
            )
        return split_at(mask, on_it)

    return (yield from _split(image, label, plane, everywhere, cut))


def part_planes(image: LabelImage, label: int, plane: PlaneAddress) -> Steps:
    """Part an object between a plane and the one before it: what follows gets a new id.

    The axis is the last one that the plane has an index on.

    Raises
    ------
    LabelsError
        If the object is only on one side.
    """
    axis = _axis_of(image, plane)
    found = yield from _along(image, label, plane, axis)
    here = [index for index in found if index >= plane.index[axis]]
    if not axis or len(here) in (0, len(found)):
        raise LabelsError(
            f"split: object {label} is not on both sides of this plane",
            todo="Go to the first plane of its second part",
        )
    places = [at for index in here for at in found[index]]
    (new,) = image.next_free()
    deltas = yield from _rewrite(image, places, lambda old: np.where(old == label, new, old))
    return Changed(deltas, {label: (label, new)})


Cut = Callable[[NDArray[np.bool_], tuple[int, ...]], NDArray[np.intp]]


def _split(image: LabelImage, label: int, plane: PlaneAddress, everywhere: bool, cut: Cut) -> Steps:
    axis = _axis_of(image, plane) if everywhere else ""
    if axis:
        found = yield from _along(image, label, plane, axis)
    else:
        found = {0: (yield from image.find((label,), plane))[label]}
    box = _around(at.box for places in found.values() for at in places)
    first, last = min(found), max(found)
    if math.prod((last - first + 1, *box.shape)) > LARGEST:
        raise LabelsError(
            f"object {label} is too large to be split at once",
            todo="Split it on this plane" if axis else "Split off a part of it by hand",
        )
    addresses = [plane.with_index({axis: i}) if axis else plane for i in range(first, last + 1)]
    shown = [image.store.read(address, box) for address in addresses]
    yield Progress("write", text=f"splitting object {label}")
    mask = np.stack(shown) == label if axis else shown[0] == label
    parts = cut(mask, (first, box.y0, box.x0) if axis else (box.y0, box.x0))
    order = np.argsort(-np.bincount(parts.ravel())[1:], kind="stable")
    fresh = image.next_free(len(order) - 1)
    numbers = np.zeros(len(order) + 1, dtype=image.store.dtype)
    numbers[order + 1] = (label, *fresh)
    with all_or_nothing(image.store) as deltas:
        for address, old, part in zip(addresses, shown, parts if axis else [parts], strict=True):
            new = np.where(part > 0, numbers[part], old)
            if (new != old).any():
                deltas.append(write_plane(image.store, address, box, old, new))
    return Changed(tuple(deltas), {label: (label, *fresh)})


def _axis_of(image: LabelImage, plane: PlaneAddress) -> str:
    """Return the axis that stacks planes of an object, ``""`` in 2-D."""
    return plane.fixed[-1][0] if plane.fixed else ""


def _along(
    image: LabelImage, label: int, plane: PlaneAddress, axis: str
) -> Generator[Progress, None, dict[int, tuple[Place, ...]]]:
    """Return where an object lies on each of the planes parallel to one, along one axis."""
    found: dict[int, tuple[Place, ...]] = {}
    size = image.store.shape[image.axes.index(axis)]
    for index in range(size):
        address = plane.with_index({axis: index})
        places = (yield from find_labels(image.store, image.axes, (label,), address))[label]
        if places:
            found[index] = places
    return found


def _around(boxes: Iterable[Box]) -> Box:
    found = Box(0, 0, 0, 0)
    for box in boxes:
        found = found.union(box)
    return found


def _inside(position: Sequence[int], shape: Sequence[int]) -> bool:
    return all(0 <= p < n for p, n in zip(position, shape, strict=True))


class _Table:
    """New ids by old ones; ids that are not in it stay."""

    def __init__(self, numbers: Mapping[int, int], dtype: np.dtype[np.integer]) -> None:
        old = sorted(numbers)
        self._old = np.array(old, dtype=dtype)
        self._new = np.array([numbers[label] for label in old], dtype=dtype)

    def look_up(self, labels: Labels) -> Labels:
        at = np.searchsorted(self._old, labels).clip(max=len(self._old) - 1)
        return np.where(self._old[at] == labels, self._new[at], labels)


def _rewrite(
    image: LabelImage, places: Sequence[Place], change: Callable[[Labels], Labels]
) -> Generator[Progress, None, tuple[LabelDelta, ...]]:
    """Change the labels of some boxes, all or none of them."""
    with all_or_nothing(image.store) as deltas:
        for done, (address, box) in enumerate(places):
            yield Progress("write", done, len(places), "writing the labels")
            old = image.store.read(address, box)
            new = change(old)
            if (new != old).any():
                deltas.append(write_plane(image.store, address, box, old, new))
    return tuple(deltas)
