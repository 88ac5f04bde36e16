"""A hand on mouse and keyboard: real events at places of a real window, and a count of them.

Events enter at the window, as those of a mouse do, and reach whatever is in front at that place:
a button that is hidden, scrolled away or disabled is not pressed. Works with PyQt6 and PySide6.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import napari  # noqa: TID253
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialogButtonBox,
    QLineEdit,
    QListView,
    QMainWindow,
    QMenu,
    QMenuBar,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QWidget,
)

LEFT = Qt.MouseButton.LeftButton
PLAIN = Qt.KeyboardModifier.NoModifier


def wait(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Let the program work until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        QApplication.processEvents()
        time.sleep(0.005)


def settle(seconds: float = 0.3) -> None:
    """Let the program draw what it has to."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end, "time")


class Hand:
    """What a user does to a napari window with mouse and keyboard.

    Attributes
    ----------
    did : Counter of str
        How often: "click", "drag", "key" (a key or a chord), "text" (a field filled in).
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.did: Counter[str] = Counter()
        mine = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
        self.window = next(w for w in mine if w.windowTitle().startswith(viewer.title))
        self.window.activateWindow()
        self.canvas = next(
            w
            for w in self.window.findChildren(QWidget)
            if w.metaObject().className() == "CanvasBackendDesktop"
        )

    # --- the mouse -------------------------------------------------------------------------------

    def click(self, widget: QWidget, at: QPoint | None = None) -> None:
        """Click a widget that can be seen, after scrolling to it as a wheel would."""
        reveal(widget)
        self._press_at(widget, at or widget.rect().center())
        self.did["click"] += 1

    def click_image(self, *at: float) -> None:
        """Click the canvas at a place of the world, given by its two displayed coordinates."""
        self._press_at(self.canvas, self.place(*at))
        self.did["click"] += 1

    def drag_image(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at one place of the canvas, let go at another."""
        window, points = self._in_window(self.canvas, self.place(*start), self.place(*end))
        QTest.mouseMove(window, points[0])
        QTest.mousePress(window, LEFT, PLAIN, points[0])
        for part in (0.3, 0.6, 1.0):
            step = QPointF(points[0]) + part * QPointF(points[1] - points[0])
            QTest.mouseMove(window, step.toPoint())
            settle(0.02)
        QTest.mouseRelease(window, LEFT, PLAIN, points[1])
        self.did["drag"] += 1
        settle(0.05)

    def point_at(self, *at: float) -> None:
        """Move the mouse over the canvas; that is no step."""
        window, (point,) = self._in_window(self.canvas, self.place(*at))
        QTest.mouseMove(window, point)
        settle(0.05)

    def menu(self, *titles: str) -> None:
        """Choose a menu's entry; each title on the way is a click."""
        bar = self.window.findChildren(QMenuBar)[0]
        menu: QWidget = bar
        for title in titles:
            entry = next(a for a in menu.actions() if plain(a.text()) == title and a.isVisible())
            self._press_at(menu, menu.actionGeometry(entry).center())  # type: ignore[attr-defined]
            self.did["click"] += 1
            opened = entry.menu()
            if isinstance(opened, QMenu):
                wait(opened.isVisible, f"the menu {title}")
                menu = opened
        settle(0.1)

    def press_home(self) -> None:
        """Press napari's button that shows all of the image."""
        buttons = self.window.findChildren(QPushButton)
        self.click(next(b for b in buttons if b.property("mode") == "home"))

    def click_layer(self, name: str) -> None:
        """Click a layer in napari's list of them."""
        for view in (v for v in self.window.findChildren(QListView) if v.isVisible()):
            model = view.model()
            rows = range(model.rowCount() if model else 0)
            for place in (model.index(row, 0) for row in rows):
                if place.data() == name:
                    view.scrollTo(place)
                    self._press_at(view.viewport(), view.visualRect(place).center())
                    self.did["click"] += 1
                    return
        raise LookupError(f"no layer {name}")

    def click_tab(self, tabs: QTabWidget, title: str) -> None:
        """Click the tab whose title begins so."""
        bar = tabs.tabBar()
        index = next(i for i in range(bar.count()) if bar.tabText(i).startswith(title))
        reveal(bar)
        self._press_at(bar, bar.tabRect(index).center())
        self.did["click"] += 1

    def choose(self, box: QComboBox, text: str) -> None:
        """Open a list of choices and click one of them."""
        self.click(box)
        settle(0.2)
        row = next(i for i in range(box.count()) if text in box.itemText(i))
        view = box.view()
        view.scrollTo(box.model().index(row, 0))
        self._press_at(view.viewport(), view.visualRect(box.model().index(row, 0)).center())
        self.did["click"] += 1

    # --- the keyboard ----------------------------------------------------------------------------

    def key(self, chord: str) -> None:
        """Press a key or a chord, such as "Q" or "Ctrl+Z"."""
        pressed = QKeySequence(chord)[0]
        window = self.window.windowHandle()
        QTest.keyClick(window, pressed.key(), pressed.keyboardModifiers())
        self.did["key"] += 1
        settle(0.05)

    def type(self, field: QLineEdit, text: str) -> None:
        """Fill in a field; however long the text, it counts once."""
        field.setFocus()
        field.selectAll()
        QTest.keyClicks(field, text)
        self.did["text"] += 1

    def then_save_as(self, path: Path) -> Callable[[], None]:
        """Prepare to answer a file dialog, which keeps the program waiting; call before opening it.

        Returns
        -------
        callable
            Raises if the dialog never came.
        """
        from qtpy.QtCore import QTimer

        timer, answered = QTimer(), []

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            field = dialog.findChild(QLineEdit, "fileNameEdit") if dialog else None
            if field is None:
                return
            if field.text() != str(path):
                self.type(field, str(path))
            else:
                # The list that completes file names takes the first click for itself.
                self.did["click"] += not answered
                answered.append(path)
                completions = QApplication.activePopupWidget()
                if completions is not None:
                    completions.close()
                buttons = dialog.findChild(QDialogButtonBox)
                QTest.mouseClick(buttons.button(QDialogButtonBox.StandardButton.Save), LEFT)

        def check() -> None:
            timer.stop()
            assert answered, "no file dialog came"

        timer.timeout.connect(answer)
        timer.start(200)
        return check

    # --- places ----------------------------------------------------------------------------------

    def place(self, *at: float) -> QPoint:
        """Return where on the canvas a place of the world lies."""
        camera = self.viewer.scene.camera
        center, zoom = camera.center[-2:], camera.zoom
        y, x = ((a - c) * zoom for a, c in zip(at, center, strict=True))
        return QPoint(round(self.canvas.width() / 2 + x), round(self.canvas.height() / 2 + y))

    def _press_at(self, widget: QWidget, at: QPoint) -> None:
        window, (point,) = self._in_window(widget, at)
        QTest.mouseMove(window, point)
        settle(0.02)
        QTest.mousePress(window, LEFT, PLAIN, point)
        QTest.mouseRelease(window, LEFT, PLAIN, point)
        settle(0.05)

    @staticmethod
    def _in_window(widget: QWidget, *at: QPoint):
        top = widget.window()
        return top.windowHandle(), [widget.mapTo(top, p) for p in at]


def reveal(widget: QWidget) -> None:
    """Scroll to a widget, and make sure that it can be clicked."""
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(widget)
            settle(0.05)
        parent = parent.parentWidget()
    assert widget.isVisible(), f"hidden: {widget.objectName() or widget}"
    assert widget.isEnabled(), f"disabled: {widget.objectName() or widget}"


def plain(title: str) -> str:
    """Return a menu's title without the mark of its key and the plugin that napari appends."""
    return title.replace("&", "").removesuffix(" (Ditto)").rstrip(".… ")
