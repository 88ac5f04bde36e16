"""The hand stays where it is: tools stay armed, the keyboard stays with the canvas, pens work."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QInputDevice, QMouseEvent, QPointingDevice, QTabletEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.keymap import KEYS
from tests.ui.test_dock import DISCS, Bench, discs

pytestmark = pytest.mark.gui

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
PLAIN = Qt.KeyboardModifier.NoModifier


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    yield
    KEYS.choose({}, {})


class Hand(Bench):
    """A bench whose window is on show, with keys and a pen."""

    def __init__(self, viewer, qtbot, model):
        super().__init__(viewer, qtbot, model)
        self.window = self.dock.window()
        self.canvas = next(
            w
            for w in self.window.findChildren(QWidget)
            if w.metaObject().className() == "CanvasBackendDesktop"
        )
        with qtbot.waitActive(self.window):
            self.window.activateWindow()
        self.canvas.setFocus()

    def settled(self):
        """Wait until nothing is asked, running, or still to be drawn."""
        self.qtbot.wait(10)
        self.until(lambda: not self.session.asked and not self.session.working)
        self.qtbot.wait(10)

    def key(self, key, modifier=PLAIN):
        """Press a key where the keyboard is."""
        focused = QApplication.focusWidget()
        assert focused is not None
        self.qtbot.keyClick(focused, key, modifier)
        self.settled()

    def at(self, y, x):
        camera = self.viewer.scene.camera
        middle = self.canvas.width() / 2, self.canvas.height() / 2
        across, down = (
            (v - c) * camera.zoom for v, c in zip((x, y), camera.center[:-3:-1], strict=True)
        )
        return QPointF(middle[0] + across, middle[1] + down)

    def pen(self, path):
        """Stroke with a pen: Qt makes mouse events of it, and there is no hover before."""
        kind, stylus = QInputDevice.DeviceType.Stylus, QPointingDevice.PointerType.Pen
        device = QPointingDevice("pen", 7, kind, stylus, QInputDevice.Capability.All, 1, 1)
        types = [QEvent.Type.MouseButtonPress, *[QEvent.Type.MouseMove] * (len(path) - 1)]
        for what, place in [
            *zip(types, path, strict=True),
            (QEvent.Type.MouseButtonRelease, path[-1]),
        ]:
            button = NONE if what == QEvent.Type.MouseMove else LEFT
            held = NONE if what == QEvent.Type.MouseButtonRelease else LEFT
            there = QPointF(self.canvas.mapToGlobal(QPoint(0, 0))) + place
            event = QMouseEvent(what, place, there, button, held, PLAIN, device)
            QCoreApplication.sendEvent(self.canvas, event)
            self.qtbot.wait(1)
        self.settled()


@pytest.fixture
def hand(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(900, 700)
    viewer.add_image(discs()[0], name="image")
    hand = Hand(viewer, qtbot, BlobModel())
    qtbot.wait(100)
    yield hand
    # napari looks for what still holds its window; pytest holds this.
    hand.__dict__.clear()


def test_tools_stay_armed_and_keys_stay_with_the_canvas(hand):
    """One walk through everything that is pressed while one clicks."""
    boxes, points = hand.add_boxes(), hand.add_points()
    hand.controller.act("new_boxes")
    hand.settled()
    for layer, mode, say in (
        (boxes, "add_rectangle", lambda: boxes.add_rectangles([[30, 40], [52, 64]])),
        (points, "add", lambda: points.add([DISCS[2]])),
    ):
        hand.viewer.layers.selection.active = layer
        layer.mode = mode
        for action in ("next_proposal", "accept", "undo", "redo", "undo", "clear", "toggle_sign",
                       "toggle_sign", "swap_model", "swap_model", "batch", "batch", "cancel",
                       "show_keys", "show_keys", "segment_all"):  # fmt: skip
            if action == "next_proposal":
                say()
                hand.settled()
            hand.controller.act(action)
            hand.settled()
            assert str(layer.mode) == mode, action
            assert hand.viewer.layers.selection.active == layer, action

    # Every button leaves the keyboard with the canvas, wherever it was before.
    points.add([DISCS[2]])
    hand.settled()
    for name in ("next_proposal", "accept", "undo", "clear", "undo", "redo"):
        hand.dock.model.setFocus()
        assert hand.dock.isAncestorOf(QApplication.focusWidget())
        hand.press(name)
        hand.settled()
        assert not hand.dock.isAncestorOf(QApplication.focusWidget()), name
    points.add([DISCS[3]])
    hand.settled()
    hand.key(Qt.Key.Key_J)
    assert len(points.data) == 0, "a key reaches our layer after a button was pressed"


def test_keys_work_on_every_layer_in_use_and_the_sheet_takes_nothing(hand):
    points = hand.add_points()
    hand.click(points, *DISCS[1])
    hand.press("accept")
    hand.settled()
    for layer in (points, hand.layer("Ditto labels"), hand.layer("image")):
        hand.viewer.layers.selection.active = layer
        hand.key(Qt.Key.Key_K)
        sheet = next(
            w for w in QApplication.topLevelWidgets() if w.objectName() == "ditto_key_sheet"
        )
        assert sheet.isVisible(), layer.name
        assert QApplication.activeWindow() is hand.window
        points.add([DISCS[2]])
        hand.settled()
        assert hand.session.has_object
        hand.key(Qt.Key.Key_J)
        assert not hand.session.has_object, "keys work while the sheet is on show"
        hand.key(Qt.Key.Key_K)
        assert not sheet.isVisible()
    hand.key(Qt.Key.Key_K)
    hand.key(Qt.Key.Key_Escape)
    assert not sheet.isVisible()
    hand.controller.choose("keys.clear", "F9")
    hand.settled()
    assert hand.dock.buttons["clear"].text() == "Clear (F9)"
    points.add([DISCS[2]])
    hand.key(Qt.Key.Key_F9)
    assert len(points.data) == 0


def test_a_pen_taps_and_strokes_like_a_mouse(hand):
    points = hand.add_points()
    place = hand.at(*DISCS[1])
    # Qt makes mouse events of a pen's only where nobody takes the pen's own.
    kind, pen = QInputDevice.DeviceType.Stylus, QPointingDevice.PointerType.Pen
    device = QPointingDevice("pen", 7, kind, pen, QInputDevice.Capability.All, 1, 1)
    press = QTabletEvent(
        QEvent.Type.TabletPress, device, place, place, 0.5, 0, 0, 0, 0, 0, PLAIN, LEFT, LEFT
    )
    press.ignore()
    QCoreApplication.sendEvent(hand.canvas, press)
    assert not press.isAccepted()

    rng = np.random.default_rng(0)
    trembling = [place + QPointF(*rng.uniform(-1.5, 1.5, 2)) for _ in range(12)]
    hand.pen([place, *trembling])
    assert len(points.data) == 1, "a tap that trembles is one click"
    np.testing.assert_allclose(points.data[0], DISCS[1], atol=2)
    assert hand.session.has_object
    hand.controller.act("clear")
    hand.settled()

    boxes, asked = hand.add_boxes(), len(hand.model.asked)
    boxes.mode = "add_polygon_lasso"
    corner = [(30, 40), (30, 64), (52, 64), (52, 40), (30, 40)]
    along = [
        hand.at(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)
        + QPointF(*rng.uniform(-1.5, 1.5, 2))
        for a, b in pairwise(corner)
        for t in np.linspace(0, 1, 12, endpoint=False)
    ]
    hand.pen(along)
    assert len(boxes.data) == 1
    assert hand.session.has_object
    assert len(hand.model.asked) - asked <= 2, "a stroke asks when it ends"
    hand.controller.act("clear")
    hand.settled()

    labels = hand.viewer.add_labels(np.zeros((140, 180), dtype=int), name="brush")
    hand.controller.choose("prompt_layers", (str(labels.unique_id),))
    labels.mode, labels.brush_size = "paint", 6
    hand.settled()
    asked = len(hand.model.asked)
    hand.pen([hand.at(40, 42 + i / 2) + QPointF(0, float(rng.uniform(-1, 1))) for i in range(40)])
    assert labels.data.any()
    hand.until(lambda: hand.session.has_object)
    assert len(hand.model.asked) - asked <= 2, "a brush asks when it is lifted"
