"""The end of the demo: napari with the results, if there is a display."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from napari_ditto.cli.console import Console
from napari_ditto.cli.demo_scenes import Scene
from napari_ditto.cli.doctor import display


def reason_against() -> str:
    """Return why no window is opened, empty if one is."""
    if os.environ.get("CI"):
        return "this is CI"
    if not display():
        return "there is no display"
    if find_spec("napari") is None:
        return "napari is not installed"
    return ""


def show(folder: Path, scenes: Sequence[Scene], console: Console) -> None:
    """Open napari with the dock, the first picture and its labels; return when it is closed."""
    reason = reason_against()
    if reason:
        console.note(f"No window is opened: {reason}.")
        return
    import napari
    import numpy as np
    from qtpy.QtCore import QTimer
    from skimage import data

    from napari_ditto.data.pyramid_labels import PyramidLabels

    viewer = napari.Viewer(title="Ditto demo")
    for number, scene in enumerate(reversed(scenes), 1):
        last = number == len(scenes)
        image = getattr(data, scene.picture)()
        viewer.add_image(image, name=scene.name, visible=last)
        labels = np.asarray(PyramidLabels.open(folder / f"{scene.name}-prompts.zarr").data)
        viewer.add_labels(labels, name=f"{scene.name} labels", visible=last)
    viewer.window.add_plugin_dock_widget("napari-ditto")
    # The dock takes its room when the event loop runs; only then is the canvas as wide as it stays.
    QTimer.singleShot(0, viewer.reset_view)
    console.note("Close the window to end the demo.")
    napari.run()
