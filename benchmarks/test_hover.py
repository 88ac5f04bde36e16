"""From the mouse to the contour: the live preview with `ditto` in a real window.

A warm tile: the tile under the mouse is encoded. What is timed ends where the contour is in the
layer; drawing the window is napari's, and on a screen without a graphics card it takes longest.
"""

from __future__ import annotations

import math
import os
import time

import numpy as np
import pytest
from qtpy.QtCore import QEventLoop, QPoint, QTimer
from qtpy.QtTest import QTest

from benchmarks.records import report, samples_of
from tests.ui.heartbeat import Heartbeat

pytestmark = pytest.mark.gui

HOVERS = 60


class Hand:
    """A mouse over a window with the points tool armed."""

    def __init__(self, viewer, qtbot, image):
        from napari_ditto.data.embeddings import EmbeddingCache
        from napari_ditto.ui.assembly import controller_for
        from napari_ditto.ui.widgets.dock import DittoDock
        from napari_ditto.ui.workshop import Workshop

        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(1280, 860)
        viewer.add_image(image, name="image")
        workshop = Workshop(lambda: EmbeddingCache(directory=None))
        self.controller = controller_for(viewer, workshop)
        self.dock = DittoDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="Ditto")
        viewer.reset_view()
        self.canvas = viewer.window._qt_viewer.canvas
        session = self.controller.session
        assert session.model == "ditto"
        self.controller.act("new_points")
        self.until(lambda: session.ready and not session.working)
        self.hover = next(part for part in self.controller.parts if part.name == "hover")
        self.arrived = QEventLoop()
        self.drawn, self.drawing, self.asking, self.jobs = [], [], [], []
        self._watch()
        qtbot.wait(500)

    def _watch(self):
        """Note when a contour is in its layer, and what a job costs its thread."""
        show, foresee = self.hover._stage.show, self.controller._desk.workshop.foresee

        def shown(*given):
            cpu = time.thread_time()
            show(*given)
            self.drawn.append(time.perf_counter())
            self.drawing.append(time.thread_time() - cpu)
            self.arrived.quit()

        def foreseen(*given):
            start, cpu = time.perf_counter(), time.thread_time()
            found = yield from foresee(*given)
            self.jobs.append((time.perf_counter() - start, time.thread_time() - cpu))
            return found

        self.hover._stage.show = shown
        self.controller._desk.workshop.foresee = foreseen

    def until(self, done, seconds=60):
        self.qtbot.waitUntil(lambda: bool(done()), timeout=1000 * seconds)

    def at(self, y, x):
        transform = self.canvas.view.transform * self.canvas.view.scene.transform
        there = transform.map([x, y])
        return QPoint(round(there[0] / there[3]), round(there[1] / there[3]))

    def move(self, y, x):
        QTest.mouseMove(self.canvas.native, self.at(y, x))

    def hover_over(self, y, x):
        """Move there and rest; return the seconds until the contour, None if there is none."""
        before, start = len(self.drawn), time.perf_counter()
        cpu = time.thread_time()
        self.move(y, x)
        self.asking.append(time.thread_time() - cpu)
        if len(self.drawn) == before:
            self._sleep_until_drawn(1)
        return self.drawn[before] - start if len(self.drawn) > before else None

    def _sleep_until_drawn(self, seconds):
        """Let Qt wait: a look every millisecond would take Python's lock from the answer."""
        limit = QTimer(singleShot=True)
        limit.timeout.connect(self.arrived.quit)
        limit.start(1000 * seconds)
        self.arrived.exec()
        limit.stop()

    def warm(self, box, step=100):
        for y in range(box[0] + step // 2, box[2], step):
            for x in range(box[1] + step // 2, box[3], step):
                self.hover_over(y, x)
                self.qtbot.wait(300)

    def close(self):
        self.viewer.window.remove_dock_widget(self.dock)


def coins(shape):
    from skimage.data import coins as sample

    tile = sample()
    times = [math.ceil(n / m) for n, m in zip(shape, tile.shape, strict=True)]
    return np.tile(tile, times)[: shape[0], : shape[1]]


def _computing(hand):
    """What the way takes on processors that do nothing else: to ask, the answer, to draw."""
    parts = (hand.asking, [cpu for _, cpu in hand.jobs], hand.drawing)
    return " + ".join(percentiles(1000 * np.array(part)) for part in parts)


def percentiles(values):
    return "p50 {:.0f}, p95 {:.0f} ms".format(*np.percentile(values, (50, 95)))


@pytest.mark.parametrize("side", [512, 2000])
def test_hover_to_contour(make_napari_viewer, qtbot, side, capsys, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    hand = Hand(make_napari_viewer(show=True), qtbot, coins((side, side)))
    area = (0, 0, 512, 512)
    hand.warm(area, 128)
    rng, load = np.random.default_rng(0), os.getloadavg()[0]
    for notes in (hand.jobs, hand.drawn, hand.drawing, hand.asking):
        notes.clear()
    waits, heart = [], Heartbeat(2)
    for _ in range(HOVERS):
        waited = hand.hover_over(*rng.uniform(12, 500, 2))
        if waited is not None:
            waits.append(1000 * waited)
        qtbot.wait(120)
    gaps = heart.stop()
    jobs = 1000 * np.array(hand.jobs)
    hand.close()
    with capsys.disabled():
        print(
            f"\nhover to contour, {side} x {side}, {len(waits)} of {HOVERS} places, load "
            f"{load:.1f}: {percentiles(waits)}; in the job {percentiles(jobs[:, 0])}; "
            f"threads compute {_computing(hand)}; event loop p99 {np.percentile(gaps, 99):.0f} ms, "
            f"longest {gaps.max():.0f} ms"
        )
        if side == 512:
            report("ditto/hover to contour", samples_of([w / 1000 for w in waits]), "ms")
    assert len(waits) > HOVERS / 2


def strokes(rng, count, low=12, high=500):
    """Yield aimed movements: places 10 ms apart, slow at both ends, 4 to 120 pixels long.

    The speed is that of least jerk (Flash & Hogan 1985, eq. 6), the time as Fitts has it.
    """
    here = rng.uniform(low, high, 2)
    for _ in range(count):
        far, angle = np.exp(rng.uniform(np.log(4), np.log(120))), rng.uniform(0, 2 * np.pi)
        there = here + far * np.array([np.sin(angle), np.cos(angle)])
        there = np.where((there < low) | (there > high), 2 * here - there, there).clip(low, high)
        seconds = 0.1 + 0.06 * np.log2(1 + far)
        t = np.linspace(0, 1, round(100 * seconds) + 1)[1:, None]
        yield here + (10 * t**3 - 15 * t**4 + 6 * t**5) * (there - here)
        here = there


def test_hover_on_a_path(make_napari_viewer, qtbot, capsys, monkeypatch):
    """As hands move: from the last event of a stroke to the contour; then a look of .1 to .6 s."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    hand = Hand(make_napari_viewer(show=True), qtbot, coins((512, 512)))
    hand.warm((0, 0, 512, 512), 128)
    rng, load = np.random.default_rng(1), os.getloadavg()[0]
    hand.jobs.clear()
    waits = []
    for stroke in strokes(rng, HOVERS):
        for place in stroke[:-1]:
            hand.move(*place)
            qtbot.wait(10)
        waited = hand.hover_over(*stroke[-1])
        if waited is not None:
            waits.append(1000 * waited)
        qtbot.wait(int(1000 * rng.uniform(0.1, 0.6)))
    jobs = 1000 * np.array(hand.jobs)
    hand.close()
    with capsys.disabled():
        print(
            f"\nhover on a path, {len(waits)} rests, load {load:.1f}: {percentiles(waits)}; in the "
            f"job {percentiles(jobs[:, 0])}"
        )
        report("ditto/hover to contour, on a path", samples_of([w / 1000 for w in waits]), "ms")
    assert len(waits) > HOVERS / 3


def test_a_hand_that_wanders(make_napari_viewer, qtbot, capsys, monkeypatch):
    """Moves of 300 ms at 60 events a second, then a rest: from the last event to the contour."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    hand = Hand(make_napari_viewer(show=True), qtbot, coins((512, 512)))
    hand.warm((0, 0, 512, 512), 128)
    rng, load = np.random.default_rng(0), os.getloadavg()[0]
    here, waits, heart = np.array([250.0, 250.0]), [], Heartbeat(2)
    for _ in range(HOVERS // 2):
        there = rng.uniform(12, 500, 2)
        for part in np.linspace(0, 1, 18)[1:-1]:
            hand.move(*(here + part * (there - here)))
            qtbot.wait(16)
        waited = hand.hover_over(*there)
        if waited is not None:
            waits.append(1000 * waited)
        here = there
        qtbot.wait(200)
    gaps = heart.stop()
    hand.close()
    with capsys.disabled():
        print(
            f"\na hand that wanders, {len(waits)} rests, load {load:.1f}: {percentiles(waits)}; "
            f"event loop p99 {np.percentile(gaps, 99):.0f} ms, longest {gaps.max():.0f} ms"
        )
    assert len(waits) > HOVERS / 4
