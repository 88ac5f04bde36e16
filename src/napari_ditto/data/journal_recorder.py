"""Tells a journal of every write to one label image, with what was there before the first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto import __version__
from napari_ditto.data.journal import Journal
from napari_ditto.data.journal_records import Base, Head, ImageNote, encode_paint
from napari_ditto.data.protocols import LabelStore, Source
from napari_ditto.data.regions import Region
from napari_ditto.errors import LabelsError, StoreError

MAX_BASE = 1 << 28
"""Most pixels of labels made elsewhere that a journal keeps a copy of."""
_TILE = 4096
"""Side of the windows in which such labels are kept; empty ones are left out."""


class LabelRecorder:
    """Writes a journal for one label image.

    Parameters
    ----------
    journal : Journal
        A new one, or one that is gone on with.
    image : ImageNote
        What is labelled.
    name : str
        What the user knows the labels by.
    fresh : bool
        Whether the labels have just been made and are known to be empty.
    """

    def __init__(
        self, journal: Journal, image: ImageNote, name: str = "", *, fresh: bool = False
    ) -> None:
        self.journal, self.image, self.name, self._fresh = journal, image, name, fresh

    def wrote(
        self,
        labels: LabelStore,
        index: Region,
        old: NDArray[np.integer] | None,
        new: NDArray[np.integer],
        label: int,
    ) -> None:
        """Put a write on disk; see :class:`~napari_ditto.data.protocols.Recorder`."""
        if not self.journal.is_begun:
            self._begin(labels)
        with self.journal.together():
            for facts, arrays in encode_paint(index, old, new, label):
                self.journal.append("paint", facts, arrays)

    def _begin(self, labels: LabelStore) -> None:
        path = where(labels)
        if path:
            self.journal.afterwards = "remove"  # what is on disk needs no second copy
        base, windows = self._base(labels, path)
        axes: tuple[str, ...] = tuple(getattr(labels, "axes", ()))
        program = f"napari-ditto {__version__}"
        head = Head(program, self.image, self.name, labels.dtype, labels.shape, axes, path)
        with self.journal.together():
            self.journal.begin(replace(head, base=base))
            for index, block in windows:
                for facts, arrays in encode_paint(index, None, block, 0):
                    self.journal.append("base", facts, arrays)

    def _base(
        self, labels: LabelStore, path: str
    ) -> tuple[Base, Iterator[tuple[Region, NDArray[Any]]]]:
        """Return what there is before the first write."""
        nothing: Iterator[tuple[Region, NDArray[Any]]] = iter(())
        if path:
            return "store", nothing
        if self._fresh:
            return "empty", nothing
        if math.prod(labels.shape) > MAX_BASE:
            return "none", nothing
        found = filled(labels)
        first = next(found, None)
        return ("empty", nothing) if first is None else ("kept", itertools.chain([first], found))


def start_journal(store: LabelStore, source: Source, path: Path, *, fresh: bool = False) -> None:
    """Write every change of a label image to a new file from now on.

    Raises
    ------
    LabelsError
        If the labels cannot tell of their changes.
    StoreError
        If there is such a file already.
    """
    if not hasattr(store, "recorder"):
        raise LabelsError("these labels cannot keep a journal", todo="Give an array in their place")
    if path.exists():
        raise StoreError(
            "there is a journal already",
            where=str(path),
            todo="Replay it with 'napari-ditto journal replay', or choose another name",
        )
    store.recorder = LabelRecorder(Journal(path), image_note(source), fresh=fresh)


def image_note(source: Source) -> ImageNote:
    """Return what is known of an image that is in no viewer."""
    origin = getattr(source, "origin", None)
    path = origin.paths[0] if origin is not None and origin.paths else ""
    return ImageNote(source.name, path, shape=source.shape)


@contextmanager
def together(labels: LabelStore) -> Iterator[None]:
    """Wait for the disk once for many writes, none of which is acknowledged before the end."""
    recorder = getattr(labels, "recorder", None)
    if isinstance(recorder, LabelRecorder):
        with recorder.journal.together():
            yield
    else:
        yield


def where(labels: LabelStore) -> str:
    """Return the path of labels that stay on disk, ``""`` for all others."""
    if getattr(labels, "is_temporary", False):
        return ""
    path = getattr(labels, "path", None)
    if isinstance(path, Path):
        return str(path.absolute())
    store = getattr(labels.data, "store", None)
    root, inside = getattr(store, "root", None), getattr(labels.data, "path", "")
    return str(Path(root, inside).absolute()) if isinstance(root, Path) else ""


def filled(labels: LabelStore) -> Iterator[tuple[Region, NDArray[Any]]]:
    """Yield the windows of labels that are not empty, with what they hold."""
    data: Any = labels.data
    size = (*(1,) * (len(labels.shape) - 2), _TILE, _TILE)
    starts = [range(0, n, step) for n, step in zip(labels.shape, size, strict=True)]
    for corner in itertools.product(*starts):
        window = zip(corner, size, labels.shape, strict=True)
        index = tuple(slice(a, min(a + step, n)) for a, step, n in window)
        block = np.asarray(data[index])
        if block.any():
            yield index, block
