"""Where the result of a run goes: a folder beside the image, under a name that is free."""

from __future__ import annotations

import os
from pathlib import Path

ENDING = ".ome.zarr"
_MARK = "-ditto"


def suggest_target(image: Path | None, name: str) -> Path:
    """Return a folder that does not exist: beside the image, or where the user keeps documents.

    Parameters
    ----------
    image : Path or None
        File or folder of the image; None if it lives in memory.
    name : str
        Of the image, where it has no path.
    """
    folder = image.parent if image is not None else None
    if folder is None or not os.access(folder, os.W_OK):
        folder = _documents()
    stem = _stem(image.name if image is not None else name)
    return folder / f"{stem}{_MARK}{ENDING}"


def free_name(target: Path) -> Path:
    """Return the target, or the next like it that does not exist: ``cells-ditto-2.ome.zarr``."""
    stem, number, fresh = _stem(target.name), 2, target
    head, _, last = stem.rpartition("-")
    if head and last.isdigit():
        stem = head
    while fresh.exists():
        fresh = target.with_name(f"{stem}-{number}{ENDING}")
        number += 1
    return fresh


def _stem(name: str) -> str:
    """Return a file name without its ending, fit to be one again."""
    for ending in (ENDING, ".zarr", ".ome.tiff", ".ome.tif"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    else:
        name = Path(name).stem if Path(name).suffix else name
    clean = "".join(c if c.isalnum() or c in "-_." else "-" for c in name.strip())
    return clean.strip("-. ") or "image"


def _documents() -> Path:
    import platformdirs

    documents = Path(platformdirs.user_documents_dir())
    return documents if os.access(documents, os.W_OK) else Path.home()
