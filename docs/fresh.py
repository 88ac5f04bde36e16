"""A program as it is after its installation: no settings, no cache, nothing left from yesterday."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_folder = tempfile.TemporaryDirectory(prefix="ditto-docs-")


def fresh_settings() -> None:
    """Point our folders and napari's settings to empty ones, before napari is imported."""
    root = Path(_folder.name)
    for name in ("CONFIG", "CACHE", "MODELS", "JOURNAL", "TUNED"):
        os.environ[f"NAPARI_DITTO_{name}"] = str(root / name.lower())
    os.environ["NAPARI_CONFIG"] = str(root / "napari.yaml")
