"""Files that many processes write into one folder: whole or not there, and never out of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from napari_ditto.core.plain_file import NotPlainError, read_plain
from napari_ditto.data.scratch import is_orphan, scratch_name

# What stands where a file should be; anything else that goes wrong is the disk's fault.
NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, NotPlainError)

TMP = "tmp"


class RunFiles:
    """Files below a folder, by their names relative to it; OSError if the disk refuses.

    Parameters
    ----------
    folder : Path
        No link in it is followed, nor may it be one itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file; raises one of :data:`NO_FILE` if there is none."""
        return read_plain(self._path(name), limit)

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name, be it a broken link."""
        return os.path.lexists(f"{self.folder}/{name}")

    def scan(self, name: str) -> list[os.DirEntry[str]]:
        """Return what is in a folder, nothing if there is no such folder."""
        try:
            with os.scandir(self._path(name)) as entries:
                return list(entries)
        except FileNotFoundError:
            return []

    def write(self, name: str, raw: bytes) -> None:
        """Put a file in place by one rename; the folder of its folder must be there."""
        scratch, path = self._scratch(), self._path(name, may_be_link=True)
        try:
            with open(scratch, "xb") as file:
                file.write(raw)
            self._put_in_place(scratch, path)
        finally:
            _delete(scratch)

    def remove(self, name: str) -> None:
        """Take something away by one rename, whatever it is, if it is there."""
        scratch, path = self._scratch(), self._path(name, may_be_link=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, scratch)
            _delete(scratch)

    def sweep(self) -> int:
        """Remove what dead processes left half written; return how many files and folders."""
        orphans = [entry.path for entry in self.scan(TMP) if is_orphan(Path(entry.path))]
        for path in orphans:
            _delete(path)
        return len(orphans)

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(
            os.lstat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(self.folder)
            for name in names
        )

    def _path(self, name: str, may_be_link: bool = False) -> str:
        """Return where a file is; raises NotPlainError if a link is on the way there."""
        path = self.folder
        *folders, last = name.split("/")
        for part in ("", *(f"/{folder}" for folder in folders)):
            path += part
            if os.path.islink(path):
                raise NotPlainError("it is a link", path)
        path = f"{path}/{last}"
        if not may_be_link and os.path.islink(path):
            raise NotPlainError("it is a link", path)
        return path

    def _scratch(self) -> str:
        return self._path(f"{TMP}/{scratch_name()}")

    def _put_in_place(self, scratch: str, path: str) -> None:
        try:
            os.replace(scratch, path)
        except FileNotFoundError:
            Path(path).parent.mkdir(exist_ok=True)
            os.replace(scratch, path)
        except (IsADirectoryError, PermissionError):  # the latter is what Windows says
            if not os.path.isdir(path):
                raise
            shutil.rmtree(path)
            os.replace(scratch, path)


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        Path(path).unlink(missing_ok=True)
