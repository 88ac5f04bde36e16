"""The panel "Follow": along which axis, how far, what, and where to."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_ditto.ui.examples.state import ExamplesState
from napari_ditto.ui.session import Choice
from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

ONE_PLANE = "This image has one plane only: there is nothing to follow."

_KINDS = (
    Choice("objects", "the same objects", "Each label keeps its id from plane to plane"),
    Choice("cells", "cells that move and divide", "All cells of a movie, with their daughters"),
)
_TARGETS = (
    Choice("same", "the examples' labels", "Planes that you labelled are never overwritten"),
    Choice("new", "a new layer", "Only the examples are kept as they are"),
)


class FollowPanel(QWidget):
    """Passive, like the dock it is in."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axis, self.kind, self.into = ChoiceBox(self), ChoiceBox(self), ChoiceBox(self)
        self.first, self.last = self._plane("First plane"), self._plane("Last plane")
        self.run = ActionButton("follow", self).make_primary()
        self.export = ActionButton("export_tracks", self)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.nothing = QLabel(ONE_PLANE, self)
        self.nothing.setWordWrap(True)
        self._form = form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Along", self.axis)
        form.addRow("Planes", row(self.first, QLabel("to", self), self.last, stretch=(1, 0, 1)))
        form.addRow("Follow", self.kind)
        form.addRow("Into", self.into)
        self._settings = QWidget(self)
        self._settings.setLayout(form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        for widget in (self.nothing, self._settings, self.run, self.text, self.export):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._connect()

    def _plane(self, name: str) -> QSpinBox:
        box = QSpinBox(self)
        box.setAccessibleName(name)
        box.setToolTip(f"{name}, counted from 0, included")
        box.setKeyboardTracking(False)
        return box

    def _connect(self) -> None:
        hear(self, self.axis.picked, lambda key: self.chose.emit("axis", key))
        hear(self, self.kind.picked, lambda key: self.chose.emit("kind", key))
        hear(self, self.into.picked, lambda key: self.chose.emit("into", key))
        hear(self, self.first.valueChanged, lambda value: self.chose.emit("first", value))
        hear(self, self.last.valueChanged, lambda value: self.chose.emit("last", value))

    def show_state(self, state: ExamplesState) -> None:
        """Show the way, and what has come of it."""
        self.nothing.setVisible(not state.axis)
        self._settings.setVisible(bool(state.axis))
        self.axis.show_choices(state.axis_choices, state.axis)
        self.kind.show_choices(_KINDS, state.kind)
        self.into.show_choices(_TARGETS, state.into)
        self._form.setRowVisible(self.into, state.kind == "objects")
        for box, value in ((self.first, state.first), (self.last, state.last)):
            blocker = QSignalBlocker(box)
            box.setRange(0, max(0, state.planes - 1))
            box.setValue(value)
            blocker.unblock()
        self.text.setText(state.followed)
        self.text.setVisible(bool(state.followed))
        self.run.show_state(state.buttons["follow"])
        self.export.show_state(state.buttons["export_tracks"])
        self.export.setVisible(state.kind == "cells")
