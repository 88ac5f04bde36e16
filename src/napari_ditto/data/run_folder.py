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
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from napari_ditto.data.blocks import Arrays, DamagedBlock
from napari_ditto.data.run_files import NO_FILE, TMP, RunFiles
from napari_ditto.data.run_lock import run_lock
from napari_ditto.data.run_records import Done, Item, Record, check, decode, encode, seal, unseal
from napari_ditto.errors import LabelsError, StoreError

FOLDER = ".ditto-run"
PLAN = "plan.json"
FAILURES = "failures"
KINDS = ("tiles", "pairs", "groups", "join", "paint", "pyramid", "memory")

SHARD = 1000
"""Items in one folder; some file systems are slow with more."""

MOST_PLAN = 64 << 20
MOST_DONE = 1 << 20
MOST_FAILURE = 1 << 16

_OTHERS = (FAILURES, "past", TMP)
_PARTS = ("block", "done")

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
        self._files = RunFiles(self.folder)

    @classmethod
    def create(cls, folder: Path, plan: Mapping[str, Any]) -> RunFolder:
        """Start a run in a folder that exists.

        Raises
        ------
        StoreError
            If there is a run already, or the disk refuses.
        """
        run = cls(folder)
        with run._disk("created"):
            run.folder.mkdir()
            for name in (*_OTHERS, *(f"{kind}/{part}" for kind in KINDS for part in _PARTS)):
                (run.folder / name).mkdir(parents=True)
            run._files.write(PLAN, seal("plan", dict(plan)))
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
        if not run._files.exists(PLAN):
            raise LabelsError(
                "there is no run here", where=str(target), todo="Choose the folder of one"
            )
        _ = run.plan
        return run

    @cached_property
    def plan(self) -> Mapping[str, Any]:
        """What is done; raises StoreError if it is not what was written."""
        try:
            with self._disk("read"):
                return MappingProxyType(dict(unseal("plan", self._read(PLAN, MOST_PLAN))))
        except (DamagedBlock, ValueError, TypeError) as error:
            raise StoreError(
                "the plan of the run is damaged",
                where=str(self.folder / PLAN),
                todo="Remove the target and start again: the cache makes it faster",
            ) from error

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
            JSON types, at most a megabyte.
        arrays : mapping of str to ndarray
            Booleans, integers or floats.

        Returns
        -------
        str
            SHA-256 of the arrays, or of the head if there are none, and of what they belong to. A
            head beside arrays may differ between two who find the same.

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
        with self._disk("written"):
            if done.size:
                self._files.write(_name("block", item), block)
            self._files.write(_name("done", item), raw)
        return done.digest

    def get(
        self, kind: str, number: int, key: str, names: Collection[str] | None = None
    ) -> Record | None:
        """Return a finished item exactly as it was written, or None.

        One that is damaged does not count as done any more.

        Parameters
        ----------
        kind, number, key : str, int, str
            As in :meth:`put`.
        names : collection of str, optional
            Arrays to be unpacked; by default all. What is checked is all of them.

        Raises
        ------
        StoreError
            If the disk cannot be read.
        """
        return self._twice(_item(kind, number, key), lambda item: self._record(item, names))

    def told(self, kind: str, number: int, key: str) -> tuple[dict[str, Any], str] | None:
        """Return head and digest of a finished item, or None; its arrays are not looked at."""
        done = self._twice(_item(kind, number, key), self._done)
        return None if done is None else (done.head, done.digest)

    def check(self, kind: str, number: int, key: str) -> bool:
        """Whether a finished item is there and whole; one that is not counts as not done."""
        return self._twice(_item(kind, number, key), self._checked) is not None

    def finished(self, kind: str, key: str) -> set[int]:
        """Return the numbers that have a done record, without looking into them."""
        ending, home = f"-{_short(key)}", _home("done", kind)
        with self._disk("read"):
            shards = [e.name for e in self._files.scan(home) if e.is_dir(follow_symlinks=False)]
            entries = (e for shard in shards for e in self._files.scan(f"{home}/{shard}"))
            names = [
                entry.name.removesuffix(ending)
                for entry in entries
                if entry.name.endswith(ending) and entry.is_file(follow_symlinks=False)
            ]
        return {int(name) for name in names if name.isdigit()}

    def discard(self, kind: str, number: int) -> None:
        """Forget an item, whatever its keys; raises StoreError if the disk refuses."""
        with self._disk("written"):
            for part in _PARTS:
                shard = _shard(part, _item(kind, number, ""))
                for entry in self._files.scan(shard):
                    if entry.name.startswith(f"{number}-"):
                        self._files.remove(f"{shard}/{entry.name}")

    # -- tiles that were given up --------------------------------------------------------------

    def set_failure(self, number: int, place: str, reason: str) -> None:
        """Note that a tile was given up; raises StoreError if the disk refuses."""
        told = {"number": operator.index(number), "place": place, "reason": reason[:1000]}
        with self._disk("written"):
            self._files.write(_failure(number), seal("failure", told))

    def failures(self) -> list[dict[str, Any]]:
        """Return number, place and reason of each, by number; raises StoreError like `told`."""
        with self._disk("read"):
            names = [e.name for e in self._files.scan(FAILURES) if e.name.isdigit()]
            found = [self._told_failure(int(name)) for name in sorted(names, key=int)]
        return [told for told in found if told is not None]

    def clear_failure(self, number: int) -> None:
        """Forget that a tile was given up; raises StoreError if the disk refuses."""
        with self._disk("written"):
            self._files.remove(_failure(number))

    # -- the folder ----------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Be the only coordinator while inside; raises StoreError if another one lives."""
        return run_lock(self.folder)

    def sweep(self) -> int:
        """Remove what dead processes left half written; return how many files and folders."""
        with self._disk("swept"):
            return self._files.sweep()

    @property
    def nbytes(self) -> int:
        """Bytes of all files; raises StoreError like :meth:`told`."""
        with self._disk("read"):
            return self._files.nbytes

    # -- reading -------------------------------------------------------------------------------

    def _twice(self, item: Item, read: Callable[[Item], Read]) -> Read | None:
        """Return what is read, None if it is damaged, which it is not done any more then."""
        with self._disk("read"):
            # A second look, because another process may rewrite the item under our eyes.
            for _ in range(2):
                if not self._files.exists(_name("done", item)):
                    return None
                with contextlib.suppress(DamagedBlock):
                    return read(item)
            self._files.remove(_name("done", item))
        return None

    def _record(self, item: Item, names: Collection[str] | None) -> Record:
        done = self._done(item)
        if not done.size:
            return Record(done.head, {}, done.digest)
        return decode(done, self._read(_name("block", item), done.size), names)

    def _checked(self, item: Item) -> Done:
        done = self._done(item)
        if done.size:
            check(done, self._read(_name("block", item), done.size))
        return done

    def _done(self, item: Item) -> Done:
        return Done.from_bytes(self._read(_name("done", item), MOST_DONE), item)

    def _told_failure(self, number: int) -> dict[str, Any] | None:
        # It is only a note: if it is damaged, the tile is not done and will be tried all the same.
        with contextlib.suppress(DamagedBlock):
            told = dict(unseal("failure", self._read(_failure(number), MOST_FAILURE)))
            return told if told["number"] == number else None
        return None

    def _read(self, name: str, limit: int) -> bytes:
        try:
            return self._files.read(name, limit)
        except NO_FILE as error:
            raise DamagedBlock(f"there is no such file: {error}") from error

    @contextlib.contextmanager
    def _disk(self, verb: str) -> Iterator[None]:
        """Say in one line what the disk refuses."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the files of the run cannot be {verb}: {error.strerror or error}",
                where=str(self.folder),
                todo="Free some space there, or see who may write it, then resume",
            ) from error


def _name(part: str, item: Item) -> str:
    return f"{_shard(part, item)}/{item.number}-{_short(item.key)}"


def _shard(part: str, item: Item) -> str:
    return f"{_home(part, item.kind)}/{item.number // SHARD}"


def _home(part: str, kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    return f"{kind}/{part}"


def _failure(number: int) -> str:
    return f"{FAILURES}/{_whole(number)}"


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
