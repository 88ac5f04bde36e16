"""A line to type what to look for; on show only where the chosen model reads it."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_ditto.core.routing import MAX_TEXT

TIP = (
    "What the objects are called, in English, e.g. nucleus.\n"
    "Enter finds all of them on this plane; a click finds the one there."
)


class TextPrompt(QWidget):
    """Tells each change once, and that the user wants it found."""

    named = Signal(str)
    """What to look for was changed."""
    wanted = Signal()
    """The user pressed Enter on a name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit(self)
        self.line.setPlaceholderText("nucleus   (Enter finds all)")
        self.line.setMaxLength(MAX_TEXT)
        self.line.setToolTip(TIP)
        self._shown = ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Find", self))
        layout.addWidget(self.line, 1)
        self.line.editingFinished.connect(self._tell)
        self.line.returnPressed.connect(self._ask)

    def show_text(self, text: str | None) -> None:
        """Show a name, or nothing at all where none is read; what is being typed stays."""
        self.setVisible(text is not None)
        if text is not None and text != self._shown:
            self._shown = text
            self.line.setText(text)

    def _tell(self) -> None:
        text = self.line.text().strip()
        if text != self._shown:
            self._shown = text
            self.named.emit(text)

    def _ask(self) -> None:
        self._tell()
        if self._shown:
            self.wanted.emit()
