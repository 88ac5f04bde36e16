"""The dock "Ditto": draws a state, tells what the user did, decides nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QFrame,
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
from napari_ditto.ui.keymap import ACTIONS, button_text
from napari_ditto.ui.prompt_layers import COLORS, NEGATIVE, POSITIVE
from napari_ditto.ui.widgets.advanced import AdvancedPanel
from napari_ditto.ui.widgets.buttons import ActionButton, dot
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.status import StatusPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QShowEvent


_ELSEWHERE = ("open_dock", "toggle_sign", "cancel")
"""Actions that have no button, two, or one in another panel."""

SIGN_KEY = ACTIONS["toggle_sign"].keys[0]


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
        names = [name for name in ACTIONS if name not in _ELSEWHERE]
        self.buttons = {name: ActionButton(name, self) for name in names}
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
        form.addRow("Model", _row(self.model, self.buttons["swap_model"], stretch=(3, 2)))
        form.addRow("Labels", self.target)
        button = self.buttons
        layout = QVBoxLayout(self)
        layout.setSpacing(6)
        layout.addLayout(form)
        layout.addWidget(_line())
        layout.addLayout(_row(button["new_points"], button["new_boxes"]))
        layout.addLayout(_row(self.include, self.exclude))
        layout.addLayout(_row(self.proposal, button["next_proposal"]))
        layout.addWidget(button["accept"])
        layout.addWidget(self.keep)
        layout.addLayout(_row(button["undo"], button["redo"]))
        layout.addLayout(_row(button["clear"], button["segment_all"], stretch=(1, 2)))
        layout.addWidget(_line())
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
        other = state.other_model.partition(":")[0]
        self.buttons["swap_model"].setText(button_text("swap_model", f"Use {other}"))
        for button, positive in ((self.include, True), (self.exclude, False)):
            button.show_state(state.buttons["toggle_sign"])
            button.setChecked(state.positive == positive)
            name = "Include" if positive else "Exclude"
            button.setText(name if state.positive == positive else f"{name} ({SIGN_KEY})")
        self.proposal.setText(state.proposal)
        self.keep.setChecked(state.overlap == "keep")
        self.status.show_state(state)
        self.advanced.show_state(state)


WARM_MILLISECONDS = 300
"""After the dock is on show, its model is loaded: the window has been drawn by then."""


class DittoDock(DockWidget):
    """The dock in a napari window, with the controller of its viewer behind it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, which goes by the parameter's name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._window: QWidget | None = None
        self._warm_soon = Debounce(self._warm_up, WARM_MILLISECONDS)
        self._open()

    def _open(self) -> None:
        self.controller = controller_for(self._viewer)
        self.controller.attach(self)
        # When the window goes, it takes us along without asking.
        self.destroyed.connect(self.controller.stop)

    def _warm_up(self) -> None:
        if not self.controller.is_closed:
            self.controller.warm_up()

    def event(self, event: QEvent | None) -> bool:
        """Notice when napari takes the dock out of its window, or puts it back."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.controller.detach(self)
            elif self.controller.is_closed:
                self._open()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow the window we are in, so that its end is noticed; load the model meanwhile."""
        super().showEvent(event)
        self._warm_soon()
        window = self.window()
        if window is not None and window is not self._window:
            window.installEventFilter(self)
            self._window = window

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Drop what runs when the window closes; it may be gone before the answer."""
        closing = event is not None and event.type() == QEvent.Type.Close
        if closing and watched is self._window:
            self.controller.interrupt()
        return False


def _row(*widgets: QWidget, stretch: tuple[int, ...] = ()) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget, share in zip(widgets, stretch or (1,) * len(widgets), strict=True):
        row.addWidget(widget, share)
    return row


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: palette(mid);")
    return line
