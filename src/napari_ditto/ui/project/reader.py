"""Dropping a session folder on the window, or File > Open: the dock opens it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_ditto.data.session_folder import is_session

Layers = list[tuple[Any, ...]]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], Layers] | None:
    """Return what opens a session folder; None for anything else."""
    first = path if isinstance(path, str) else path[0]
    return read if is_session(Path(first)) else None


def read(path: str | Sequence[str]) -> Layers:
    """Let the dock of the current viewer open a session; without a viewer return its labels.

    napari takes the one empty entry for "nothing to be added": the dock adds all layers itself,
    once napari has done with the reader.
    """
    from napari import current_viewer

    where = Path(path if isinstance(path, str) else path[0])
    viewer = current_viewer()
    if viewer is None:
        return _labels(where)
    from qtpy.QtCore import QTimer

    from napari_ditto.ui.commands import show_dock

    QTimer.singleShot(0, lambda: show_dock(viewer).controller.choose("project.open", str(where)))
    return [(None,)]


def _labels(path: Path) -> Layers:
    from napari_ditto.data.session_folder import read_session
    from napari_ditto.data.session_pixels import read_labels

    record = read_session(path)
    return [
        (read_labels(path, entry).data, {"name": entry.name}, "labels") for entry in record.labels
    ]
