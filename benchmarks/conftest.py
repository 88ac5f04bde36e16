"""What all benchmarks share: they keep out of the user's cache, models and settings."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def isolated_folders(tmp_path_factory):
    """Use folders of their own, unless whoever starts the benchmarks has named some."""
    for name in ("CACHE", "MODELS", "CONFIG", "TUNED", "JOURNAL"):
        os.environ.setdefault(f"NAPARI_DITTO_{name}", str(tmp_path_factory.mktemp(name.lower())))
