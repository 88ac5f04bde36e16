"""A journal being written: every record is on disk before the writer is told so.

It never stands in the way of the work: a disk that refuses makes :attr:`Journal.trouble`, the
record waits in memory, and the next append tries again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from napari_ditto.data.blocks import Arrays
from napari_ditto.data.journal_frames import FILE, frame
from napari_ditto.data.journal_lock import lock
from napari_ditto.data.journal_records import Head
from napari_ditto.errors import StoreError

MAX_BYTES = 1 << 30
"""Size at which a journal takes no more."""
MAX_WAITING = 1 << 26
"""Bytes of records that wait for a disk that refuses; more are given up, and told as lost."""


class Journal:
    """An append-only file of records.

    The file is made with the first append. All methods can be called from any thread.

    Parameters
    ----------
    path : Path
        Where; must not exist.
    limit : int
        Bytes at which it is full.

    Attributes
    ----------
    path : Path
        Where it is now.
    trouble : StoreError or None
        Why the last append is not on disk.
    afterwards : {"keep", "aside", "remove"}
        What becomes of the file when all has ended in order: it is offered, or only kept, or of no
        use any more.
    """

    def __init__(self, path: Path, limit: int = MAX_BYTES) -> None:
        self.path, self.limit = path, limit
        self.trouble: StoreError | None = None
        self.afterwards: Literal["keep", "aside", "remove"] = "keep"
        self._id = uuid.uuid4().hex
        self._number, self._end, self._file = 0, 0, -1
        self._waiting: list[bytes] = []
        self._together = 0
        self._closed = False
        self._lock = threading.RLock()

    @classmethod
    def reopen(cls, path: Path, journal: str, number: int, end: int) -> Journal:
        """Go on with a journal behind its last good record, and cut off what follows that.

        Parameters
        ----------
        path : Path
            The file.
        journal, number, end
            Its id, the number of the next record, and where that goes.
        """
        self = cls(path)
        self._id, self._number, self._end = journal, number, end
        self._file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        lock(self._file)
        self._cut()
        return self

    @property
    def is_begun(self) -> bool:
        """Whether anything has been appended."""
        return self._number > 0

    def begin(self, head: Head) -> None:
        """Append the first record; without it a journal is worth nothing, so it is there twice."""
        with self._lock:
            self.append("head", head.to_json())
            self._number -= 1
            self.append("head", head.to_json())

    def append(self, kind: str, facts: Mapping[str, object], arrays: Arrays | None = None) -> None:
        """Put a record on disk; see :attr:`trouble`."""
        with self._lock:
            if self._closed:
                return
            self._waiting.append(frame(self._id, self._number, kind, facts, arrays or {}))
            self._number += 1
            self._flush()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Wait for the disk once, at the end, for all that is appended meanwhile."""
        with self._lock:
            self._together += 1
        try:
            yield
        finally:
            with self._lock:
                self._together -= 1
                self._flush()

    def close(self) -> bool:
        """Let go of the file; what is appended from now on is dropped.

        Returns whether there was a file to let go of.
        """
        with self._lock:
            is_open = self._file >= 0 and not self._closed
            self._closed = True
            if is_open:
                os.close(self._file)
        return is_open

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        given_up = self.trouble is not None and not data
        if self._closed or given_up or not self._number:
            return
        try:
            self._open()
            self._check_room(len(data))
            _write_all(self._file, data)
            self._end += len(data)
            self._waiting.clear()
            self.trouble = None
            self._sync()
        except OSError as error:
            self._refused(error)

    def _open(self) -> None:
        if self._file < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
            self._file = os.open(self.path, flags, 0o600)
            lock(self._file)
            _sync_folder(self.path.parent)
        if not self._end:
            _write_all(self._file, FILE)
            self._end = len(FILE)

    def _check_room(self, nbytes: int) -> None:
        if self._end + nbytes > self.limit:
            raise OSError(f"the journal is full ({self.limit >> 20} MB)")

    def _sync(self) -> None:
        if not self._together and self._file >= 0 and not self._closed:
            os.fsync(self._file)

    def _refused(self, error: OSError) -> None:
        """Cut off what was half written, and remember the trouble."""
        with contextlib.suppress(OSError):
            self._cut()
        if sum(map(len, self._waiting)) > MAX_WAITING:
            # Their numbers are missing then, which a reader notices. The head is waited with.
            del self._waiting[0 if self._end > len(FILE) else 2 :]
        self.trouble = StoreError(
            f"crash safety is off, the journal cannot be written: {error.strerror or error}",
            where=str(self.path.parent),
            todo="Save your labels or free some space; the next edit tries again",
        )

    def _cut(self) -> None:
        if self._file >= 0:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on disk, too; not all systems can, or need to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):
        os.fsync(handle)
    os.close(handle)
