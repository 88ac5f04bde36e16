"""A curve of confidence along the planes; a click or an arrow key goes to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_ditto.ui.examples.session import Mark, Position

# Okabe and Ito: vermilion and blue are told apart with any colour vision, on dark and on light.
DOUBTFUL, ANCHOR = "#d55e00", "#0072b2"
MARGIN = 7.0
HEIGHT = 72


class ConfidenceCurve(QWidget):
    """Least confidence of the objects on each plane, anchors and doubtful planes marked."""

    picked = QtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.marks: tuple[Mark, ...] = ()
        self.shown: Position | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Confidence along the planes")
        self.setToolTip("Click on a plane to go there; arrow keys move to the next")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a modest size."""
        return QSize(200, HEIGHT)

    def show_marks(self, marks: Sequence[Mark], shown: Position | None) -> None:
        """Show these planes, and which of them the viewer shows."""
        if (tuple(marks), shown) != (self.marks, self.shown):
            self.marks, self.shown = tuple(marks), shown
            self.update()

    # --- geometry --------------------------------------------------------------------------------

    def _x(self, number: int) -> float:
        room = self.width() - 2 * MARGIN
        return MARGIN + room * (number / max(1, len(self.marks) - 1))

    def _y(self, confidence: float) -> float:
        room = self.height() - 2 * MARGIN
        return MARGIN + room * (1 - min(1.0, max(0.0, confidence)))

    def number_at(self, x: float) -> int:
        """Return the mark nearest to a horizontal position."""
        room = max(1.0, self.width() - 2 * MARGIN)
        part = (x - MARGIN) / room
        return min(len(self.marks) - 1, max(0, round(part * (len(self.marks) - 1))))

    # --- drawing ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw frame, curve, marks and cursor in the colours of the theme."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(self.foregroundRole())
        faint = QColor(ink)
        faint.setAlpha(70)
        painter.setPen(QPen(faint, 1))
        for level in (0.0, 0.5, 1.0):
            y = self._y(level)
            painter.drawLine(QPointF(MARGIN, y), QPointF(self.width() - MARGIN, y))
        if self.marks:
            self._draw_cursor(painter, ink)
            self._draw_curve(painter, ink)
        if self.hasFocus():
            painter.setPen(QPen(faint, 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(0.5, 0.5, self.width() - 1, self.height() - 1))
        painter.end()

    def _draw_cursor(self, painter: QPainter, ink: QColor) -> None:
        number = next((n for n, m in enumerate(self.marks) if m.position == self.shown), None)
        if number is not None:
            painter.setPen(QPen(ink, 1, Qt.PenStyle.DashLine))
            x = self._x(number)
            painter.drawLine(QPointF(x, 1), QPointF(x, self.height() - 1))

    def _draw_curve(self, painter: QPainter, ink: QColor) -> None:
        spots = [QPointF(self._x(n), self._y(m.confidence or 0)) for n, m in enumerate(self.marks)]
        painter.setPen(QPen(ink, 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        known = zip(spots, self.marks, strict=True)
        # Planes without an object are gaps.
        for shown, group in groupby(known, lambda pair: pair[1].confidence is not None):
            if shown:
                painter.drawPolyline(QPolygonF([spot for spot, _ in group]))
        for spot, mark in zip(spots, self.marks, strict=True):
            painter.setPen(Qt.PenStyle.NoPen)
            if mark.confidence is None and not mark.doubtful:
                continue
            if mark.doubtful:
                painter.setBrush(QColor(DOUBTFUL))
                painter.drawEllipse(spot, 4, 4)
            elif mark.anchor:
                painter.setPen(QPen(ink, 1))
                painter.setBrush(QColor(ANCHOR))
                painter.drawRect(QRectF(spot.x() - 3.5, spot.y() - 3.5, 7, 7))
            elif len(self.marks) <= 60:
                painter.setBrush(ink)
                painter.drawEllipse(spot, 2, 2)

    # --- the user --------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Go to the plane under the mouse."""
        if event is not None and self.marks:
            self._pick(self.number_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell the plane under the mouse; dragging goes along the planes."""
        if event is None or not self.marks:
            return
        number = self.number_at(event.position().x())
        mark = self.marks[number]
        where = ", ".join(str(index) for index in mark.position)
        self.setToolTip(f"Plane {where}: {_what(mark)}")
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._pick(number)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Move by one plane; Home and End go to the ends."""
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: len(self.marks) - 1}
        if event is None or not self.marks:
            return
        key = Qt.Key(event.key())
        now = next((n for n, m in enumerate(self.marks) if m.position == self.shown), 0)
        if key in steps:
            self._pick(min(len(self.marks) - 1, max(0, now + steps[key])))
        elif key in ends:
            self._pick(ends[key])
        else:
            super().keyPressEvent(event)

    def _pick(self, number: int) -> None:
        self.picked.emit(self.marks[number].position)


def _what(mark: Mark) -> str:
    if mark.anchor:
        return "labelled by you"
    return "no object" if mark.confidence is None else f"confidence {mark.confidence:.2f}"
