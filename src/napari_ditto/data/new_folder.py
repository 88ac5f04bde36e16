"""A folder that appears when all of it is written, or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ditto.errors import StoreError


@contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Yield where to write; that becomes `path` if nothing goes wrong, and else goes away.

    Raises
    ------
    StoreError
        If the folder exists, or the disk refuses.
    """
    target = Path(path).expanduser().absolute()
    if target.exists():
        raise StoreError("the folder exists already", where=str(target), todo="Choose another name")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        partial.rename(target)
    except OSError as error:
        raise StoreError(
            f"the tracks cannot be written: {error.strerror or error}",
            where=str(target),
            todo="Choose a folder that can be written and has room",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
