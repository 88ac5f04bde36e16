"""The sheet of keys: floats beside the window, and leaves the keyboard where it is."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QApplication,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.ui.keys.state import Line, Topic

COLUMNS = 3
FOOTER = "K or Esc closes this sheet. Other keys: Preferences > Ditto > Keys."
_CAP = (
    "border: 1px solid palette(mid); border-radius: 4px; padding: 1px 6px;"
    " background: rgba(128, 128, 128, 40); font-weight: 600;"
)
_TITLE = "font-weight: 600; color: #56b4e9; padding-top: 6px;"


class KeySheet(QWidget):
    """A window of its own without the keyboard: keys go on to the canvas while it is on show."""

    def __init__(self) -> None:
        flags = Qt.WindowType.Tool | Qt.WindowType.WindowDoesNotAcceptFocus
        super().__init__(None, flags)
        self.setWindowTitle("Ditto keys")
        self.setObjectName("ditto_key_sheet")
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._layout = QVBoxLayout(self)
        self._inside: QWidget | None = None
        self._topics: Sequence[Topic] = ()
        self._escape: QShortcut | None = None
        footer = QLabel(FOOTER, self)
        footer.setEnabled(False)
        self._layout.addWidget(footer)

    def show_topics(self, topics: Sequence[Topic]) -> None:
        """Show these keys."""
        if topics != self._topics:
            self._draw(topics)
        if not self.isVisible():
            self._stay_above(_main_window())
            self.show()

    def _draw(self, topics: Sequence[Topic]) -> None:
        self._topics = topics
        if self._inside is not None:
            self._layout.removeWidget(self._inside)
            self._inside.deleteLater()
        self._inside = QWidget(self)
        row = QHBoxLayout(self._inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(24)
        for column in in_columns(topics, COLUMNS):
            row.addLayout(_column(column, self._inside))
        self._layout.insertWidget(0, self._inside)

    def _stay_above(self, window: QMainWindow | None) -> None:
        """Look like a window, stay above it at its lower left, and hear its Escape."""
        if window is None:
            return
        self.setStyleSheet(window.styleSheet())
        self.adjustSize()
        corner = window.geometry().bottomLeft()
        self.move(corner.x() + 40, max(0, corner.y() - self.height() - 60))
        self._escape = QShortcut(QKeySequence("Escape"), window)
        self._escape.activated.connect(self.hide)
        self.winId()  # makes the handle
        mine, its = self.windowHandle(), window.windowHandle()
        if mine is not None and its is not None:
            mine.setTransientParent(its)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave Escape to others."""
        super().hideEvent(event)
        if self._escape is not None:
            self._escape.setParent(None)
            self._escape = None


def in_columns(topics: Sequence[Topic], count: int) -> list[list[Topic]]:
    """Return topics in order in columns of about the same length."""
    lines = [len(topic.lines) + 2 for topic in topics]
    share, columns, filled = sum(lines) / count, [[] for _ in range(count)], 0.0  # type: ignore[var-annotated]
    for topic, length in zip(topics, lines, strict=True):
        columns[min(count - 1, int((filled + length / 2) / share))].append(topic)
        filled += length
    return columns


def _column(topics: Sequence[Topic], parent: QWidget) -> QVBoxLayout:
    column = QVBoxLayout()
    for topic in topics:
        title = QLabel(topic.title, parent)
        title.setStyleSheet(_TITLE)
        column.addWidget(title)
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(3)
        for number, line in enumerate(topic.lines):
            _add_line(grid, number, line, parent)
        column.addLayout(grid)
    column.addStretch(1)
    return column


def _add_line(grid: QGridLayout, number: int, line: Line, parent: QWidget) -> None:
    caps = QHBoxLayout()
    caps.setSpacing(4)
    caps.addStretch(1)
    for key in line.keys:
        cap = QLabel(key, parent)
        cap.setStyleSheet(_CAP)
        caps.addWidget(cap)
    label = QLabel(line.label, parent)
    label.setToolTip(line.help)
    grid.addLayout(caps, number, 0)
    grid.addWidget(label, number, 1)


def _main_window() -> QMainWindow | None:
    """Return the window that the user works in."""
    windows = [QApplication.activeWindow(), *QApplication.topLevelWidgets()]
    mains = [w for w in windows if isinstance(w, QMainWindow) and w.isVisible()]
    return mains[0] if mains else None
