"""The strip that offers what an earlier session has left; it is hidden while there is nothing."""

from __future__ import annotations

from functools import partial

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

ANSWERS = {
    "restore": ("Restore", "Show the labels as they were, and go on with them."),
    "discard": (
        "Discard",
        "Offer this no more. It is kept for 30 days: 'napari-ditto journal' lists it.",
    ),
    "later": ("Later", "Ask again the next time, if napari has ended unexpectedly."),
}

# Okabe and Ito's orange, as the hints below.
_STYLE = "QFrame#ditto_unsaved { border: 1px solid #e69f00; border-radius: 3px; }"


class UnsavedStrip(QFrame):
    """One line on what was left, and three answers."""

    answered = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ditto_unsaved")
        self.setStyleSheet(_STYLE)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.buttons = {name: QPushButton(text, self) for name, (text, _) in ANSWERS.items()}
        for name, button in self.buttons.items():
            button.setToolTip(ANSWERS[name][1])
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            hear(self, button.clicked, partial(self._answer, name))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self.text)
        layout.addLayout(row(*self.buttons.values()))
        self.hide()

    def show_text(self, text: str) -> None:
        """Offer this, or hide if there is nothing."""
        self.text.setText(text)
        self.setVisible(bool(text))

    def _answer(self, name: str, _: bool = False) -> None:
        self.answered.emit(name)
