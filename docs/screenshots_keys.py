"""Make docs/images/keys*.png: the sheet of keys, many objects at once, the tiles that are ready.

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_keys.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

from fresh import fresh_settings

if __name__ == "__main__":
    fresh_settings()

import napari  # noqa: TID253
from qtpy.QtWidgets import QApplication
from screenshots import settle, wait
from skimage.data import coins  # noqa: TID253

from napari_ditto.ui import samples
from napari_ditto.ui.widgets.dock import DittoDock

CLICKS = [(46, 100), (120, 108), (191, 110), (48, 230), (255, 40), (48, 167), (190, 50)]
BOX = [(103, 184), (147, 228)]


def opened() -> napari.Viewer:
    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 860)
    return viewer


def docked(viewer: napari.Viewer) -> DittoDock:
    dock = DittoDock(viewer)
    viewer.window.add_dock_widget(dock, name="Ditto", area="right")
    settle(1.0)
    viewer.reset_view()
    return dock


def batch(folder: Path) -> None:
    """Many coins at once, then the sheet of keys."""
    viewer = opened()
    viewer.add_image(coins(), name="coins")
    dock = docked(viewer)
    session, act = dock.controller.session, dock.controller.act
    act("batch")
    act("new_boxes")
    viewer.layers["Ditto boxes [coins]"].add_rectangles([BOX])
    act("new_points")
    viewer.layers["Ditto points [coins]"].add(CLICKS)
    viewer.layers["Ditto points [coins]"].selected_data = set()
    wait(lambda: session.offered == len(CLICKS) + 1 or bool(session.error))
    settle()
    viewer.screenshot(str(folder / "keys-batch.png"), canvas_only=False, flash=False)
    act("show_keys")
    settle()
    sheet = next(w for w in QApplication.topLevelWidgets() if w.objectName() == "ditto_key_sheet")
    sheet.grab().save(str(folder / "keys.png"))
    act("show_keys")
    viewer.close()


def tiles(folder: Path) -> None:
    """The middle of a large image, some tiles of it ready."""
    viewer = opened()
    ((data, about, _),) = samples.huge()
    viewer.add_image(data, **about)
    dock = docked(viewer)
    viewer.scene.camera.center = (0, 4000, 4000)
    viewer.scene.camera.zoom = 2.4
    dock.controller.act("show_tiles")
    wait(lambda: len(viewer.layers) > 1 and len(viewer.layers[-1].data) > 30, 300)
    settle()
    viewer.screenshot(str(folder / "keys-tiles.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images")
    batch(target)
    tiles(target)
