"""Open files that others made: plain ones only, and no more of them than was agreed.

A pipe or a device in the place of a file would block for ever, or never end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


class NotPlainError(OSError):
    """What is there is no plain file, leads elsewhere, or is larger than allowed."""

    def __init__(self, reason: str, path: object) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def open_plain(path: Path | str, root: str | None = None) -> BinaryIO:
    """Open a file for reading; never waits.

    Parameters
    ----------
    path : Path
        What to open.
    root : str, optional
        A real path that the file, its links followed, must lie under.

    Raises
    ------
    OSError
        If it cannot be opened; :class:`NotPlainError` if it must not.
    """
    if root is not None:
        path = real_inside(path, root)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    try:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise NotPlainError("it is no plain file", path)
    except BaseException:
        file.close()
        raise
    return file


def read_plain(path: Path | str, limit: int, root: str | None = None) -> bytes:
    """Return the content of a file of at most `limit` bytes; raises like :func:`open_plain`."""
    with open_plain(path, root) as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise NotPlainError(f"it is larger than {limit:,} bytes", path)
    return raw


def load_plain(path: Path | str, size: int) -> NDArray[np.uint8]:
    """Return the `size` bytes that a file has, in memory of their own; raises like `open_plain`.

    No memory map, which ends the process where the file is cut while it is open.
    """
    raw = np.empty(size, np.uint8)
    with open_plain(path) as file:
        if file.readinto(raw.data) != size or file.read(1):  # type: ignore[attr-defined]
            raise NotPlainError(f"it is not {size:,} bytes long", path)
    return raw


def real_inside(path: Path | str, root: str) -> str:
    """Return a path with its links followed; raises NotPlainError if that leaves `root`."""
    if _is_straight(str(path), root):
        return str(path)
    real = os.path.realpath(path)
    if real != root and not real.startswith(root.rstrip(os.sep) + os.sep):
        raise NotPlainError("it leads out of its folder", path)
    return real


def _is_straight(path: str, root: str) -> bool:
    """Whether a path goes down from `root` without a link; asks only about what is below it."""
    if not path.startswith(root + os.sep):
        return False
    parts = path[len(root) + 1 :].split(os.sep)
    steps = (os.sep.join([root, *parts[: n + 1]]) for n in range(len(parts)))
    return os.pardir not in parts and not any(map(os.path.islink, steps))


def _without_waiting(path: str, flags: int) -> int:
    # A pipe opens at once, and is then refused. Windows has no such flag, and no such pipes.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
