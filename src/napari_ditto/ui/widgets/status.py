"""The status line, and progress with Cancel for whatever takes long."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.widgets.buttons import ActionButton

PATIENCE_MILLISECONDS = 400
"""Progress that comes and goes faster than this only flickers."""

_COLORS = {"ready": "", "busy": "", "hint": "#e69f00", "error": "#ff6a5c"}


class StatusPanel(QWidget):
    """One line of state, and below it a bar that appears once a job takes a while."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLabel(self)
        self.line.setWordWrap(True)
        self.line.setMinimumHeight(2 * self.line.fontMetrics().lineSpacing())
        self.line.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.cancel = ActionButton("cancel", self)
        self.work = QWidget(self)
        row = QHBoxLayout(self.work)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 2)
        row.addWidget(self.cancel, 1)
        keep = self.work.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self.work.setSizePolicy(keep)
        self.work.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.work)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(PATIENCE_MILLISECONDS)
        self._patience.timeout.connect(self.work.show)

    def show_state(self, state: DockState) -> None:
        """Show the status line and, while busy, the progress."""
        if self.line.text() != state.status:
            self.line.setText(state.status)
        color = _COLORS[state.mood]
        self.line.setStyleSheet(f"color: {color};" if color else "")
        self.bar.setRange(0, 0 if state.fraction is None else 100)
        if state.fraction is not None:
            self.bar.setValue(round(100 * state.fraction))
        self.cancel.show_state(state.buttons["cancel"])
        if not state.busy:
            self._patience.stop()
            self.work.hide()
        elif not self.work.isVisibleTo(self) and not self._patience.isActive():
            self._patience.start()
