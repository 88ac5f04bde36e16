"""Zip archives as lists of small members in memory: nothing is ever unpacked onto the disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from napari_ditto.core.plain_file import open_plain
from napari_ditto.errors import SourceError

MOST_MEMBERS = 1 << 20
LARGEST_MEMBER = 1 << 24
LARGEST_ARCHIVE = 1 << 30


@contextmanager
def new_zip(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Make a new archive; yield what adds a member of a name."""
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
        yield archive.writestr


def read_members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member whose name ends so; other members are refused.

    Parameters
    ----------
    path : Path
        A zip archive.
    suffix : str
        In lower case.

    Raises
    ------
    SourceError
        If it is no such archive, or something in it is larger than it may be.
    """
    try:
        with open_plain(path) as file, _opened(file, path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            foreign = [e.filename for e in entries if not e.filename.lower().endswith(suffix)]
            if foreign or not entries or len(entries) > MOST_MEMBERS:
                raise _refusal(f"it is not a list of {suffix} files", path)
            for entry in entries:
                with archive.open(entry) as member:
                    content = member.read(LARGEST_MEMBER + 1)
                if len(content) > LARGEST_MEMBER:
                    raise _refusal(f"{entry.filename!r:.60} is too large", path)
                yield entry.filename, content
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise _refusal(str(error) or "it is damaged", path) from error


def holds_only(path: Path, suffix: str) -> bool:
    """Whether a file is an archive of members whose names end so, and of nothing else."""
    try:
        with open_plain(path) as file, _opened(file, path) as archive:
            names = [entry.filename.lower() for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return False
    return bool(names) and all(name.endswith(suffix) for name in names)


def _opened(file: BinaryIO, path: Path) -> zipfile.ZipFile:
    # The directory is read whole, and is no larger than the file.
    if path.stat().st_size > LARGEST_ARCHIVE:
        raise _refusal(f"it is larger than {LARGEST_ARCHIVE >> 20:,} MiB", path)
    return zipfile.ZipFile(file)


def _refusal(reason: str, path: Path) -> SourceError:
    return SourceError(f"this zip archive is not read: {reason}", where=str(path))
