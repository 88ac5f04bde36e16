"""A part of a dock that opens and closes; closed, it takes one line."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_ditto.ui.widgets.focus import give_back_keyboard

_STYLE = "QPushButton { text-align: left; padding: 4px 8px; }"


class Fold(QWidget):
    """A button with what it shows and hides; unlike superqt's it follows what it holds in size.

    Parameters
    ----------
    title : str
        On the button.
    inside : QWidget
        Hidden at first.
    tip : str
        What is inside.
    """

    def __init__(self, title: str, inside: QWidget, tip: str = "") -> None:
        super().__init__(inside.parentWidget())
        self._title, self.inside, self._is_expanded = title, inside, False
        self.button = QPushButton(self)
        self.button.setStyleSheet(_STYLE)
        self.button.setToolTip(tip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.button)
        layout.addWidget(inside)
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.clicked.connect(self._turn)
        self._show(False)

    @property
    def is_expanded(self) -> bool:
        """Whether what is inside is shown."""
        return self._is_expanded

    def expand(self) -> None:
        """Show what is inside."""
        self._show(True)

    def collapse(self) -> None:
        """Hide what is inside."""
        self._show(False)

    def _turn(self) -> None:
        self._show(not self._is_expanded)
        give_back_keyboard(self)

    def _show(self, on: bool) -> None:
        self._is_expanded = on
        self.inside.setVisible(on)
        self.button.setText(f"{'▾' if on else '▸'}  {self._title}")
