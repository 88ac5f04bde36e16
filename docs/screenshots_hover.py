"""Make docs/images/live-preview-*.png from the real program: the contour before the click.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_hover.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

from fresh import fresh_settings

fresh_settings()

import napari  # noqa: E402, TID253
import numpy as np  # noqa: E402
from qtpy.QtCore import QPoint, QPointF, Qt  # noqa: E402
from qtpy.QtGui import QWheelEvent  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402
from robot import settle, wait  # noqa: E402
from skimage.data import coins, immunohistochemistry  # noqa: E402, TID253

from napari_ditto.ui.hover.contour import NAME  # noqa: E402
from napari_ditto.ui.widgets.dock import DittoDock  # noqa: E402


class Window:
    """A window with an image, the points tool armed, and a mouse."""

    def __init__(self, name: str, image: np.ndarray) -> None:
        self.viewer = napari.Viewer(show=True, title="napari-ditto")
        self.viewer.window.resize(1280, 860)
        self.viewer.add_image(image, name=name)
        self.dock = DittoDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Ditto", area="right")
        settle(0.5)
        self.viewer.reset_view()
        session = self.dock.controller.session
        self.dock.controller.act("new_points")
        wait(lambda: session.ready and not session.working, "the model is loaded")
        wait(lambda: NAME in self.viewer.layers, "the contour's layer is made")
        settle(0.5)
        self.canvas = self.viewer.window._qt_viewer.canvas

    def at(self, y: float, x: float) -> QPoint:
        transform = self.canvas.view.transform * self.canvas.view.scene.transform
        there = transform.map([x, y])
        return QPoint(round(there[0] / there[3]), round(there[1] / there[3]))

    def rest(self, y: float, x: float) -> None:
        """Hold the mouse there until the contour is there."""
        QTest.mouseMove(self.canvas.native, self.at(y, x))
        wait(lambda: bool(np.any(self.viewer.layers[NAME].data)), "a contour")
        settle()

    def click(self, y: float, x: float) -> None:
        none, session = Qt.KeyboardModifier.NoModifier, self.dock.controller.session
        QTest.mouseClick(self.canvas.native, Qt.MouseButton.LeftButton, none, self.at(y, x))
        wait(lambda: session.has_object, "a mask")
        settle()

    def turn(self, notches: int, y: float, x: float) -> None:
        """Turn the wheel with Shift."""
        where = QPointF(self.at(y, x))
        event = QWheelEvent(
            where, where, QPoint(0, 0), QPoint(0, 120 * notches), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.ShiftModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(self.canvas.native, event)
        settle()

    def save(self, path: Path) -> None:
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        self.viewer.close()


def main(folder: Path) -> None:
    grey = Window("coins", coins())
    grey.click(46, 100)
    grey.dock.refine_fold.expand()
    grey.rest(121, 108)
    grey.save(folder / "live-preview-coins.png")
    colour = Window("tissue", immunohistochemistry())
    colour.viewer.scene.camera.center = (0, 256, 256)
    colour.viewer.scene.camera.zoom = 2.6
    settle()
    colour.rest(256, 256)
    colour.turn(1, 256, 256)
    colour.save(folder / "live-preview-tissue.png")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    target.mkdir(parents=True, exist_ok=True)
    main(target)
