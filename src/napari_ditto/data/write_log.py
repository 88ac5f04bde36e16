"""What was written to labels on disk since their coarser levels were brought up to date.

A write-ahead log beside the labels: what it says holds even if the writer is killed in mid-write.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.regions import Region
from napari_ditto.data.scratch import is_orphan, scratch_name

Entry = tuple[Region, NDArray[np.integer]]

_SUFFIX = ".ditto-writes"


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
        content = zlib.compress(np.ascontiguousarray(block).tobytes(), 1)
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

    def read(self, dtype: np.dtype[np.integer]) -> Iterator[Entry]:
        """Yield what was noted; a last entry that is not whole was never followed by a write."""
        with self._file.open("rb") as file:
            while line := file.readline():
                try:
                    head = json.loads(line)
                    content = zlib.decompress(file.read(head["bytes"]))
                except (ValueError, zlib.error):
                    return
                region = tuple(slice(start, stop) for start, stop in head["region"])
                shape = [s.stop - s.start for s in region]
                yield region, np.frombuffer(content, dtype.newbyteorder("=")).reshape(shape)


def left_logs(folder: Path) -> Iterator[WriteLog]:
    """Yield the logs whose writer is gone."""
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        if is_orphan(file):
            yield WriteLog(file)
