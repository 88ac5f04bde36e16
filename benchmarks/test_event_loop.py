"""How long the window leaves its user waiting: gaps of the event loop while things are going on.

make bench BENCH=test_event_loop.py, or under Xvfb: xvfb-run -a pytest benchmarks/test_event_loop.py
The figures depend on what else the machine does, so its load is printed with them.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

pytest.importorskip("napari")

from qtpy.QtCore import QCoreApplication, QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QWidget

from tests.ui.heartbeat import Heartbeat

pytestmark = pytest.mark.gui

SECONDS = float(os.environ.get("DITTO_BENCH_SECONDS", "6"))
ACTIONS = ("nothing", "hover", "encode", "propagate", "whole image", "commit on 16k")


class Desk:
    """A window on show with a dock and the bundled model, ready to be used."""

    def __init__(self, viewer, qtbot, add):
        from napari_ditto.ui.widgets.dock import DittoDock

        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(1100, 800)
        add(viewer)
        self.dock = DittoDock(viewer)
        self.dock.confirm = lambda question: True
        viewer.window.add_dock_widget(self.dock, name="Ditto")
        self.controller, self.session = self.dock.controller, self.dock.controller.session
        self.canvas = next(
            w
            for w in self.dock.window().findChildren(QWidget)
            if w.metaObject().className() == "CanvasBackendDesktop"
        )
        self.wait_for(lambda: self.controller._desk.workshop.has("ditto", "auto"))
        self.wait_for(lambda: not self.session.working)

    def wait_for(self, condition, seconds=180.0):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=int(1000 * seconds))

    def click(self, layer, *at):
        layer.add([at])
        self.wait_for(lambda: self.session.has_object or self.session.error)
        assert not self.session.error

    def layer(self, name):
        return next(layer for layer in self.viewer.layers if layer.name.startswith(name))

    def hover(self):
        """Move the mouse along a spiral, 60 times a second."""
        start = time.perf_counter()
        middle = QPointF(self.canvas.width() / 2, self.canvas.height() / 2)
        none, plain = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        while (t := time.perf_counter() - start) < SECONDS:
            place = middle + 200 * QPointF(np.cos(t) * np.cos(3 * t), np.sin(2 * t))
            move = QEvent.Type.MouseMove
            there = QPointF(self.canvas.mapToGlobal(place.toPoint()))
            event = QMouseEvent(move, place, there, none, none, plain)
            QCoreApplication.sendEvent(self.canvas, event)
            # The mouse rests now and then, or nothing would ever be shown.
            self.qtbot.wait(16 if int(2 * t) % 2 else 120)


def coins(viewer):
    from skimage.data import coins

    viewer.add_image(coins(), name="coins")


def huge(viewer):
    from napari_ditto.ui import samples

    ((data, about, _),) = samples.huge()
    viewer.add_image(data, **about)
    viewer.scene.camera.zoom = 3.0


def stack(viewer):
    from napari_ditto.ui import samples

    (image, about, _), (truth, _, _) = samples.stack()
    viewer.add_image(image, **about)
    labels = np.zeros(truth.shape, np.uint32)
    labels[12] = truth[12]
    viewer.add_labels(labels, name="mine", scale=about["scale"])
    viewer.dims.set_current_step(0, 12)


def large(viewer):
    y, x = np.ogrid[:16384, :16384]
    plane = np.zeros((16384, 16384), dtype=np.uint8)
    plane[8000:8400, 8000:8400] = np.where(
        (y[8000:8400] - 8200) ** 2 + (x[:, 8000:8400] - 8200) ** 2 < 150**2, 200, 20
    )
    viewer.add_image(plane, name="16k", contrast_limits=(0, 255))
    viewer.scene.camera.center = (0, 8200, 8200)
    viewer.scene.camera.zoom = 1.0


def tiles(viewer):
    from skimage.data import coins

    viewer.add_image(np.tile(coins(), (5, 4)), name="mosaic", contrast_limits=(0, 255))


SCENES = {
    "nothing": coins, "hover": coins, "encode": huge, "propagate": stack, "whole image": tiles,
    "commit on 16k": large,
}  # fmt: skip


def act(desk, action):
    """Begin; return whether it has ended."""
    session = desk.session
    if action == "propagate":
        state = desk.controller.examples.state
        desk.controller.act("add_example")
        desk.wait_for(lambda: state.rows and not session.working)
        desk.controller.act("follow")
        return lambda: state.followed
    if action == "whole image":
        state = desk.controller.whole.state
        desk.dock.whole.start.click()
        return lambda: state.phase == "idle"
    if action == "commit on 16k":
        desk.controller.act("accept")
        return lambda: session.hint.startswith("Accepted")
    return lambda: False


@pytest.mark.parametrize("action", ACTIONS)
def test_gaps(make_napari_viewer_proxy, qtbot, monkeypatch, capsys, tmp_path, action):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    for name in ("CONFIG", "CACHE", "JOURNAL"):
        monkeypatch.setenv(f"NAPARI_DITTO_{name}", str(tmp_path / name))
    if action == "whole image":
        monkeypatch.setattr("napari_ditto.engine.whole.planning.SIDE", 512)
        monkeypatch.setattr("napari_ditto.engine.whole.planning.HALO", 64)
    desk = Desk(make_napari_viewer_proxy(show=True), qtbot, SCENES[action])
    if action in ("hover", "commit on 16k"):
        desk.controller.act("new_points")
    if action == "commit on 16k":
        desk.click(desk.layer("Ditto points"), 8200, 8200)
        desk.controller.act("accept")  # makes the layer, which napari takes its time for
        desk.wait_for(lambda: desk.session.hint.startswith("Accepted"))
        desk.layer("Ditto points").add([(8100, 8200)])
        desk.session.hint = ""
        desk.wait_for(lambda: desk.session.has_object)
    if action == "whole image":
        desk.dock.whole_fold.expand()
        state = desk.controller.whole.state
        desk.wait_for(lambda: state.cost is not None)
    if action not in ("encode", "hover"):
        qtbot.wait(1500)
    heart, start = Heartbeat(), time.perf_counter()
    ended = act(desk, action)
    if action == "hover":
        desk.hover()
    while not ended() and time.perf_counter() - start < SECONDS:
        qtbot.wait(20)
    gaps = heart.stop()
    with capsys.disabled():
        print(
            f"\n{action}: {len(gaps)} beats in {time.perf_counter() - start:.1f} s, "
            f"p50 {np.percentile(gaps, 50):.1f} ms, p99 {np.percentile(gaps, 99):.1f} ms, "
            f"longest {gaps.max():.0f} ms, {int((gaps > 50).sum())} over 50 ms; "
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
    desk.controller.cancel()
    desk.__dict__.clear()
