"""A journal read and played back: the labels as they were, and what is missing of them."""

from __future__ import annotations

import itertools
import math
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.blocks import DamagedBlock
from napari_ditto.data.journal_frames import Gap, Record, read_frames
from napari_ditto.data.journal_recorder import filled
from napari_ditto.data.journal_records import Head, Paint, Told, decode_paint
from napari_ditto.data.labels import MEMORY_LIMIT, PLANE_LIMIT, ArrayLabels
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.data.regions import Region
from napari_ditto.errors import LabelsError, SourceError

WINDOW = 2048
"""Side of the windows in which labels on disk are put together before they are written."""


@dataclass(frozen=True, eq=False)
class Story:
    """What a journal holds.

    Attributes
    ----------
    path : Path
        The file.
    head : Head
        How it begins.
    edits : int
        How many writes it tells of.
    lost : int
        How many records are damaged or missing.
    prompts : Record or None
        The last record of prompts.
    journal : str
        Its id.
    number, end : int
        Number of the next record, and where in the file it goes.
    """

    path: Path
    head: Head
    edits: int = 0
    lost: int = 0
    prompts: Record | None = None
    journal: str = ""
    number: int = 0
    end: int = 0

    @property
    def trouble(self) -> str:
        """One line on what is missing, ``""`` if nothing is."""
        lines = []
        if self.lost:
            told = "1 edit is" if self.lost == 1 else f"{self.lost} edits are"
            lines.append(f"{told} lost: the journal is damaged")
        if self.head.base == "none":
            lines.append("labels from before this session were too large to be kept")
        return "; ".join(lines)


@dataclass(eq=False)
class _Reading:
    """The state of one pass over a journal."""

    head: Head | None = None
    edits: int = 0
    lost: int = 0
    prompts: Record | None = None
    journal: str = ""
    number: int = 0
    end: int = 0
    parts: list[Paint] = field(default_factory=list)


def read_journal(path: Path, paint: Callable[[Head, Paint], object] | None = None) -> Story:
    """Read a journal from end to end.

    Parameters
    ----------
    path : Path
        The file.
    paint : callable, optional
        Called with the head and with every write, in order; writes are checked, and a write that
        is not whole is left out.

    Raises
    ------
    SourceError
        If the file is no journal, or its beginning is damaged.
    """
    reading = _Reading()
    with _mapped(path) as buffer:
        for found in read_frames(buffer):
            _take(reading, found, paint)
    if reading.head is None:
        raise SourceError("this is no journal, or its beginning is damaged", where=str(path))
    return Story(
        path, reading.head, reading.edits, reading.lost, reading.prompts,
        reading.journal, reading.number, reading.end,
    )  # fmt: skip


def _take(
    reading: _Reading, found: Record | Gap, paint: Callable[[Head, Paint], object] | None
) -> None:
    if isinstance(found, Gap):
        reading.lost += found.lost
        reading.number += found.lost
        reading.parts.clear()
        return
    reading.journal, reading.number, reading.end = found.journal, found.number + 1, found.end
    try:
        if found.kind == "head":
            reading.head = reading.head or Head.from_json(found.facts)
        elif found.kind in ("paint", "base"):
            _paint(reading, found, paint)
        elif found.kind == "prompts":
            reading.prompts = found
    except (DamagedBlock, LookupError, TypeError, ValueError, OverflowError):
        # The checksum only tells that the writer was careful, not that it was us.
        reading.lost += 1
        reading.parts.clear()


def _paint(reading: _Reading, found: Record, paint: Callable[[Head, Paint], object] | None) -> None:
    """Take a write, or a part of one: all of it is used, or none."""
    head = reading.head
    if head is None or not head.shape:
        raise DamagedBlock("a write without labels")
    more = found.facts.get("more") is True
    if paint is not None:
        part = decode_paint(found.facts, found.arrays, head.shape, head.dtype)
        reading.parts.append(part)
        if not more:
            for part in reading.parts:
                paint(head, part)
            reading.parts.clear()
    reading.edits += found.kind == "paint" and not more


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                yield buffer
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def restore(
    path: Path, out: Path | None = None, *, anew: bool = False
) -> tuple[ArrayLabels, Story]:
    """Return the labels of a journal as they were.

    Parameters
    ----------
    path : Path
        The journal.
    out : Path, optional
        A new OME-Zarr to write to.
    anew : bool
        Whether labels that are on disk are left as they are, and a copy is returned; by default
        they are brought up to date where they are.

    Raises
    ------
    SourceError
        If the journal cannot be read, or holds no labels.
    LabelsError
        If the labels that it goes on from are gone or others.
    StoreError
        If the disk refuses.
    """
    made: list[tuple[ArrayLabels, _Array | _Windows]] = []

    def paint(head: Head, write: Paint) -> None:
        if not made:
            made.append(_canvas(head, out, anew=anew))
        made[0][1].paint(write)

    story = read_journal(path, paint)
    if not story.head.shape:
        raise SourceError("this journal holds no labels", where=str(path))
    store, canvas = made[0] if made else _canvas(story.head, out, anew=anew)
    canvas.finish()
    return store, story


class _Array:
    """Labels in memory, written as the journal is read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def copy(self, index: Region, block: NDArray[Any]) -> None:
        self._array[index] = block

    def paint(self, write: Paint) -> None:
        write.onto(self._array[write.index])

    def finish(self) -> None:
        """Nothing waits."""


class _Windows:
    """Labels on disk: writes wait, as small as they were, until each window is written once."""

    def __init__(self, store: LabelStore, axes: tuple[str, ...]) -> None:
        self._store, self._axes = store, axes
        self._size = (*(1,) * (len(axes) - 2), WINDOW, WINDOW)
        self._writes: dict[tuple[int, ...], list[tuple[Region, Told]]] = {}

    def copy(self, index: Region, block: NDArray[Any]) -> None:
        address, box = self._place(index)
        new = block.reshape(box.shape)
        self._apply(address, box, np.zeros_like(new), new)

    def paint(self, write: Paint) -> None:
        touched = (
            range(i.start // size, -(-i.stop // size))
            for i, size in zip(write.index, self._size, strict=True)
        )
        for key in itertools.product(*touched):
            self._writes.setdefault(key, []).append((write.index, write.told))

    def finish(self) -> None:
        """Write what waits."""
        for key in sorted(self._writes):
            self._write(key, self._writes.pop(key))

    def _write(self, key: tuple[int, ...], writes: list[tuple[Region, Told]]) -> None:
        starts = [k * size for k, size in zip(key, self._size, strict=True)]
        window = tuple(slice(a, a + n) for a, n in zip(starts, self._size, strict=True))
        parts = [_common(index, window) for index, _ in writes]
        whole = tuple(
            slice(min(i.start for i in axis), max(i.stop for i in axis))
            for axis in zip(*parts, strict=True)
        )
        address, box = self._place(whole)
        old = self._store.read(address, box)
        new = old.copy()
        block = new.reshape([i.stop - i.start for i in whole])
        for part, (index, told) in zip(parts, writes, strict=True):
            write = decode_paint(*told, self._store.shape, self._store.dtype)
            patch = np.zeros([i.stop - i.start for i in index], block.dtype)
            write.onto(patch)
            inside = _relative(part, index)
            mask = True if write.mask is None else write.mask[inside]
            np.copyto(block[_relative(part, whole)], patch[inside], where=mask)
        self._apply(address, box, old, new)

    def _place(self, index: Region) -> tuple[PlaneAddress, Box]:
        *fixed, rows, columns = index
        names = zip(self._axes, (i.start for i in fixed), strict=False)
        address = PlaneAddress(self._axes[-2], self._axes[-1], tuple(names))
        return address, Box(rows.start, columns.start, rows.stop, columns.stop)

    def _apply(self, address: PlaneAddress, box: Box, old: NDArray[Any], new: NDArray[Any]) -> None:
        # Even where nothing differs: the coarser levels may have been left behind.
        self._store.apply(LabelDelta(address, box, old, new, int(new.max())))


def _common(index: Region, window: Region) -> Region:
    return tuple(
        slice(max(i.start, w.start), min(i.stop, w.stop))
        for i, w in zip(index, window, strict=True)
    )


def _relative(index: Region, outer: Region) -> Region:
    return tuple(
        slice(i.start - o.start, i.stop - o.start) for i, o in zip(index, outer, strict=True)
    )


def _canvas(head: Head, out: Path | None, *, anew: bool) -> tuple[ArrayLabels, _Array | _Windows]:
    """Return labels as they were before the first write, and how to write to them."""
    from napari_ditto.data.pyramid_labels import PyramidLabels

    before = open_labels(head) if head.base == "store" else None
    if before is not None and out is None and not anew:
        return before, _Windows(before, head.axes)
    canvas: _Array | _Windows
    # As new labels are made, but labels that were one array stay one.
    plane = MEMORY_LIMIT if anew or head.base == "kept" else PLANE_LIMIT
    fits = math.prod(head.shape) * head.dtype.itemsize <= MEMORY_LIMIT
    if out is None and fits and math.prod(head.shape[-2:]) <= plane:
        array = np.zeros(head.shape, head.dtype)
        store, canvas = ArrayLabels(array, head.axes), _Array(array)
    else:
        store = PyramidLabels.create(out, head.shape, head.axes, dtype=head.dtype)
        canvas = _Windows(store, head.axes)
    for index, block in filled(before) if before is not None else ():
        canvas.copy(index, block)
    return store, canvas


def open_labels(head: Head) -> ArrayLabels:
    """Return the labels on disk that a journal goes on from.

    Raises
    ------
    LabelsError
        If they are gone, or others by now.
    """
    import zarr

    from napari_ditto.data.pyramid_labels import PyramidLabels
    from napari_ditto.data.zarrs import open_zarr, safe_store

    path = Path(head.path)
    if not path.exists():
        raise LabelsError("the labels of this journal are gone", where=head.path)
    store: ArrayLabels
    if isinstance(open_zarr(path), zarr.Group):
        store = PyramidLabels.open(path)
    else:
        store = ArrayLabels(zarr.open_array(safe_store(path, read_only=False)), head.axes)
    if (store.shape, store.dtype) != (head.shape, head.dtype):
        raise LabelsError(
            f"labels of {store.shape} {store.dtype} for a journal of {head.shape} {head.dtype}",
            where=head.path,
        )
    return store
