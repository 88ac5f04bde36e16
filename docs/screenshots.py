"""Make docs/images/*.png from the real program: the window, the docks, two results of the demo.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots.py [folder [part ...]]

The parts are window, like, follow, tracks and demo.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from fresh import fresh_settings

if "napari" not in sys.modules:
    fresh_settings()

import napari  # noqa: TID253
import numpy as np
from qtpy.QtWidgets import QApplication
from skimage.data import coins  # noqa: TID253

from napari_ditto.cli import main as napari_ditto_command
from napari_ditto.ui import samples
from napari_ditto.ui.samples import COIN
from napari_ditto.ui.widgets.dock import DittoDock
from napari_ditto.ui.widgets.examples_dock import ExamplesDock

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
    dock.fold.expand()
    settle()
    save(dock, folder / "dock_advanced.png")
    dock.fold.collapse()
    settle()
    viewer.screenshot(str(folder / "window.png"), canvas_only=False, flash=False)
    labels = viewer.layers["Ditto labels [coins]"].data
    print(f"{len(np.unique(labels)) - 1} labels; pictures in {folder}")
    viewer.close()


def examples_dock(viewer: napari.Viewer) -> ExamplesDock:
    """Return the dock of examples of a viewer, with every question answered by yes."""
    dock = ExamplesDock(viewer)
    dock.confirm = lambda question: True  # type: ignore[method-assign]
    viewer.window.add_dock_widget(dock, name="Ditto examples", area="right")
    settle(1.0)
    viewer.reset_view()
    return dock


def finish(dock: ExamplesDock, seconds: float = 900.0) -> None:
    """Wait until nothing runs."""
    session = dock.controller.session
    settle()
    wait(lambda: not session.working, seconds)
    settle()
    if session.error:
        raise RuntimeError(session.error)


def like(folder: Path) -> None:
    """Coins from one coin."""
    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 860)
    viewer.add_image(coins(), name="Coins")
    rows, columns = np.ogrid[:303, :384]
    (y, x), radius = COIN
    disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    viewer.add_labels(disc.astype(np.uint32), name="One coin")
    dock = examples_dock(viewer)
    dock.buttons["add_example"].click()
    finish(dock)
    dock.like.run.click()
    finish(dock)
    viewer.screenshot(str(folder / "examples-like.png"), canvas_only=False, flash=False)
    print("coins from one coin:", dock.like.found.text())
    viewer.close()


def labelled_sample(key: str, at: int) -> tuple[napari.Viewer, ExamplesDock]:
    """Open a sample with its truth on one plane as the user's labels."""
    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 860)
    image, truth = (napari.layers.Layer.create(*entry) for entry in getattr(samples, key)())
    viewer.add_layer(image)
    labels = np.zeros(truth.data.shape, np.uint32)
    labels[at] = truth.data[at]
    place = {name: getattr(image, name) for name in ("scale", "axis_labels", "units")}
    viewer.add_labels(labels, name="My labels", **place)
    viewer.dims.set_current_step(0, at)
    dock = examples_dock(viewer)
    dock.buttons["add_example"].click()
    finish(dock)
    return viewer, dock


def follow(folder: Path) -> None:
    """Follow nuclei through a stack, and look at the first doubt."""
    viewer, dock = labelled_sample("stack", 12)
    dock.tabs.setCurrentWidget(dock.follow)
    dock.follow.run.click()
    finish(dock)
    save(dock, folder / "examples-follow.png")
    dock.tabs.setCurrentWidget(dock.review)
    dock.review.buttons["next_doubt"].click()
    finish(dock)
    viewer.screenshot(str(folder / "examples-review.png"), canvas_only=False, flash=False)
    print("stack:", dock.follow.text.text())
    viewer.close()


def tracks(folder: Path) -> None:
    """Follow dividing cells through a movie."""
    viewer, dock = labelled_sample("movie", 10)
    dock.tabs.setCurrentWidget(dock.follow)
    dock.follow.run.click()
    finish(dock)
    viewer.layers["My labels"].visible = False
    settle()
    viewer.screenshot(str(folder / "examples-tracks.png"), canvas_only=False, flash=False)
    print("movie:", dock.follow.text.text())
    viewer.close()


def copy_demo(folder: Path) -> None:
    """Copy what the default model did in the demo."""
    with tempfile.TemporaryDirectory() as parent:
        output = Path(parent) / "demo"
        if napari_ditto_command(["demo", "--no-window", "--output", str(output)]):
            raise RuntimeError("the demo failed")
        for name in ("coins", "tissue"):
            shutil.copy(output / f"{name}-prompts.png", folder / f"demo-{name}.png")


def save(dock: DittoDock | ExamplesDock, path: Path) -> None:
    dock.grab().save(str(path))


PARTS = {"window": main, "like": like, "follow": follow, "tracks": tracks, "demo": copy_demo}

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    target.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[2:] or PARTS:
        PARTS[part](target)
