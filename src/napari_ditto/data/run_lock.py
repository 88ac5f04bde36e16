"""One coordinator of a run at a time, on any file system and over any number of hosts.

The lock is a folder that appears by one rename, with one file in it that is named after its
holder. A holder that is dead, or has not been heard of for a while, loses it, again by one rename.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ditto.core.plain_file import read_plain
from napari_ditto.data.scratch import is_orphan, scratch_name
from napari_ditto.errors import StoreError

REFRESH = 20.0
"""Seconds between two signs of life."""

SILENCE = 600.0
"""Seconds without one after which a holder counts as dead, whatever its process id says."""

TRIES = 5


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, or say who does.

    Raises
    ------
    StoreError
        If somebody else holds it, or the disk refuses.
    """
    try:
        holder = _acquire(folder)
    except OSError as error:
        raise StoreError(
            f"the run cannot be locked: {error.strerror or error}",
            where=str(folder),
            todo="Choose a folder that can be written and has room",
        ) from error
    stop = threading.Event()
    alive = threading.Thread(target=_refresh, args=(holder, stop), daemon=True)
    alive.start()
    try:
        yield
    finally:
        stop.set()
        alive.join()
        _release(holder)


def _acquire(folder: Path) -> Path:
    lock, name = folder / "lock", scratch_name()
    staged = folder / "tmp" / name
    staged.mkdir()
    told = {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%H:%M")}
    (staged / name).write_text(json.dumps(told))
    try:
        for _ in range(TRIES):
            with contextlib.suppress(OSError):  # why it could not be comes out below
                staged.rename(lock)
                return lock / name
            with contextlib.suppress(FileNotFoundError):  # its holder has just released it
                _take_away(lock, (staged / name).stat().st_mtime)
        raise FileExistsError("somebody else was faster")
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _take_away(lock: Path, now: float) -> None:
    """Move a dead holder's lock aside; raises StoreError if the holder lives."""
    names = sorted(os.listdir(lock))
    if not names:
        lock.rmdir()
        return
    holder = lock / names[0]
    # `now` is the file system's own time, which the clocks of other hosts need not agree with.
    silent = now - holder.stat().st_mtime > SILENCE
    if not silent and not is_orphan(holder):
        raise StoreError(
            f"another process works on this run: {_who(holder)}",
            where=str(lock.parent.parent),
            todo="Wait for it or end it, then resume",
        )
    # The place is named after the holder and never freed: of two who see the same dead holder
    # only one can move it there, and a living one's lock is not moved by mistake.
    past = lock.with_name("past") / holder.name
    past.parent.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        lock.rename(past)


def _who(holder: Path) -> str:
    try:
        told = json.loads(read_plain(holder, 4096))
        return f"process {told['process']} on {told['host']}, since {told['since']}"
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return holder.name


def _refresh(holder: Path, stop: threading.Event) -> None:
    while not stop.wait(REFRESH):
        # If it cannot be marked now, it may be the next time, long before it counts as dead.
        with contextlib.suppress(OSError):
            os.utime(holder)


def _release(holder: Path) -> None:
    if holder.exists():
        with contextlib.suppress(OSError):
            holder.unlink()
            holder.parent.rmdir()
