"""Opening zarr safely: what the metadata may ask of us, checked before the first chunk is read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.core.plain_file import NotPlainError, read_plain
from napari_ditto.data.zarr_rules import MAX_METADATA, METADATA, check_array, check_file
from napari_ditto.errors import DittoError, SourceError

if TYPE_CHECKING:
    import zarr
    from zarr.storage import LocalStore


def safe_store(path: Path, *, read_only: bool = True) -> LocalStore:
    """Return a store that checks all that zarr reads from a folder, see ``zarr_store``."""
    from napari_ditto.data.zarr_store import GuardedStore

    return GuardedStore(path, read_only=read_only)


def open_zarr(path: Path) -> zarr.Array[Any] | zarr.Group:
    """Open a zarr array or group (format 2 or 3) for reading; only metadata is read.

    Consolidated metadata are not used: they may differ from those of the arrays.

    Raises
    ------
    SourceError
        If it is no zarr, or one that is not safe to read.
    """
    import zarr

    from napari_ditto.data.guarded_codecs import guarded

    try:
        node = zarr.open(store=safe_store(path), mode="r", use_consolidated=False)
        return guarded(node) if isinstance(node, zarr.Array) else node
    except DittoError:
        raise
    except Exception as error:
        raise SourceError(
            "cannot open this folder as zarr",
            where=str(path),
            todo="Give the folder that holds zarr.json, .zarray or .zgroup.",
        ) from error


def check_zarr(array: zarr.Array[Any], where: str) -> None:
    """Raise :class:`SourceError` for chunks too large or codecs not known to be safe."""
    check_array(array.metadata.to_dict(), array.metadata.zarr_format, where)


def check_folder(path: Path) -> None:
    """Check the metadata files of a zarr folder and of the folders right inside it.

    For who opens a store without :func:`safe_store`: nothing of zarr is imported.

    Raises
    ------
    SourceError
        If zarr should not open it.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        children = [Path(entry.path) for entry in os.scandir(path) if entry.is_dir()]
        for folder in (path, *children):
            for name in sorted(METADATA):
                _check_one(folder / name, os.path.realpath(path))


def metadata_file(array: zarr.Array[Any]) -> Path | None:
    """Return the file that every readable array on a local disk has, None for other stores."""
    from zarr.storage import LocalStore

    store = array.store_path.store
    if not isinstance(store, LocalStore):
        return None
    name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
    return Path(store.root, array.store_path.path, name)


def local_folder(array: object) -> Path | None:
    """Return the folder of a zarr array on a local disk, None for anything else."""
    if not type(array).__module__.startswith("zarr."):
        return None
    import zarr
    from zarr.storage import LocalStore

    if not isinstance(array, zarr.Array) or not isinstance(array.store, LocalStore):
        return None
    return Path(array.store.root, array.path)


def _check_one(path: Path, home: str) -> None:
    try:
        raw = read_plain(path, MAX_METADATA, home)
    except NotPlainError as error:
        raise SourceError(
            f"a file of this zarr folder is refused: {error.strerror}", where=str(path)
        ) from error
    except OSError:  # not there, or zarr will say why it cannot be read
        return
    check_file(path.name, raw, str(path.parent))
