"""The folder of journals: which are being written, which were left behind, and for how long.

A file's name tells its state: ``.journal`` is being written, or was when its process died;
``.closed`` was left when napari closed with labels that are nowhere else; ``.aside`` has been
offered, or was discarded. Only the first two are offered; all are kept for :data:`KEEP_DAYS`.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_ditto.data.journal import Journal
from napari_ditto.data.journal_lock import is_locked
from napari_ditto.data.journal_recorder import LabelRecorder
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_replay import Story, read_journal, restore
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.scratch import is_from_here, is_orphan, scratch_name
from napari_ditto.errors import SourceError, StoreError

KEEP_DAYS = 30
MAX_BYTES = 2 << 30
"""Journals of the past are kept up to so many bytes; the oldest go first."""
SETTLE_SECONDS = 60.0
"""A file younger than this may not have its lock yet."""

State = Literal["live", "crashed", "closed", "aside"]
_SUFFIXES: dict[str, State] = {".journal": "crashed", ".closed": "closed", ".aside": "aside"}


@dataclass(frozen=True)
class Entry:
    """One journal in the folder.

    Attributes
    ----------
    path : Path
        The file.
    state : {"live", "crashed", "closed", "aside"}
        Being written; left by a process that died; left by one that ended; or put aside.
    nbytes : int
        Its size.
    changed : float
        When it was written last, seconds since the epoch.
    """

    path: Path
    state: State
    nbytes: int
    changed: float

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.path.stem.rpartition("-")[2][:8]


class Shelf:
    """A folder of journals.

    Parameters
    ----------
    folder : Path, optional
        By default ``$NAPARI_DITTO_JOURNAL``, or ``journals`` in the user's state folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def new(self) -> Journal:
        """Return a new journal, which :func:`finish` should end."""
        return Journal(self.folder / f"{scratch_name()}.journal")

    def record(
        self, labels: LabelStore, image: ImageNote, name: str = "", *, fresh: bool = False
    ) -> LabelRecorder | None:
        """Write every change of a label image to a new journal from now on.

        It ends in order when nobody has the labels any more, or the program ends. Returns None for
        labels that tell nobody; those that have a journal keep it.
        """
        if not hasattr(labels, "recorder"):
            return None
        if labels.recorder is None:
            _attach(labels, LabelRecorder(self.new(), image, name, fresh=fresh))
        found = labels.recorder
        return found if isinstance(found, LabelRecorder) else None

    def entries(self) -> tuple[Entry, ...]:
        """Return all journals, the last written first."""
        found = [entry for path in self._files() if (entry := _entry(path))]
        return tuple(sorted(found, key=lambda entry: -entry.changed))

    def find(self, name: str) -> Path:
        """Return a journal by its name in the list, or by its path.

        Raises
        ------
        SourceError
            If there is none.
        """
        if Path(name).is_file():
            return Path(name)
        found = [entry.path for entry in self.entries() if entry.name == name]
        if len(found) != 1:
            raise SourceError("there is no such journal", where=name, todo="List them")
        return found[0]

    def resume(self, path: Path) -> Resumed:
        """Restore what a journal holds, and go on writing to it.

        From the start it is this process's own, so that no other one restores it as well.

        Raises
        ------
        SourceError, LabelsError, StoreError
            As :func:`~napari_ditto.data.journal_replay.restore`; the journal stays as it was.
        """
        own = self.folder / f"{scratch_name()}.journal"
        _rename(path, own)
        try:
            story = read_journal(own)
            store = restore(own)[0] if story.head.shape else None
            journal = Journal.reopen(own, story.journal, story.number, story.end)
        except Exception:  # whatever it is, the journal goes back to its name before it is told
            _rename(own, path)
            raise
        head = story.head
        journal.afterwards = "keep" if store is not None and head.base != "store" else "remove"
        if store is not None:
            _attach(store, LabelRecorder(journal, head.image, head.name))
        return Resumed(story, store, journal)

    def prune(self) -> None:
        """Remove what is old, or too much."""
        left, now = 0, time.time()
        for entry in self.entries():
            if entry.state == "live":
                continue
            left += entry.nbytes
            if now - entry.changed > KEEP_DAYS * 86_400 or left > MAX_BYTES:
                remove(entry.path)

    def _files(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from (path for path in self.folder.iterdir() if path.suffix in _SUFFIXES)


@dataclass(frozen=True, eq=False)
class Resumed:
    """A journal that is gone on with.

    Attributes
    ----------
    story : Story
        What it holds.
    store : ArrayLabels or None
        The labels as they were; None if the journal has only prompts.
    journal : Journal
        Where what comes next goes.
    """

    story: Story
    store: ArrayLabels | None
    journal: Journal


def default_folder() -> Path:
    """Return the user's folder of journals."""
    import platformdirs

    own = os.environ.get("NAPARI_DITTO_JOURNAL")
    if own:
        return Path(own)
    return Path(platformdirs.user_state_path("napari-ditto", appauthor=False)) / "journals"


def put_aside(path: Path) -> Path:
    """Keep a journal for a while, but offer it no more; return where it is now."""
    aside = path.with_suffix(".aside")
    _rename(path, aside)
    return aside


def finish(journal: Journal) -> None:
    """End a journal in order, and do with it what is to be done afterwards."""
    if not journal.close():
        return
    with contextlib.suppress(OSError, StoreError):
        if journal.afterwards == "remove":
            journal.path.unlink()
        else:
            suffix = ".closed" if journal.afterwards == "keep" else ".aside"
            _rename(journal.path, journal.path.with_suffix(suffix))


def remove(path: Path) -> None:
    """Remove a journal for good."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be removed: {error.strerror}", where=str(path)) from error


def is_abandoned(path: Path) -> bool:
    """Whether nobody writes a journal any more."""
    if os.name != "posix":
        return not is_locked(path)
    if not is_from_here(path):
        return is_orphan(path) and not is_locked(path)
    # The process's number may belong to another one by now.
    return is_orphan(path) or (_age(path) > SETTLE_SECONDS and not is_locked(path))


def _attach(labels: Any, recorder: LabelRecorder) -> None:  # noqa: ANN401 - has a recorder
    labels.recorder = recorder
    weakref.finalize(labels, finish, recorder.journal)


def _entry(path: Path) -> Entry | None:
    state = _SUFFIXES[path.suffix]
    if state == "crashed" and not is_abandoned(path):
        state = "live"
    try:
        facts = path.stat()
    except OSError:
        return None  # taken by another process meanwhile
    return Entry(path, state, facts.st_size, facts.st_mtime)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _rename(path: Path, to: Path) -> None:
    try:
        path.rename(to)
    except OSError as error:
        raise StoreError(
            f"the journal cannot be taken over: {error.strerror or error}", where=str(path)
        ) from error
