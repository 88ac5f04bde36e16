"""The fold "Project": the session that is open, and the image series that one walks through."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_ditto.ui.project.state import ProjectState
from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

_ACTIONS = (
    *("save_session", "open_session", "open_series", "previous_image", "next_image"),
    *("image_done", "next_undone", "end_series"),
)
CHANGED = "•"
"""Behind the name of a session of which something is not saved."""


class ProjectPanel(QWidget):
    """Passive, like the dock it is in."""

    acted = QtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name, self.progress = QLabel(self), QLabel(self)
        self.progress.setWordWrap(True)
        self.buttons = {action: ActionButton(action, self) for action in _ACTIONS}
        self.buttons["image_done"].setCheckable(True)
        for action, button in self.buttons.items():
            hear(self, button.clicked, partial(self._act, action))
        self._lay_out()
        self.show_state(ProjectState())

    def _lay_out(self) -> None:
        button = self.buttons
        self.walk = QWidget(self)
        walk = QVBoxLayout(self.walk)
        walk.setContentsMargins(0, 0, 0, 0)
        walk.addWidget(self.progress)
        walk.addLayout(row(button["previous_image"], button["next_image"], stretch=(2, 3)))
        walk.addLayout(row(button["image_done"], button["next_undone"], stretch=(2, 3)))
        walk.addWidget(button["end_series"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.name)
        layout.addLayout(row(button["save_session"], button["open_session"]))
        layout.addWidget(button["open_series"])
        layout.addWidget(self.walk)

    def _act(self, action: str, _: bool = False) -> None:
        self.acted.emit(action)

    def show_state(self, state: ProjectState) -> None:
        """Show this and nothing else."""
        mark = f" {CHANGED}" if state.changed else ""
        self.name.setText(f"Session: {state.name or 'not saved yet'}{mark}")
        self.name.setToolTip(state.folder)
        self.walk.setVisible(bool(state.progress))
        self.progress.setText(f"{state.image} — {state.progress}" if state.progress else "")
        for action, button in self.buttons.items():
            if action in state.buttons:
                button.show_state(state.buttons[action])
        self.buttons["image_done"].setChecked(state.done)
