"""A line to type what to look for; on show only where the chosen model reads it."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_ditto.core.routing import MAX_TEXT

TIP = (
    "What the objects are called, in English, e.g. nucleus.\n"
    "Enter finds all of them on this plane; a click finds the one there."
)


class TextPrompt(QLineEdit):
    """Tells each change once, and that the user wants it found."""

    named = Signal(str)
    """What to look for was changed."""
    wanted = Signal()
    """The user pressed Enter on a name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText("nucleus   (Enter finds all)")
        self.setMaxLength(MAX_TEXT)
        self.setToolTip(TIP)
        self._shown = ""
        self.editingFinished.connect(self._tell)
        self.returnPressed.connect(self._ask)

    def show_text(self, text: str) -> None:
        """Show a name; what is being typed stays."""
        if text != self._shown:
            self._shown = text
            self.setText(text)

    def _tell(self) -> None:
        text = self.text().strip()
        if text != self._shown:
            self._shown = text
            self.named.emit(text)

    def _ask(self) -> None:
        self._tell()
        if self._shown:
            self.wanted.emit()
