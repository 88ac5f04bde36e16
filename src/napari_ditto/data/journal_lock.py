"""Whether a journal is being written: its writer holds a lock that ends with the process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def lock(file: int) -> None:
    """Mark an open file as being written.

    On Windows an open file cannot be renamed, which is mark enough; on a file system without
    locks only the process in the file's name tells.
    """
    if os.name == "posix":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def is_locked(path: Path) -> bool:
    """Whether a living process writes a file."""
    return _is_flocked(path) if os.name == "posix" else not _can_rename(path)


def _is_flocked(path: Path) -> bool:
    import fcntl

    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks here
    finally:
        os.close(file)
    return False


def _can_rename(path: Path) -> bool:
    try:
        path.rename(path)
    except OSError:
        return False
    return True
