"""Buttons that carry an action of the key table."""

from __future__ import annotations

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget

from napari_ditto.ui.dockstate import Button
from napari_ditto.ui.keymap import ACTIONS, button_text

# Okabe and Ito's blue; white on it has a contrast of 5.2 to 1.
PRIMARY = """
QPushButton { background-color: #0072b2; color: white; font-weight: 600; padding: 6px; }
QPushButton:hover { background-color: #1a86c6; }
QPushButton:disabled { background-color: transparent; border: 1px solid #0072b2;
  color: #868e93; }
"""


class ActionButton(QPushButton):
    """A button for one action: its name and key on it, its help or the reason against it below."""

    def __init__(self, action: str, parent: QWidget | None = None, *, text: str = "") -> None:
        super().__init__(text or button_text(action), parent)
        self.action, self._label, self._with_key = action, text, not text
        self.setObjectName(f"ditto_{action}")
        self.setToolTip(ACTIONS[action].help)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # The keyboard belongs to the canvas, where our keys are.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def make_primary(self) -> ActionButton:
        """Mark it as the thing to do next."""
        self.setStyleSheet(PRIMARY)
        return self

    def call_it(self, label: str, *, with_key: bool = True) -> None:
        """Give it another label than that of the key table, ``""`` for that one."""
        self._label, self._with_key = label, with_key
        self.setText(button_text(self.action, label) if with_key else label)

    def show_state(self, state: Button, help_text: str = "") -> None:
        """Enable or disable it, say why in the tooltip, and which key does the same now."""
        self.call_it(self._label, with_key=self._with_key)
        self.setEnabled(state.enabled)
        self.setToolTip(state.why or help_text or ACTIONS[self.action].help)


def dot(color: str, size: int = 12) -> QIcon:
    """Return a filled circle."""
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(color))
    painter.setPen(QColor("white"))
    painter.drawEllipse(QRectF(1, 1, size - 2, size - 2))
    painter.end()
    return QIcon(pixmap)
