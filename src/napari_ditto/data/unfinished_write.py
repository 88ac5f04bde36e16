"""What a write to labels on disk has found, kept beside them until the write is done."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.regions import Region
from napari_ditto.data.scratch import is_orphan, scratch_name

_SUFFIX = ".ditto-write"


@dataclass(frozen=True, slots=True)
class UnfinishedWrite:
    """A file that is there from before the first chunk of a write until after the last.

    Its name tells whether its writer still lives; it is left only by one that was killed.
    """

    file: Path

    @classmethod
    def new(cls, folder: Path) -> UnfinishedWrite:
        """Return one that belongs to this process; no file is made."""
        return cls(folder / f"{scratch_name()}{_SUFFIX}")

    def begin(self, index: Region, old: NDArray[np.integer]) -> None:
        """Keep what is now in a region."""
        place = json.dumps([[int(s.start), int(s.stop)] for s in index]).encode()
        self.file.write_bytes(zlib.compress(place + b"\n" + np.ascontiguousarray(old).tobytes(), 1))

    def read(self, dtype: np.dtype[np.integer]) -> tuple[Region, NDArray[np.integer]] | None:
        """Return what was kept; None if no write has begun.

        A file that is not whole was never followed by a chunk.
        """
        try:
            place, _, old = zlib.decompress(self.file.read_bytes()).partition(b"\n")
        except (FileNotFoundError, zlib.error):
            return None
        index = tuple(slice(start, stop) for start, stop in json.loads(place))
        shape = [s.stop - s.start for s in index]
        return index, np.frombuffer(old, dtype.newbyteorder("=")).reshape(shape)

    def end(self) -> None:
        """Forget it: the write is done, or taken back."""
        self.file.unlink(missing_ok=True)


def unfinished_writes(folder: Path) -> Iterator[UnfinishedWrite]:
    """Yield those whose writer is gone."""
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        if is_orphan(file):
            yield UnfinishedWrite(file)
