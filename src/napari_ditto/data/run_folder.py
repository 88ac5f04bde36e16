"""All that a whole-image run keeps beside its labels, in ``<labels>.zarr/.ditto-run/``.

::

    plan.json                             what is done
    <kind>/block/<thousands>/<item>       arrays of a finished item
    <kind>/done/<thousands>/<item>        written last: the item counts as done
    failures/<number>                     tiles that were given up
    lock/  past/                          who works on it
    tmp/                                  what is being written

Any number of threads, processes and hosts may share one folder: files appear by one rename, under
names made of numbers and hashes only, and are believed only if every byte is as it was written.
There is no fsync (ADR 0011): what a power cut leaves torn is no record, and is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from napari_ditto.core.plain_file import NotPlainError, read_plain
from napari_ditto.data.blocks import Arrays, DamagedBlock
from napari_ditto.data.run_lock import run_lock
from napari_ditto.data.run_records import Done, Item, Record, check, decode, encode, seal, unseal
from napari_ditto.data.scratch import is_orphan, scratch_name
from napari_ditto.errors import LabelsError, StoreError

FOLDER = ".ditto-run"
PLAN = "plan.json"
KINDS = ("tiles", "pairs", "groups", "join", "paint", "pyramid", "memory")

SHARD = 1000
"""Items in one folder; some file systems are slow with more."""

MOST_PLAN = 64 << 20
MOST_DONE = 1 << 20
MOST_FAILURE = 1 << 16

_OTHERS = ("failures", "past", "tmp")
# What stands where a file should be; anything else that goes wrong is the disk's fault.
_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, NotPlainError)

Read = TypeVar("Read")


class RunFolder:
    """The files of one run.

    Parameters
    ----------
    target : Path
        The OME-Zarr folder that the run writes; nothing is read yet.
    """

    def __init__(self, target: Path) -> None:
        self.target = Path(target)
        self.folder = self.target / FOLDER

    @classmethod
    def create(cls, folder: Path, plan: Mapping[str, Any]) -> RunFolder:
        """Start a run in a folder that exists.

        Raises
        ------
        StoreError
            If there is a run already, or the disk refuses.
        """
        run = cls(folder)
        try:
            run.folder.mkdir()
            for name in (*_OTHERS, *(f"{kind}/{part}" for kind in KINDS for part in _PARTS)):
                (run.folder / name).mkdir(parents=True)
            run._write(run.folder / PLAN, seal("plan", dict(plan)))
        except OSError as error:
            raise run._error("created", error) from error
        return run

    @classmethod
    def open(cls, target: Path) -> RunFolder:
        """Return a run that was started.

        Raises
        ------
        LabelsError
            If there is none.
        StoreError
            If its plan is damaged, or the disk cannot be read.
        """
        run = cls(target)
        if not os.path.lexists(run.folder / PLAN):
            raise LabelsError(
                "there is no run here", where=str(target), todo="Choose the folder of one"
            )
        _ = run.plan
        return run

    @cached_property
    def plan(self) -> Mapping[str, Any]:
        """What is done; raises StoreError if it is not what was written."""
        try:
            told = unseal("plan", self._read(self.folder / PLAN, MOST_PLAN))
            return MappingProxyType(dict(told))
        except (DamagedBlock, *_NO_FILE, ValueError, TypeError) as error:
            raise StoreError(
                "the plan of the run is damaged",
                where=str(self.folder / PLAN),
                todo="Remove the target and start again: the cache makes it faster",
            ) from error
        except OSError as error:
            raise self._error("read", error) from error

    # -- finished items ------------------------------------------------------------------------

    def put(
        self,
        kind: str,
        number: int,
        key: str,
        head: Mapping[str, Any],
        arrays: Arrays = MappingProxyType({}),
    ) -> str:
        """Keep a finished item; when this returns, a kill loses nothing of it.

        Parameters
        ----------
        kind : str
            One of :data:`KINDS`.
        number : int
            From 0.
        key : str
            What the result depends on; another key is another item.
        head : mapping
            JSON types, at most a megabyte. It is part of the digest: what differs between two
            runs that find the same, such as seconds, does not belong here.
        arrays : mapping of str to ndarray
            Booleans, integers or floats.

        Returns
        -------
        str
            SHA-256, the same for the same content.

        Raises
        ------
        StoreError
            If the disk refuses.
        ValueError
            If the content cannot be kept.
        """
        item = _item(kind, number, key)
        done, block = encode(item, head, arrays)
        raw = done.to_bytes()
        if len(raw) > MOST_DONE:
            raise ValueError("the head of a record is too large; give arrays")
        try:
            if done.size:
                self._write(self._path("block", item), block)
            self._write(self._path("done", item), raw)
        except OSError as error:
            raise self._error("written", error) from error
        return done.digest

    def get(self, kind: str, number: int, key: str) -> Record | None:
        """Return a finished item exactly as it was written, or None.

        One that is damaged does not count as done any more. Raises StoreError if the disk cannot
        be read.
        """
        item = _item(kind, number, key)
        found = self._load(item)
        if found is None:
            return None
        done, block = found
        try:
            return Record(done.head, {}, done.digest) if block is None else decode(done, block)
        except DamagedBlock:
            self._remove(self._path("done", item))
            return None

    def told(self, kind: str, number: int, key: str) -> tuple[dict[str, Any], str] | None:
        """Return head and digest of a finished item, or None; its arrays are not looked at."""
        item = _item(kind, number, key)
        done = self._twice(item, self._done)
        return None if done is None else (done.head, done.digest)

    def check(self, kind: str, number: int, key: str) -> bool:
        """Whether a finished item is there and whole; one that is not counts as not done."""
        return self._load(_item(kind, number, key)) is not None

    def finished(self, kind: str, key: str) -> set[int]:
        """Return the numbers that have a done record, without looking into them."""
        ending, home = f"-{_short(key)}", self._home("done", kind)
        try:
            shards = [e for e in _scan(home) if e.is_dir(follow_symlinks=False)]
            entries = (entry for shard in shards for entry in _scan(shard.path))
            names = [
                entry.name.removesuffix(ending)
                for entry in entries
                if entry.name.endswith(ending) and entry.is_file(follow_symlinks=False)
            ]
        except OSError as error:
            raise self._error("read", error) from error
        return {int(name) for name in names if name.isdigit()}

    def discard(self, kind: str, number: int) -> None:
        """Forget an item, whatever its keys; raises StoreError if the disk refuses."""
        item, start = _item(kind, number, ""), f"{operator.index(number)}-"
        try:
            for part in ("done", "block"):
                for entry in _scan(self._path(part, item).parent):
                    if entry.name.startswith(start):
                        self._remove(Path(entry.path))
        except OSError as error:
            raise self._error("written", error) from error

    # -- tiles that were given up --------------------------------------------------------------

    def set_failure(self, number: int, place: str, reason: str) -> None:
        """Note that a tile was given up; raises StoreError if the disk refuses."""
        told = {"number": operator.index(number), "place": place, "reason": reason[:1000]}
        try:
            self._write(self._failure(number), seal("failure", told))
        except OSError as error:
            raise self._error("written", error) from error

    def failures(self) -> list[dict[str, Any]]:
        """Return number, place and reason of each, by number; raises StoreError like `told`."""
        try:
            names = [e.name for e in _scan(self.folder / "failures") if e.name.isdigit()]
            found = [self._told_failure(int(name)) for name in sorted(names, key=int)]
        except OSError as error:
            raise self._error("read", error) from error
        return [told for told in found if told is not None]

    def clear_failure(self, number: int) -> None:
        """Forget that a tile was given up; raises StoreError if the disk refuses."""
        try:
            self._remove(self._failure(number))
        except OSError as error:
            raise self._error("written", error) from error

    # -- the folder ----------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Be the only coordinator while inside; raises StoreError if another one lives."""
        return run_lock(self.folder)

    def sweep(self) -> int:
        """Remove what dead processes left half written; return how many files and folders."""
        try:
            orphans = [Path(e.path) for e in _scan(self.folder / "tmp") if is_orphan(Path(e.path))]
            for path in orphans:
                _delete(path)
        except OSError as error:
            raise self._error("swept", error) from error
        return len(orphans)

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(
            Path(folder, name).lstat().st_size
            for folder, _, names in os.walk(self.folder)
            for name in names
        )

    # -- reading -------------------------------------------------------------------------------

    def _load(self, item: Item) -> tuple[Done, bytes | None] | None:
        """Return a done record and its block, if both are whole."""
        return self._twice(item, self._done_and_block)

    def _twice(self, item: Item, read: Callable[[Item], Read]) -> Read | None:
        """Return what is read, None if it is damaged, which it is not done any more then."""
        try:
            # A second look, because another process may rewrite the item under our eyes.
            for _ in range(2):
                if not os.path.lexists(self._path("done", item)):
                    return None
                with contextlib.suppress(DamagedBlock, *_NO_FILE):
                    return read(item)
            self._remove(self._path("done", item))
        except OSError as error:
            raise self._error("read", error) from error
        return None

    def _done(self, item: Item) -> Done:
        return Done.from_bytes(self._read(self._path("done", item), MOST_DONE), item)

    def _done_and_block(self, item: Item) -> tuple[Done, bytes | None]:
        done = self._done(item)
        if not done.size:
            return done, None
        block = self._read(self._path("block", item), done.size)
        check(done, block)
        return done, block

    def _told_failure(self, number: int) -> dict[str, Any] | None:
        try:
            told = unseal("failure", self._read(self._failure(number), MOST_FAILURE))
        except (DamagedBlock, *_NO_FILE):
            # It is only a note: the tile is not done, so it will be tried again all the same.
            return None
        return dict(told) if told["number"] == number else None

    def _read(self, path: Path, limit: int) -> bytes:
        self._check_links(path)
        return read_plain(path, limit)

    def _check_links(self, path: Path) -> None:
        inside = path
        while inside != self.target:
            if inside.is_symlink():
                raise NotPlainError("it is a link", inside)
            inside = inside.parent

    # -- writing -------------------------------------------------------------------------------

    def _write(self, path: Path, raw: bytes) -> None:
        scratch = self.folder / "tmp" / scratch_name()
        self._check_links(path.parent)
        self._check_links(scratch.parent)
        try:
            scratch.write_bytes(raw)
            self._put_in_place(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    def _put_in_place(self, scratch: Path, path: Path) -> None:
        try:
            scratch.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            scratch.replace(path)
        except (IsADirectoryError, PermissionError):  # the latter is what Windows says
            if not path.is_dir():
                raise
            self._remove(path)
            scratch.replace(path)

    def _remove(self, path: Path) -> None:
        """Take something away by one rename, whatever it is."""
        self._check_links(path.parent)
        scratch = self.folder / "tmp" / scratch_name()
        with contextlib.suppress(FileNotFoundError):
            path.rename(scratch)
            _delete(scratch)

    # -- names ---------------------------------------------------------------------------------

    def _path(self, part: str, item: Item) -> Path:
        name = f"{item.number}-{_short(item.key)}"
        return self._home(part, item.kind) / str(item.number // SHARD) / name

    def _home(self, part: str, kind: str) -> Path:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        return self.folder / kind / part

    def _failure(self, number: int) -> Path:
        return self.folder / "failures" / str(_whole(number))

    def _error(self, verb: str, error: OSError) -> StoreError:
        return StoreError(
            f"the files of the run cannot be {verb}: {error.strerror or error}",
            where=str(self.folder),
            todo="Free some space there, or see who may write it, then resume",
        )


_PARTS = ("block", "done")


def _item(kind: str, number: int, key: str) -> Item:
    return Item(kind, _whole(number), str(key))


def _whole(number: int) -> int:
    whole = operator.index(number)
    if whole < 0:
        raise ValueError(f"there is no item {whole}")
    return whole


def _short(key: str) -> str:
    """Return sixteen digits for a key, which may be any text."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _scan(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from entries


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
