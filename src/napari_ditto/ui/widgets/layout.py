"""Small pieces of layout that the docks share."""

from __future__ import annotations

from qtpy.QtWidgets import QFrame, QHBoxLayout, QWidget


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
