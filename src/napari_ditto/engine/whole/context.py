"""What every item of a run needs: the plan, the records, the image, the model, the target."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.grouping import Placed
from napari_ditto.core.run_plan import Plan, RunTile
from napari_ditto.core.seams import TileObjects, margin
from napari_ditto.data.protocols import Source
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.run_folder import RunFolder
from napari_ditto.engine.whole.regions import Region
from napari_ditto.engine.whole.rendering import TileLabels, class_modes, render
from napari_ditto.engine.whole.segmenter import Segmenter
from napari_ditto.errors import StoreError

KEPT_BYTES = 192 << 20
"""Decoded tiles that are kept for their neighbours."""

BLOCK = 2048
"""Side of what is painted at once: whole chunks on this level and on the next three."""


OBJECTS = ("areas", "centers", "cut", "wanted", "in_core")
"""Arrays of a tile's record that describe its objects."""


class TileLost(StoreError):
    """A tile that was done is damaged; it must be done again."""


@dataclass(frozen=True, eq=False)
class DoneTile:
    """A tile as its record has it.

    Attributes
    ----------
    labels : ndarray of int, shape of the window
        Ids 1 to n; for classes the place in the list of classes, from 1.
    objects : TileObjects
        Of these ids.
    digest : str
        Of the record.
    """

    labels: NDArray[np.integer]
    objects: TileObjects
    digest: str


@dataclass(eq=False)
class RunContext:
    """One run as a worker sees it; safe for threads.

    Attributes
    ----------
    plan : Plan
        What is to be done.
    folder : RunFolder
        What is done.
    source : Source
        The image.
    segmenter : Segmenter
        What is done with a tile.
    threads : int
        How many threads may work on one tile, where there are fewer tiles than workers.
    """

    plan: Plan
    folder: RunFolder
    source: Source
    segmenter: Segmenter
    threads: int = 1
    _kept: OrderedDict[int, DoneTile] = field(default_factory=OrderedDict)
    _ids: OrderedDict[tuple[str, int], Mapping[str, NDArray[np.generic]]] = field(
        default_factory=OrderedDict
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def region(self) -> Region:
        """The part that is wanted."""
        return Region.load(self.plan.region, self.plan.mask, self.plan.plane_shape)

    @cached_property
    def labels(self) -> PyramidLabels:
        """The target."""
        return PyramidLabels.open(self.folder.target)

    @property
    def margin(self) -> int:
        """How far from a window's inner edge nothing is believed."""
        return margin(self.plan.halo)

    def tile(self, number: int) -> DoneTile:
        """Return a finished tile.

        Raises
        ------
        TileLost
            If its record is not whole.
        """
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        found = self._load(number)
        with self._lock:
            self._kept[number] = found
            while sum(t.labels.nbytes for t in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return found

    def placed(self, number: int) -> Placed:
        """Return a finished tile's place and objects; its labels are not unpacked."""
        record = self.folder.get("tiles", number, self.plan.digest, names=OBJECTS)
        if record is None:
            raise TileLost(f"the record of tile {number} is damaged")
        return Placed(number, self.plan.tile(number).window, _objects(record.arrays))

    def near(self, plane: int, box: Box) -> Iterator[int]:
        """Yield the numbers of the finished tiles of a plane whose windows touch a box."""
        grid = self.plan.grid
        for row in grid.rows.touching(box.y0, box.y1):
            for column in grid.columns.touching(box.x0, box.x1):
                number = plane * self.plan.per_plane + row * grid.columns.count + column
                if number in self.finished:
                    yield number

    @cached_property
    def finished(self) -> frozenset[int]:
        """Numbers of the finished tiles, as they were when first asked for."""
        return frozenset(self.folder.finished("tiles", self.plan.digest))

    def look_again(self) -> None:
        """Forget what was known of finished tiles."""
        self.__dict__.pop("finished", None)
        with self._lock:
            self._kept.clear()
            self._ids.clear()

    def render(self, plane: int, box: Box, key: str) -> NDArray[np.int64]:
        """Return the labels of a box of a plane.

        Parameters
        ----------
        plane : int
            Which of the plan's planes.
        box : Box
            Inside the plane.
        key : str
            Of the records of ids; empty for classes, which need none.
        """
        numbers = list(self.near(plane, box))
        return render(box, lambda _: (self._named(n, key) for n in numbers))

    def ids(self, number: int, key: str) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return final id and mode of each of a tile's objects, background first."""
        row = number // self.plan.grid.columns.count
        with self._lock:
            arrays = self._ids.get((key, row))
        if arrays is None:
            record = self.folder.get("groups", row, key)
            if record is None:
                raise StoreError(f"the ids of row {row} are damaged", todo="Run it again")
            arrays = record.arrays
            with self._lock:
                self._ids[key, row] = arrays
                while len(self._ids) > 64:
                    self._ids.popitem(last=False)
        at = int(np.searchsorted(arrays["numbers"], np.int64(number)))
        part = slice(int(arrays["first"][at]), int(arrays["first"][at + 1]))
        return (
            np.concatenate([[0], arrays["ids"][part]]).astype(np.int64),
            np.concatenate([[0], arrays["modes"][part]]).astype(np.uint8),
        )

    def _named(self, number: int, key: str) -> TileLabels:
        tile, done = self.plan.tile(number), self.tile(number)
        if key:
            return TileLabels(tile, done.labels, *self.ids(number, key))
        classes = np.array([0, *self.plan.task.settings["classes"]], dtype=np.int64)
        return TileLabels(tile, done.labels, classes, class_modes(len(classes) - 1))

    def _load(self, number: int) -> DoneTile:
        record = self.folder.get("tiles", number, self.plan.digest)
        if record is None:
            raise TileLost(f"the record of tile {number} is damaged")
        shape = self.plan.tile(number).window.shape
        labels = record.arrays.get("labels")
        if labels is None:
            labels = np.broadcast_to(np.zeros(1, dtype=np.uint8), shape)
        return DoneTile(labels, _objects(record.arrays), record.digest)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The boxes of a plane, or of one of its levels, that are painted at once."""

    shape: tuple[int, int]

    @property
    def columns(self) -> int:
        """Blocks side by side."""
        return -(-self.shape[1] // BLOCK)

    @property
    def count(self) -> int:
        """Blocks in all."""
        return -(-self.shape[0] // BLOCK) * self.columns

    def box(self, number: int) -> Box:
        """Return one block."""
        row, column = divmod(number, self.columns)
        box = Box(row * BLOCK, column * BLOCK, (row + 1) * BLOCK, (column + 1) * BLOCK)
        return box.intersect(Box.of_shape(self.shape))


@dataclass(frozen=True, eq=False)
class Stored:
    """An item that is computed; storing it is all that is left."""

    write: Callable[[], Mapping[str, object]]

    def store(self) -> Mapping[str, object]:
        """Write its record."""
        return self.write()


def key_of(*parts: object) -> str:
    """Return a key that changes with any of its parts."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def place_text(tile: RunTile) -> str:
    """Return where a tile lies, for people."""
    w = tile.window
    fixed = "".join(f"{name}={index}, " for name, index in tile.address.fixed)
    return f"{fixed}rows {w.y0} to {w.y1}, columns {w.x0} to {w.x1}"


def array_index(axes: Sequence[str], address: PlaneAddress, box: Box) -> tuple[slice, ...]:
    """Return where a box of a plane lies in an array of the image's axes."""
    fixed = address.index
    sides = dict(zip((address.rows, address.columns), box.slices, strict=True))
    return tuple(
        sides[name] if name in sides else slice(fixed[name], fixed[name] + 1) for name in axes
    )


def _objects(arrays: Mapping[str, NDArray[np.generic]]) -> TileObjects:
    flags = [np.asarray(arrays[name], dtype=bool) for name in OBJECTS[2:]]
    return TileObjects(
        np.asarray(arrays["areas"], dtype=np.int64),
        np.asarray(arrays["centers"], dtype=np.float64).reshape(-1, 2),
        *flags,
    )
