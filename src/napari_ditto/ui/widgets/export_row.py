"""A row with the button that exports labels, and how far that is."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_ditto.ui.export.part import ExportState
from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

_STEPS = 1000


class ExportRow(QWidget):
    """Draws an :class:`~napari_ditto.ui.export.part.ExportState`."""

    acted = Signal(str)
    chose = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = ActionButton("export_labels", self)
        self.stop = QPushButton("Stop", self)
        self.bar, self.text = QProgressBar(self), QLabel(self)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(6)
        self.text.setWordWrap(True)
        # A long path may wrap anywhere it likes, but not widen the dock.
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row(self.button, self.stop, stretch=(3, 1)))
        layout.addWidget(self.bar)
        layout.addWidget(self.text)
        hear(self, self.button.clicked, lambda _: self.acted.emit("export_labels"))
        hear(self, self.stop.clicked, lambda _: self.chose.emit("export.stop", None))
        self.show_state(ExportState())

    def show_state(self, state: ExportState) -> None:
        """Show how far it is."""
        self.button.setEnabled(not state.busy)
        self.stop.setVisible(state.busy)
        self.bar.setVisible(state.busy)
        self.bar.setRange(0, 0 if state.fraction is None else _STEPS)
        self.bar.setValue(0 if state.fraction is None else round(_STEPS * state.fraction))
        self.text.setVisible(bool(state.text))
        self.text.setText(state.text)
        self.text.setToolTip(state.text)
        self.text.setStyleSheet("color: #d55e00;" if state.failed else "")
