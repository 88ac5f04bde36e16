"""Small pieces of layout that the docks share."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QWidget


def row(*widgets: QWidget, stretch: tuple[int, ...] = ()) -> QHBoxLayout:
    """Return widgets side by side."""
    layout = QHBoxLayout()
    for widget, share in zip(widgets, stretch or (1,) * len(widgets), strict=True):
        layout.addWidget(widget, share)
    return layout


def line() -> QFrame:
    """Return a thin line across the dock."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    frame.setStyleSheet("color: palette(mid);")
    return frame


def scrolled(inside: QWidget) -> QScrollArea:
    """Return an area that scrolls up and down where the screen is too low, never sideways."""
    area = QScrollArea()
    area.setWidget(inside)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    bar = area.verticalScrollBar()
    room = bar.sizeHint().width() if bar is not None else 0
    area.setMinimumWidth(inside.minimumSizeHint().width() + room)
    return area
