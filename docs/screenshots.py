"""Make docs/images/*.png from the real program: the window, and two results of the demo.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots.py [folder]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import napari  # noqa: TID253
import numpy as np
from qtpy.QtWidgets import QApplication
from skimage.data import coins  # noqa: TID253

from napari_ditto.cli import main as napari_ditto_command
from napari_ditto.ui.widgets.dock import DittoDock

CLICKS = [(46, 100), (120, 108), (191, 110), (48, 230), (125, 225), (255, 40)]


def wait(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the program did not get there")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 0.5) -> None:
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 860)
    viewer.add_image(coins(), name="coins")
    dock = DittoDock(viewer)
    viewer.window.add_dock_widget(dock, name="Ditto", area="right")
    settle()
    viewer.reset_view()
    settle()
    save(dock, folder / "dock_empty.png")
    session, act = dock.controller.session, dock.controller.act
    act("new_points")
    points = viewer.layers["Ditto points [coins]"]
    for y, x in CLICKS:
        points.add([[y, x]])
        wait(lambda: session.has_object or bool(session.error))
        if session.error:
            raise RuntimeError(session.error)
        if (y, x) != CLICKS[-1]:
            act("accept")
            wait(lambda: session.hint.startswith("Accepted") or bool(session.error))
    settle()
    save(dock, folder / "dock.png")
    dock.fold.expand(animate=False)
    settle()
    save(dock, folder / "dock_advanced.png")
    dock.fold.collapse(animate=False)
    settle()
    viewer.screenshot(str(folder / "window.png"), canvas_only=False, flash=False)
    labels = viewer.layers["Ditto labels [coins]"].data
    print(f"{len(np.unique(labels)) - 1} labels; pictures in {folder}")
    viewer.close()


def copy_demo(folder: Path) -> None:
    """Copy what the default model did in the demo."""
    with tempfile.TemporaryDirectory() as parent:
        output = Path(parent) / "demo"
        if napari_ditto_command(["demo", "--no-window", "--output", str(output)]):
            raise RuntimeError("the demo failed")
        for name in ("coins", "tissue"):
            shutil.copy(output / f"{name}-prompts.png", folder / f"demo-{name}.png")


def save(dock: DittoDock, path: Path) -> None:
    dock.grab().save(str(path))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    main(target)
    copy_demo(target)
