"""What can be done to objects that are labelled: merge, split, delete, renumber.

Each operation is a job that changes a label image as a whole or not at all, touches no pixel of
any other object, and returns the deltas that take it back bit for bit. Objects are looked for in
all planes first, step by step, so that a job on a large stack can be watched and cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.data.label_edit import Labels, all_or_nothing, among, write_plane
from napari_ditto.data.label_search import COUNTABLE, Place, find_labels, ids_in_use, label_blocks
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import LabelsError


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

    def plane_shape(self, plane: PlaneAddress) -> tuple[int, int]:
        """Return height and width of a plane."""
        sizes = dict(zip(self.axes, self.store.shape, strict=True))
        return sizes[plane.rows], sizes[plane.columns]

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
    deltas = yield from rewrite(image, places, lambda old: np.where(among(old, others), first, old))
    return Changed(deltas, dict.fromkeys((first, *others), (first,)))


def delete(image: LabelImage, ids: Collection[int], plane: PlaneAddress | None = None) -> Steps:
    """Remove objects from all planes, or from one."""
    found = yield from image.find(ids, plane)
    places = [at for label in ids for at in found[label]]
    deltas = yield from rewrite(image, places, lambda old: np.where(among(old, ids), 0, old))
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
    deltas = yield from rewrite(image, blocks, table.look_up)
    # New objects go on from here; who takes this back reserves the old ids again.
    getattr(image.store, "release", lambda _: None)(len(used))
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
    deltas = yield from rewrite(image, found[label], lambda old: np.where(old == label, new, old))
    return Changed(deltas, {label: (new,)})


class _Table:
    """New ids by old ones; ids that are not in it stay."""

    def __init__(self, numbers: Mapping[int, int], dtype: np.dtype[np.integer]) -> None:
        old = sorted(numbers)
        self._old = np.array(old, dtype=dtype)
        self._new = np.array([numbers[label] for label in old], dtype=dtype)
        # Indexing takes a tenth of the time of a search.
        self._direct = np.arange(old[-1] + 1 if old[-1] < COUNTABLE else 0, dtype=dtype)
        if self._direct.size:
            self._direct[self._old] = self._new

    def look_up(self, labels: Labels) -> Labels:
        """Return the new ids of some labels."""
        least, highest = int(labels.min(initial=0)), int(labels.max(initial=0))
        if least >= 0 and highest < self._direct.size:
            return self._direct[labels]
        at = np.searchsorted(self._old, labels).clip(max=len(self._old) - 1)
        return np.where(self._old[at] == labels, self._new[at], labels)


def rewrite(
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
