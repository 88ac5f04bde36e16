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
    """A mouse over a window with the points tool armed, and what it waited for, in ms."""

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
        self.drawn, self.drawing, self.asking, self.jobs, self.waits = [], [], [], [], []
        self._watch()
        qtbot.wait(500)
        self._warm((0, 0, 512, 512), 128)
        for notes in (self.drawn, self.drawing, self.asking, self.jobs, self.waits):
            notes.clear()
        self.load, self.heart = os.getloadavg()[0], Heartbeat(2)

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
        """Move there and rest; note how long it takes to the contour, if there is one."""
        before, start = len(self.drawn), time.perf_counter()
        cpu = time.thread_time()
        self.move(y, x)
        self.asking.append(time.thread_time() - cpu)
        if len(self.drawn) == before:
            self._sleep_until_drawn(1)
        if len(self.drawn) > before:
            self.waits.append(1000 * (self.drawn[before] - start))

    def _sleep_until_drawn(self, seconds):
        """Let Qt wait: a look every millisecond would take Python's lock from the answer."""
        limit = QTimer(singleShot=True)
        limit.timeout.connect(self.arrived.quit)
        limit.start(1000 * seconds)
        self.arrived.exec()
        limit.stop()

    def _warm(self, box, step):
        for y in range(box[0] + step // 2, box[2], step):
            for x in range(box[1] + step // 2, box[3], step):
                self.hover_over(y, x)
                self.qtbot.wait(300)

    def done(self, what):
        """Let go of the window, and return what was found in words."""
        gaps, jobs = self.heart.stop(), [1000 * wall for wall, _ in self.jobs]
        self.viewer.window.remove_dock_widget(self.dock)
        # What the way takes on processors that do nothing else: to ask, the answer, to draw.
        threads = (self.asking, [cpu for _, cpu in self.jobs], self.drawing)
        computing = " + ".join(percentiles(1000 * np.array(part)) for part in threads)
        return (
            f"\n{what}, {len(self.waits)} contours, load {self.load:.1f}: "
            f"{percentiles(self.waits)}; in the job {percentiles(jobs)}; threads compute "
            f"{computing}; event loop p99 {np.percentile(gaps, 99):.0f} ms, "
            f"longest {gaps.max():.0f} ms"
        )


@pytest.fixture
def hand_over(make_napari_viewer, qtbot, monkeypatch):
    """Return what makes a hand over a warm tile of an image of some side."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    return lambda side: Hand(make_napari_viewer(show=True), qtbot, coins((side, side)))


def coins(shape):
    from skimage.data import coins as sample

    tile = sample()
    times = [math.ceil(n / m) for n, m in zip(shape, tile.shape, strict=True)]
    return np.tile(tile, times)[: shape[0], : shape[1]]


def percentiles(values):
    return "p50 {:.0f}, p95 {:.0f} ms".format(*np.percentile(values, (50, 95)))


def seconds(waits):
    return samples_of([wait / 1000 for wait in waits])


@pytest.mark.parametrize("side", [512, 2000])
def test_hover_to_contour(hand_over, qtbot, side, capsys):
    """To a place that the mouse jumps to."""
    hand, rng = hand_over(side), np.random.default_rng(0)
    for _ in range(HOVERS):
        hand.hover_over(*rng.uniform(12, 500, 2))
        qtbot.wait(120)
    with capsys.disabled():
        print(hand.done(f"hover to contour, {side} x {side}"))
        if side == 512:
            report("ditto/hover to contour", seconds(hand.waits), "ms")
    assert len(hand.waits) > HOVERS / 2


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


def test_hover_on_a_path(hand_over, qtbot, capsys):
    """As hands move: from the last event of a stroke to the contour; then a look of .1 to .6 s."""
    hand, rng = hand_over(512), np.random.default_rng(1)
    for stroke in strokes(rng, HOVERS):
        for place in stroke[:-1]:
            hand.move(*place)
            qtbot.wait(10)
        hand.hover_over(*stroke[-1])
        qtbot.wait(int(1000 * rng.uniform(0.1, 0.6)))
    with capsys.disabled():
        print(hand.done("hover on a path"))
        report("ditto/hover to contour, on a path", seconds(hand.waits), "ms")
    assert len(hand.waits) > HOVERS / 3


def test_a_hand_that_wanders(hand_over, qtbot, capsys):
    """Moves of 300 ms at 60 events a second, then a rest: from the last event to the contour."""
    hand, rng, here = hand_over(512), np.random.default_rng(0), np.array([250.0, 250.0])
    for _ in range(HOVERS // 2):
        there = rng.uniform(12, 500, 2)
        for part in np.linspace(0, 1, 18)[1:-1]:
            hand.move(*(here + part * (there - here)))
            qtbot.wait(16)
        hand.hover_over(*there)
        here = there
        qtbot.wait(200)
    with capsys.disabled():
        print(hand.done("a hand that wanders"))
    assert len(hand.waits) > HOVERS / 4
