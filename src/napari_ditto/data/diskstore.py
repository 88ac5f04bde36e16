"""The cold tier of the embedding cache: one folder per entry, renamed into place when complete.

Many threads and processes may share one directory without a lock: an entry appears by one rename,
disappears by one rename, and is believed only if its done record vouches for every byte. Last use
is the record's modification time, which all processes see.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.plain_file import NotPlainError, load_plain, read_plain
from napari_ditto.data.entry import (
    Bytes,
    DamagedEntry,
    DoneRecord,
    Files,
    check_record,
    decode_entry,
    encode_entry,
)
from napari_ditto.data.keys import MODEL_DIGITS, check_key, is_key, model_part
from napari_ditto.data.scratch import is_orphan, scratch_name
from napari_ditto.errors import StoreError

LAYOUT = Path("embeddings", "v1")
DONE = "done.json"
# Evicting somewhat more than needed lets many writes pass before the next scan.
LOW_WATER = 0.9
# Other processes' writes are seen when ours since the last scan reach this part of the quota.
RESCAN = 1 / 16
MAX_RECORD = 1 << 20
DAMAGE = (
    DamagedEntry, FileNotFoundError, IsADirectoryError, NotADirectoryError, NotPlainError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """What a scan knows of one entry: bytes on disk and last use (ns since the epoch)."""

    key: str
    model: str
    size: int
    used: int


class DiskStore:
    """Embeddings on disk within a byte quota; anything damaged is removed, never returned.

    Parameters
    ----------
    directory : Path
        Where the cache lives; made when first needed. Only entries in our own layout below it
        are ever read or removed.
    quota : int
        Bytes of entries kept; the least recently used go first.
    """

    def __init__(self, directory: Path, quota: int) -> None:
        self.root = Path(directory) / LAYOUT
        self.quota = quota
        self._lock = threading.Lock()
        self._known: int | None = None
        self._written = 0
        # A folder that cannot be swept now will say why at the first write.
        with contextlib.suppress(OSError):
            self._sweep()

    def get(self, key: str) -> Embedding | None:
        """Return an intact entry, arrays read-only, and mark it as used; or None.

        Raises
        ------
        StoreError
            If the disk cannot be read at all.
        """
        check_key(key)
        try:
            return self._get(key)
        except OSError as error:
            raise self._error("read", error) from error

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding; when this returns, a kill loses nothing of it.

        Raises
        ------
        StoreError
            If the disk refuses; nothing is left behind.
        ValueError
            If the embedding does not belong to the key or cannot be stored.
        """
        check_key(key)
        if self.quota <= 0:
            return
        record, files = encode_entry(key, embedding)
        check_record(key, record)
        done = record.to_bytes()
        try:
            if self._get(key) is None and self._make_room(record.size + len(done)):
                self._write(key, files, done)
        except OSError as error:
            raise self._error("written", error) from error

    def touch(self, key: str) -> None:
        """Mark an entry as used just now, if it is there and may be marked."""
        now = time.time_ns()
        # The mark only orders evictions, and a read-only folder has none.
        with contextlib.suppress(OSError):
            os.utime(self._path(key) / DONE, ns=(now, now))

    def entries(self) -> Iterator[StoredEntry]:
        """Yield the entries that have a sound done record; raises StoreError like :meth:`get`."""
        try:
            yield from filter(None, map(_look, self._paths()))
        except OSError as error:
            raise self._error("read", error) from error

    def clear(self, model: str | None = None) -> None:
        """Remove all entries, or those of one model; raises StoreError if the disk refuses."""
        wanted = "*" if model is None else model_part(model)
        try:
            for path in self._paths(wanted):
                self._remove(path)
        except OSError as error:
            raise self._error("cleared", error) from error
        with self._lock:
            self._known = None

    # -- reading -----------------------------------------------------------------------------

    def _get(self, key: str) -> Embedding | None:
        path = self._path(key)
        # A second look, because another process may evict and rewrite the entry under our eyes.
        for _ in range(2):
            if not os.path.lexists(path):
                return None
            try:
                embedding = _read_entry(path)
            except DAMAGE:
                continue
            self.touch(key)
            return embedding
        self._remove(path)
        return None

    def _path(self, key: str) -> Path:
        return self.root / key[:MODEL_DIGITS] / key

    def _paths(self, model: str = "*") -> Iterator[Path]:
        folders = sorted(self.root.glob(model)) if self.root.is_dir() else []
        for folder in folders:
            for path in sorted(folder.glob("*")):
                if is_key(path.name) and path.name.startswith(folder.name):
                    yield path

    # -- writing -----------------------------------------------------------------------------

    def _write(self, key: str, files: Files, done: bytes) -> None:
        path, scratch = self._path(key), self._scratch()
        try:
            for name, parts in {**files, DONE: (done,)}.items():
                file = scratch / name
                file.parent.mkdir(parents=True, exist_ok=True)
                write_parts(file, parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            _rename_new(scratch, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _scratch(self) -> Path:
        """Return a fresh path beside the entries, on the same file system, named after us."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / scratch_name()

    def _remove(self, path: Path) -> None:
        """Take an entry away by one rename, so that nobody sees half of it."""
        scratch = self._scratch()
        with contextlib.suppress(FileNotFoundError):
            path.rename(scratch)
        if scratch.is_dir() and not scratch.is_symlink():
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            scratch.unlink(missing_ok=True)

    def _make_room(self, size: int) -> bool:
        """Evict until `size` more bytes fit; False if they never will."""
        if size > self.quota:
            return False
        with self._lock:
            self._written += size
            known = self._known
            if known is None or known + size > self.quota or self._written > self.quota * RESCAN:
                known = self._evict(self.quota - size, int(self.quota * LOW_WATER) - size)
                self._written = 0
            self._known = known + size
        return True

    def _evict(self, limit: int, target: int) -> int:
        """If over `limit` bytes, evict the least recently used down to `target`; return the rest.

        Anything without a sound done record goes as well: nobody would ever ask for it.
        """
        entries = []
        for path in self._paths():
            entry = _look(path)
            if entry:
                entries.append(entry)
            else:
                self._remove(path)
        total = sum(entry.size for entry in entries)
        if total <= limit:
            return total
        for entry in sorted(entries, key=lambda entry: entry.used):
            if total <= target:
                break
            self._remove(self._path(entry.key))
            total -= entry.size
        return total

    def _sweep(self) -> None:
        """Remove what dead processes left half done."""
        for path in (self.root / "tmp").glob("*"):
            if is_orphan(path):
                shutil.rmtree(path, ignore_errors=True)

    def _error(self, verb: str, error: OSError) -> StoreError:
        reason = error.strerror or type(error).__name__
        return StoreError(
            f"the embedding cache cannot be {verb}: {reason}",
            where=str(self.root),
            todo="Free some space there, or set NAPARI_DITTO_CACHE to another folder",
        )


def _look(path: Path) -> StoredEntry | None:
    try:
        status = (path / DONE).stat()
        record = _read_record(path)
    except DAMAGE:
        return None
    return StoredEntry(path.name, record.model, record.size + status.st_size, status.st_mtime_ns)


def _read_record(path: Path) -> DoneRecord:
    record = DoneRecord.from_bytes(read_plain(path / DONE, MAX_RECORD))
    check_record(path.name, record)
    return record


def _read_entry(path: Path) -> Embedding:
    record = _read_record(path)
    files = {}
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            files[file.relative_to(path).as_posix()] = file
    del files[DONE]
    # Sizes first: a foreign file may be too large to read.
    if {n: f.stat().st_size for n, f in files.items()} != {
        n: f.size for n, f in record.files.items()
    }:
        raise DamagedEntry("a file is missing or of another size")
    return decode_entry(
        path.name, record, {n: load_plain(f, record.files[n].size) for n, f in files.items()}
    )


def write_parts(file: Path, parts: Sequence[Bytes]) -> None:
    """Write a file as it is given, without a buffer between."""
    with open(file, "wb", buffering=0) as raw:
        for part in parts:
            # A disk that is nearly full takes less than it is given, before it refuses.
            left = memoryview(part)
            while left:
                left = left[raw.write(left) :]


def _rename_new(scratch: Path, path: Path) -> None:
    """Rename into place; an entry that another process put there meanwhile stays."""
    try:
        scratch.rename(path)
    except OSError:
        if not (path / DONE).exists():
            raise
