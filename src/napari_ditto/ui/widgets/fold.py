"""A part of a dock that opens and closes; closed, it takes one line."""

from __future__ import annotations

from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

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

    toggled = QtSignal(bool)

    def __init__(self, title: str, inside: QWidget, tip: str = "") -> None:
        super().__init__(inside.parentWidget())
        self._title, self.inside = title, inside
        self.button = QPushButton(self)
        self.button.setCheckable(True)
        self.button.setStyleSheet(_STYLE)
        self.button.setToolTip(tip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.button)
        layout.addWidget(inside)
        self.button.toggled.connect(self._show)
        self._show(False)

    def expand(self) -> None:
        """Show what is inside."""
        self.button.setChecked(True)

    def collapse(self) -> None:
        """Hide what is inside."""
        self.button.setChecked(False)

    @property
    def is_expanded(self) -> bool:
        """Whether what is inside is shown."""
        return self.button.isChecked()

    def _show(self, on: bool) -> None:
        self.inside.setVisible(on)
        self.button.setText(f"{'▾' if on else '▸'}  {self._title}")
        self.toggled.emit(on)
