"""The live preview in a real window, by real mouse events."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ditto.core.prompts import PointPrompt
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.hover.contour import NAME
from napari_ditto.ui.workshop import Workshop

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Keep settings in our own file, which lies in a temporary folder."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)


def image():
    out = np.zeros((120, 160), dtype=np.uint8)
    out[20:60, 30:70] = out[80:110, 90:140] = 255
    return out


class Window:
    """A viewer with an armed points layer, and a hand on the mouse."""

    def __init__(self, viewer, qtbot):
        from napari_ditto.ui.widgets.dock import DittoDock

        self.viewer, self.qtbot, self.model = viewer, qtbot, BlobModel()
        viewer.add_image(image(), name="image", contrast_limits=(0, 255))
        workshop = Workshop(lambda: EmbeddingCache(directory=None), lambda n, d: self.model)
        self.controller = controller_for(viewer, workshop)
        self.session = self.controller.session
        self.dock = DittoDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="Ditto")
        self.canvas = viewer.window._qt_viewer.canvas
        self.controller.act("new_points")
        self.until(lambda: self.session.ready and not self.session.working)
        self.until(lambda: NAME in viewer.layers)
        self.until(self.is_laid_out)

    def until(self, done):
        self.qtbot.waitUntil(lambda: bool(done()), timeout=20_000)

    def is_laid_out(self):
        """Whether places stay where they are: a window that moves would take the mouse along."""
        before = self.at(0, 0), self.at(100, 100)
        self.qtbot.wait(100)
        return before == (self.at(0, 0), self.at(100, 100))

    def times_asked(self, y, x):
        """Return how often a click there was computed; the screen's own pointer may ask, too."""
        return [asked.points for asked in self.model.asked].count((PointPrompt(y, x),))

    def is_idle(self):
        return not self.controller._runner.is_busy

    def at(self, y, x):
        transform = self.canvas.view.transform * self.canvas.view.scene.transform
        there = transform.map([x, y])
        return QPoint(round(there[0] / there[3]), round(there[1] / there[3]))

    def move(self, y, x):
        QTest.mouseMove(self.canvas.native, self.at(y, x))

    def click(self, y, x):
        none = Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(self.canvas.native, Qt.MouseButton.LeftButton, none, self.at(y, x))

    def turn(self, notches, y, x):
        where = QPointF(self.at(y, x))
        event = QWheelEvent(
            where, QPointF(self.canvas.native.mapToGlobal(self.at(y, x))), QPoint(0, 0),
            QPoint(0, 120 * notches), Qt.MouseButton.NoButton, Qt.KeyboardModifier.ShiftModifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(self.canvas.native, event)

    def contour(self):
        return np.argwhere(np.asarray(self.viewer.layers[NAME].data) > 0)


def test_hover_click_wheel_and_leave(make_napari_viewer, qtbot):
    window = Window(make_napari_viewer(show=True), qtbot)
    viewer, session = window.viewer, window.session
    window.move(40, 50)
    window.until(lambda: window.times_asked(40, 50) and len(window.contour()))
    window.until(window.is_idle)  # a first contour may be drawn while its answer is completed
    assert window.times_asked(40, 50) == 1
    assert session.proposals is None
    assert session.working == ""
    keys = {c.text for c in (*session.target_choices, *session.prompt_choices)}
    assert NAME not in keys

    window.click(40, 50)
    window.until(lambda: session.has_object)
    assert window.times_asked(40, 50) == 1, "the click took over what was shown"
    assert len(viewer.layers["Ditto points [image]"].data) == 1

    window.move(95, 110)
    window.until(lambda: len(window.contour()))
    assert len(window.model.asked[-1].points) == 2

    zoom, step = viewer.scene.camera.zoom, viewer.dims.current_step
    window.turn(2, 95, 110)
    window.until(lambda: window.dock.parts["refine"].threshold == -1.0)
    assert (viewer.scene.camera.zoom, viewer.dims.current_step) == (zoom, step)
    assert viewer.layers.selection.active.name == "Ditto points [image]"

    viewer.mouse_over_canvas = True
    viewer.mouse_over_canvas = False
    assert not len(window.contour())
    window.move(94, 111)
    window.until(lambda: len(window.contour()))
    viewer.layers.selection.active.mode = "pan_zoom"
    window.move(95, 112)
    window.until(lambda: not len(window.contour()))
    viewer.layers.selection.active.mode = "add"
    viewer.dims.ndisplay = 3
    window.move(95, 111)
    qtbot.wait(50)
    assert not len(window.contour())
    assert session.error == ""
    viewer.dims.ndisplay = 2

    viewer.window.remove_dock_widget(window.dock)
    assert NAME not in viewer.layers
    assert window.controller.is_closed
