"""TIFF, OME-TIFF, BigTIFF and their pyramids, read strip by strip or tile by tile."""

from __future__ import annotations

import itertools
import logging
import math
import os
import threading
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.plain_file import open_plain
from napari_ditto.data.opening import Opened
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    import tifffile


# What tifffile thinks of a file goes to whoever listens, not to the screen.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(path: Path) -> Opened:
    """Open the first series of a TIFF; the file stays open until ``Opened.close``."""
    import tifffile

    with ExitStack() as stack:
        try:
            file = stack.enter_context(tifffile.TiffFile(path))
            _check_parts(file, path.parent)
            levels = _levels(file, stack)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(
                "cannot read this TIFF", where=str(path), todo="Check that the file is whole."
            ) from error
        count = len(file.series)
        notes = (f"Only the first of {count} images in the file is read.",) if count > 1 else ()
        close = stack.pop_all().close
        return Opened(levels, _axes(file.series[0].axes), notes=notes, close=close)


def _check_parts(file: tifffile.TiffFile, folder: Path) -> None:
    """Refuse OME-XML that names parts elsewhere, or pipes: tifffile would open them."""
    from xml.etree import ElementTree

    if not file.ome_metadata:
        return
    try:
        # Expat itself ends entities that grow without end.
        elements = list(ElementTree.fromstring(file.ome_metadata).iter())  # noqa: S314
    except ElementTree.ParseError:  # tifffile does without them then
        return
    for name in filter(None, (element.get("FileName") for element in elements)):
        try:
            open_plain(folder / name, os.path.realpath(folder)).close()
        except FileNotFoundError:  # read as zeros, which tifffile logs
            continue
        except OSError as error:
            raise SourceError(
                f"a part of this TIFF is not read: {error.strerror}", where=str(folder / name)
            ) from error


def _levels(file: tifffile.TiffFile, stack: ExitStack) -> tuple[object, ...]:
    """Return the arrays of the first series; what they keep open goes on the stack."""
    import zarr

    series = file.series[0]
    pixels = stack.enter_context(FileIO(file.filehandle.path))
    levels: list[object] = []
    for number, level in enumerate(series.levels):
        offset = _offset_of_one_run(level)
        if offset is not None:
            dtype = level.dtype.newbyteorder(file.byteorder)
            levels.append(ContiguousPixels(pixels, level.shape, dtype, offset))
            continue
        store = series.aszarr(level=number)
        stack.callback(store.close)
        levels.append(zarr.open_array(store, mode="r"))
    return tuple(levels)


class ContiguousPixels:
    """An array stored in one run of bytes, as most uncompressed TIFFs are.

    Their strips are often as large as the plane, so that reading by strips would read all of it.
    A memory map would do too, but ends the process if the file is cut while it is open.
    """

    def __init__(
        self, file: FileIO, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._file, self._offset, self._lock = file, offset, threading.Lock()

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        shape = tuple(s.stop - s.start for s in index)
        block = np.empty(math.prod(shape) * self.dtype.itemsize, dtype=np.uint8)
        with self._lock:
            at = 0
            for start, size in self._runs(index):
                self._read(start, block[at : at + size])
                at += size
        return block.view(self.dtype).reshape(shape)

    def _runs(self, index: tuple[slice, ...]) -> list[tuple[int, int]]:
        """Return (offset, bytes) of the runs that make up a box, in C order."""
        strides = [math.prod(self.shape[i + 1 :]) for i in range(len(self.shape))]
        last = len(index) - 1  # the axis from which on a run is unbroken
        while last > 0 and index[last] == slice(0, self.shape[last]):
            last -= 1
        length = (index[last].stop - index[last].start) * strides[last] * self.dtype.itemsize
        tail = index[last].start * strides[last]
        starts = itertools.product(*(range(s.start, s.stop) for s in index[:last]))
        places = (sum(i * n for i, n in zip(p, strides, strict=False)) + tail for p in starts)
        return [(self._offset + place * self.dtype.itemsize, length) for place in places]

    def _read(self, start: int, into: NDArray[np.uint8]) -> None:
        if start >= os.fstat(self._file.fileno()).st_size:
            raise OSError("the file ends before the image does")
        self._file.seek(start)
        done = 0
        while done < into.size:
            count = self._file.readinto(into[done:].data)
            if not count:
                raise OSError("the file ends before the image does")
            done += count


def _offset_of_one_run(level: tifffile.TiffPageSeries) -> int | None:
    return None if level.transform is not None or level.is_multifile else level.dataoffset


def _axes(letters: str) -> tuple[str, ...]:
    """Return tifffile's axis letters in lower case, unknown or repeated ones by position."""
    known = [x if x in "tczyxs" and letters.count(x.upper()) == 1 else "" for x in letters.lower()]
    spare = (n for n in ("z", "t", *(f"d{i}" for i in range(len(letters)))) if n not in known)
    return tuple(reversed([name or next(spare) for name in reversed(known)]))
