"""The folder of the last run that did not come to its end, kept from session to session."""

from __future__ import annotations

import json
from pathlib import Path

from napari_ditto.errors import StoreError
from napari_ditto.ui.settings import settings_path


def remember_run(target: str) -> None:
    """Keep a target in mind, ``""`` to forget it.

    Raises
    ------
    StoreError
        If the folder of the settings cannot be written.
    """
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"target": target}) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise StoreError(
            f"the run cannot be remembered: {error.strerror}", where=str(path.parent)
        ) from error


def remembered_run() -> str:
    """Return the target that was kept; ``""`` if there is none, or if its folder is gone."""
    try:
        told = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""  # never written, or damaged: nothing hangs on it
    target = told.get("target") if isinstance(told, dict) else None
    return target if isinstance(target, str) and target and Path(target).is_dir() else ""


def _path() -> Path:
    return settings_path().with_name("last-run.json")
