"""A file or folder that appears when all of it is written, or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_ditto.errors import StoreError

_ZARR = ("zarr.json", ".zgroup", ".zarray")


@contextmanager
def whole_or_nothing(
    path: Path | str, *, what: str = "the file", folder: bool = False, overwrite: bool = False
) -> Iterator[Path]:
    """Yield where to write; that becomes `path` if nothing goes wrong, and else goes away.

    Parameters
    ----------
    path : Path or str
        A new file or folder.
    what : str
        What it is called in messages.
    folder : bool
        Whether a folder will be written.
    overwrite : bool
        Replace what has this name: a file by a file, a zarr folder by a folder, never a link.

    Raises
    ------
    StoreError
        If there is something already, or the disk refuses.
    """
    target = Path(path).expanduser().absolute()
    check_free(target, folder=folder, overwrite=overwrite)
    if not folder and not target.parent.is_dir():
        raise StoreError(
            f"{what} cannot be written: there is no folder {target.parent.name}", where=str(target)
        )
    # The suffixes stay, since formats go by them.
    partial = target.with_name(f".{uuid.uuid4().hex[:8]}.partial.{target.name}")
    try:
        yield partial
        check_free(target, folder=folder, overwrite=overwrite)
        _put_in_place(partial, target)
    except OSError as error:
        raise StoreError(
            f"{what} cannot be written: {error.strerror or error}",
            where=str(target),
            todo="Choose a folder that can be written and has room",
        ) from error
    finally:
        _remove(partial)


def check_free(target: Path, *, folder: bool = False, overwrite: bool = False) -> None:
    """Raise :class:`StoreError` if a name is taken, or what has it is not to be replaced."""
    if not target.exists() and not target.is_symlink():
        return
    kind = "folder" if target.is_dir() else "file"
    if not overwrite:
        raise StoreError(
            f"the {kind} exists already",
            where=str(target),
            todo="Choose another name or allow overwriting.",
        )
    is_zarr = any((target / name).is_file() for name in _ZARR)
    if target.is_symlink() or not (is_zarr if folder else target.is_file()):
        raise StoreError(
            f"this {kind} is not one to replace", where=str(target), todo="Choose another name."
        )


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; an older folder makes room first, and comes back on failure."""
    if not target.is_dir():
        os.replace(partial, target)
        return
    old = target.with_name(f"{partial.name}.old")
    target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _remove(partial: Path) -> None:
    """Take away what is left, with what a library of its own put beside it (SQLite's journal)."""
    shutil.rmtree(partial, ignore_errors=True)
    for left in (partial, *(Path(f"{partial}{end}") for end in ("-journal", "-wal", "-shm"))):
        with suppress(OSError):
            left.unlink()
