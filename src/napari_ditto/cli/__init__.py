"""The command ``napari-ditto``: the headless twin of the dock."""

from __future__ import annotations

from napari_ditto.cli.program import main

__all__ = ["main"]
