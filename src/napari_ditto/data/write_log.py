"""What was written to labels on disk since their coarser levels were brought up to date.

A write-ahead log beside the labels: what it says holds even if the writer is killed in mid-write.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.plain_file import open_plain
from napari_ditto.data.bounded_decoding import expand
from napari_ditto.data.regions import Region
from napari_ditto.data.scratch import is_orphan, scratch_name

Entry = tuple[Region, NDArray[np.integer] | None]
"""A region and what it holds; nothing where that was too large to be noted."""

_SUFFIX = ".ditto-writes"
_MAX_HEAD = 4096
LARGEST = 1 << 28
"""Bytes of a write that is noted in full; a larger one may be left half done by a kill."""


class WriteLog:
    """A file of writes, each a region of level 0 and what it holds from now on.

    Its name tells whether its writer still lives.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    def new(cls, folder: Path) -> WriteLog:
        """Return an empty log of this process; no file is made."""
        return cls(folder / f"{scratch_name()}{_SUFFIX}")

    def add(self, region: Region, block: NDArray[np.integer]) -> int:
        """Note a write that is about to begin; return what :meth:`cut` takes to forget it."""
        small = block.nbytes <= LARGEST
        content = _packer().encode(np.ascontiguousarray(block)) if small else b""
        sides = [[int(s.start), int(s.stop)] for s in region]
        head = json.dumps({"region": sides, "bytes": len(content)}).encode()
        with self._file.open("ab") as file:
            before = file.tell()
            file.write(head + b"\n" + content)
        return before

    def cut(self, size: int) -> None:
        """Forget what was noted since the file had this size; needs no room on the disk."""
        os.truncate(self._file, size)

    def clear(self) -> None:
        """Forget everything: all levels are up to date."""
        self._file.unlink(missing_ok=True)

    def read(self, shape: Sequence[int], dtype: np.dtype[np.integer]) -> Iterator[Entry]:
        """Yield what was noted of an array; a last entry that is not whole has had no write yet."""
        with open_plain(self._file, os.path.realpath(self._file.parent)) as file:
            while line := file.readline(_MAX_HEAD):
                try:
                    yield _entry(line, file, shape, dtype.newbyteorder("="))
                except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
                    return


def _entry(line: bytes, file: BinaryIO, shape: Sequence[int], dtype: np.dtype[np.integer]) -> Entry:
    """Return an entry; any error but of the disk means that it is not whole, or not ours."""
    head = json.loads(line)
    region = tuple(slice(int(start), int(stop)) for start, stop in head["region"])
    if not all(0 <= s.start < s.stop <= n for s, n in zip(region, shape, strict=True)):
        raise ValueError("the region lies outside the array")
    sides = [s.stop - s.start for s in region]
    nbytes = math.prod(sides) * dtype.itemsize
    content = file.read(min(max(0, int(head["bytes"])), 2 * nbytes + _MAX_HEAD))
    if len(content) != head["bytes"]:
        raise ValueError("the entry is cut off")
    if not content:
        return region, None
    if nbytes > LARGEST:
        raise ValueError("the entry is too large")
    expand("blosc", {}, content, nbytes)
    try:
        return region, np.frombuffer(_packer().decode(content), dtype).reshape(sides)
    except RuntimeError as error:
        raise ValueError("the entry is damaged") from error


def _packer() -> Any:  # noqa: ANN401  # numcodecs has no types
    from numcodecs import Blosc  # type: ignore[import-untyped]

    return Blosc("lz4", 1)


def left_logs(folder: Path) -> Iterator[WriteLog]:
    """Yield the logs whose writer is gone."""
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        if is_orphan(file):
            yield WriteLog(file)
