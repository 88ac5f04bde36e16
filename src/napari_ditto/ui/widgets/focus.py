"""The keyboard belongs to the canvas, where our keys are; a dock has it only while one types."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

_TYPING = (QAbstractSpinBox, QLineEdit, QPlainTextEdit, QTextEdit)


def give_back_keyboard(widget: QWidget) -> None:
    """Let the window around a widget have the keyboard; napari's hands keys on to the canvas."""
    window = main_window(widget)
    focused = QApplication.focusWidget()
    if window is None or focused is None or not _is_within(focused, widget.window()):
        return
    if not window.isActiveWindow():
        window.activateWindow()
    window.setFocus()


def is_typing() -> bool:
    """Whether the user types a text or a number."""
    return isinstance(QApplication.focusWidget(), _TYPING)


def main_window(widget: QWidget) -> QMainWindow | None:
    """Return the window that a widget belongs to, also while its dock floats."""
    found: QWidget | None = widget
    while found is not None and not isinstance(found, QMainWindow):
        found = found.parentWidget()
    return found


def _is_within(inner: QWidget, outer: QWidget | None) -> bool:
    return outer is not None and (inner is outer or outer.isAncestorOf(inner))
