"""Make docs/images/whole-image-*.png: a run over a mosaic of coins, from start to a failed tile.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_whole.py [folder [image.zarr]]

Another image, grey and stored as zarr, may take the place of the coins.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr  # noqa: TID253
from screenshots import napari, settle, wait
from skimage.data import coins  # noqa: TID253

from napari_ditto.engine.whole import planning
from napari_ditto.ui.widgets.dock import DittoDock
from napari_ditto.ui.widgets.examples_dock import ExamplesDock

SIDE = 2000
TILE = 512
"""Much smaller than usual, so that a small image has many."""

HOURS = 3600.0


def mosaic(path: Path) -> Path:
    """Write coins, some upside down, and a corner without any."""
    one = coins()
    rows = [np.hstack([one[:, :: (-1) ** (i + j)] for i in range(6)]) for j in range(7)]
    picture = np.vstack(rows)[:SIDE, :SIDE]
    picture[-800:, -900:] = 60
    zarr.create_array(path, data=picture, chunks=(256, 256))
    return path


def opened(image: Path) -> tuple[napari.Viewer, DittoDock]:
    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 860)
    viewer.add_image(zarr.open_array(image, mode="r"), name=image.stem)
    dock = DittoDock(viewer)
    viewer.window.add_dock_widget(dock, name="Ditto", area="right")
    dock.controller.choose("model", "classic")
    dock.confirm = lambda question: True  # type: ignore[method-assign]
    settle(1.0)
    viewer.reset_view()
    dock.whole_fold.expand()
    state = dock.controller.whole.state
    wait(lambda: state.cost is not None or bool(state.trouble), 300)
    settle(1.0)
    return viewer, dock


def shoot(viewer: napari.Viewer, path: Path) -> None:
    settle(1.0)
    viewer.screenshot(str(path), canvas_only=False, flash=False)


def run(viewer: napari.Viewer, dock: DittoDock, folder: Path) -> None:
    """Start, look at the first tiles, cancel, and resume to the end."""
    state, panel = dock.controller.whole.state, dock.whole
    shoot(viewer, folder / "whole-image-start.png")
    panel.start.click()
    wait(lambda: state.counts.done >= 3 or bool(state.error), HOURS)
    settle(1.5)
    shoot(viewer, folder / "whole-image-running.png")
    panel.cancel.click()
    wait(lambda: state.phase == "idle", HOURS)
    wait(lambda: panel.start.text().startswith("Resume"), HOURS)
    shoot(viewer, folder / "whole-image-resume.png")
    panel.start.click()
    settle(1.0)
    wait(lambda: state.phase == "idle", HOURS)
    settle()
    print(panel.status.text())


def fail(image: Path, folder: Path) -> None:
    """Damage one chunk of the image that is on show, and run again."""
    viewer, dock = opened(image)
    viewer.window.resize(1280, 920)
    state, panel = dock.controller.whole.state, dock.whole
    chunk = image / "c" / "4" / "4"
    chunk.write_bytes(b"damaged" + chunk.read_bytes()[7:])
    panel.start.click()
    settle(1.0)
    wait(lambda: state.phase == "idle", HOURS)
    wait(lambda: panel.failures.count() > 0, 60)
    panel.failures.itemClicked.emit(panel.failures.item(0))
    shoot(viewer, folder / "whole-image-failed.png")
    print(panel.status.text(), "|", panel.failures.item(0).text())
    viewer.close()


def examples(viewer: napari.Viewer, folder: Path) -> None:
    """Show the same section in the dock of examples."""
    dock = ExamplesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Ditto examples", area="right", tabify=True)
    dock.tabs.setCurrentWidget(dock.whole)
    settle(1.5)
    shoot(viewer, folder / "whole-image-examples.png")


def main(folder: Path, image: Path | None) -> None:
    if image is None:
        planning.SIDE, planning.HALO = TILE, TILE // 8
    with tempfile.TemporaryDirectory() as parent:
        path = image or mosaic(Path(parent) / "coins.zarr")
        viewer, dock = opened(path)
        run(viewer, dock, folder)
        examples(viewer, folder)
        viewer.close()
        if image is None:
            fail(path, folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    target.mkdir(parents=True, exist_ok=True)
    main(target, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
