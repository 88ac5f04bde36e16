"""The dock "Ditto": draws a state, tells what the user did, decides nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.prompt_layers import COLORS, NEGATIVE, POSITIVE
from napari_ditto.ui.widgets.advanced import AdvancedPanel
from napari_ditto.ui.widgets.buttons import ActionButton, dot
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.status import StatusPanel


class DockWidget(QWidget):
    """A passive :class:`~napari_ditto.ui.views.DockView`."""

    acted = Signal(str)
    chose = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = DockState()
        self._draw_soon = Debounce(self._draw)
        self._make_widgets()
        self._lay_out()
        self._connect_widgets()

    def _make_widgets(self) -> None:
        self.image, self.target = ChoiceBox(self), ChoiceBox(self)
        self.model = ChoiceBox(self, free_text=True)
        names = ("new_points", "new_boxes", "next_proposal", "accept", "undo", "redo", "clear")
        self.buttons = {name: ActionButton(name, self) for name in (*names, "segment_all")}
        self.buttons["accept"].make_primary()
        self.include = ActionButton("toggle_sign", self, text="Include")
        self.exclude = ActionButton("toggle_sign", self, text="Exclude")
        self.include.setIcon(dot(COLORS[POSITIVE]))
        self.exclude.setIcon(dot(COLORS[NEGATIVE]))
        for button in (self.include, self.exclude):
            button.setCheckable(True)
        self.proposal = QLabel(self)
        self.keep = QCheckBox("Keep existing labels", self)
        self.keep.setToolTip(
            "On: pixels that belong to another label stay with it.\n"
            "Off: the new label takes them over."
        )
        self.status = StatusPanel(self)
        self.advanced = AdvancedPanel(self)
        self.fold = QCollapsible("Advanced", self, "▾", "▸")
        self.fold.setDuration(0)
        self.fold.addWidget(self.advanced)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image)
        form.addRow("Model", self.model)
        form.addRow("Labels", self.target)
        grid = QGridLayout()
        grid.addWidget(self.buttons["new_points"], 0, 0)
        grid.addWidget(self.buttons["new_boxes"], 0, 1)
        grid.addWidget(self.include, 1, 0)
        grid.addWidget(self.exclude, 1, 1)
        grid.addWidget(_line(), 2, 0, 1, 2)
        grid.addWidget(self.proposal, 3, 0)
        grid.addWidget(self.buttons["next_proposal"], 3, 1)
        grid.addWidget(self.buttons["accept"], 4, 0, 1, 2)
        grid.addWidget(self.keep, 5, 0, 1, 2)
        history = QHBoxLayout()
        for name in ("undo", "redo", "clear"):
            history.addWidget(self.buttons[name])
        layout = QVBoxLayout(self)
        layout.setSpacing(6)
        layout.addLayout(form)
        layout.addLayout(grid)
        layout.addLayout(history)
        layout.addWidget(_line())
        layout.addWidget(self.buttons["segment_all"])
        layout.addWidget(self.status)
        layout.addWidget(self.fold)
        layout.addStretch(1)

    def _connect_widgets(self) -> None:
        for name, button in (*self.buttons.items(), ("cancel", self.status.cancel)):
            button.clicked.connect(partial(self._act, name))
        self.include.clicked.connect(partial(self._on_sign, True))
        self.exclude.clicked.connect(partial(self._on_sign, False))
        self.image.picked.connect(lambda key: self.chose.emit("images", (key,)))
        self.model.picked.connect(lambda key: self.chose.emit("model", key))
        self.target.picked.connect(lambda key: self.chose.emit("target", key))
        self.keep.clicked.connect(self._on_keep)
        self.advanced.chose.connect(lambda field, value: self.chose.emit(field, value))

    def _act(self, name: str, _: bool = False) -> None:
        self.acted.emit(name)

    def _on_sign(self, positive: bool, _: bool = False) -> None:
        if positive != self._state.positive:
            self.acted.emit("toggle_sign")
        self._draw_soon()

    def _on_keep(self, keep: bool) -> None:
        self.chose.emit("overlap", "keep" if keep else "replace")

    # --- DockView ------------------------------------------------------------------------------

    def show_state(self, state: DockState) -> None:
        """Show this state once the event loop is idle; of several only the last is drawn."""
        self._state = state
        self._draw_soon()

    def confirm(self, question: str) -> bool:
        """Ask the user before something long."""
        answer = QMessageBox.question(self, "Ditto", question)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _draw(self) -> None:
        state = self._state
        self.image.show_choices(state.images, (*state.chosen_images, "")[0])
        self.model.show_choices(state.models, state.model)
        self.target.show_choices(state.targets, state.target)
        for name, button in self.buttons.items():
            button.show_state(state.buttons[name])
        for button, positive in ((self.include, True), (self.exclude, False)):
            button.show_state(state.buttons["toggle_sign"])
            button.setChecked(state.positive == positive)
        self.proposal.setText(state.proposal)
        self.keep.setChecked(state.overlap == "keep")
        self.status.show_state(state)
        self.advanced.show_state(state)


class DittoDock(DockWidget):
    """The dock in a napari window, with the controller of its viewer behind it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, which goes by the parameter's name.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.controller = controller_for(napari_viewer)
        self.controller.attach(self)
        self._window: QObject | None = None
        self.destroyed.connect(partial(self.controller.detach, self))

    def showEvent(self, event: Any) -> None:
        """Follow the window we are in, so that its end is noticed."""
        super().showEvent(event)
        window = self.window()
        if window is not self._window:
            window.installEventFilter(self)
            self._window = window

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Cancel what runs when the window closes; it may be gone before the answer."""
        if event.type() == QEvent.Type.Close and watched is self._window:
            self.controller.cancel()
        return False


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: palette(mid);")
    return line
