"""Where the little that is remembered between sessions lies."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def config_folder() -> Path:
    """Return the folder of settings (``NAPARI_DITTO_CONFIG``, else the user's)."""
    import platformdirs

    chosen = os.environ.get("NAPARI_DITTO_CONFIG")
    return Path(chosen or platformdirs.user_config_dir("napari-ditto", appauthor=False))


def write_whole(path: Path, text: str) -> None:
    """Write a small file beside its place and move it there, so that it is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
