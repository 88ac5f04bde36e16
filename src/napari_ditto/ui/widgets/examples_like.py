"""The panel "More like this": where to look, with what, and how sure to be."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.examples.state import ExamplesState
from napari_ditto.ui.session import Choice
from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.choices import ChoiceBox, TickList
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

_PLACES = (
    Choice("plane", "this plane", "All of the plane on show"),
    Choice("view", "this view", "Only what the canvas shows now: quick"),
    Choice("images", "other images", "The planes on show of the images ticked below"),
)

SLIDER_MILLISECONDS = 40
"""A slider that is dragged passes many values; the newest is shown so often."""


class LikePanel(QWidget):
    """Passive, like the dock it is in."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.run = ActionButton("like", self).make_primary()
        self.tune = ActionButton("tune", self)
        self.where, self.tuned = ChoiceBox(self), ChoiceBox(self)
        self.tuned.setToolTip("What the model keeps of the examples, fitted to them before")
        self.images = TickList(self)
        self.tuning, self.found = _text(self), _text(self)
        self.slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slider.setRange(0, 100)
        self.slider.setToolTip("Hide what the model is less sure of; nothing is computed again")
        self.slider.setAccessibleName("Least confidence")
        self.value = QLabel("0.00", self)
        # Told to us or by us last: a state that is drawn while the user slides says nothing new.
        self._threshold = 0.0
        self.value.setMinimumWidth(self.value.fontMetrics().horizontalAdvance("0.00 "))
        self._lay_out()
        self._slide_soon = Debounce(self._tell_slider, SLIDER_MILLISECONDS, self)
        hear(self, self.where.picked, lambda key: self.chose.emit("where", key))
        hear(self, self.tuned.picked, lambda key: self.chose.emit("tuned", key))
        hear(self, self.images.ticked, lambda keys: self.chose.emit("other_images", keys))
        self.slider.valueChanged.connect(self._on_slider)

    def _lay_out(self) -> None:
        self._form = form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Look in", self.where)
        form.addRow("", self.images)
        form.addRow("Tuned", row(self.tuned, self.tune, stretch=(3, 3)))
        form.addRow("", self.tuning)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.addLayout(form)
        layout.addWidget(self.run)
        layout.addWidget(self.found)
        self._sure = QLabel("Least confidence", self)
        layout.addLayout(row(self._sure, self.slider, self.value, stretch=(0, 1, 0)))
        layout.addStretch(1)

    def _on_slider(self, value: int) -> None:
        self.value.setText(f"{value / 100:.2f}")
        self._slide_soon()

    def _tell_slider(self) -> None:
        self._threshold = self.slider.value() / 100
        self.chose.emit("threshold", self._threshold)

    def show_state(self, state: ExamplesState) -> None:
        """Show where, with what, and what was found."""
        self.where.show_choices(_PLACES, state.where)
        self._form.setRowVisible(self.images, state.where == "images")
        self.images.show_choices(state.images, state.other_images)
        self.tuned.show_choices(state.tuned_choices, state.tuned)
        self._form.setRowVisible(self.tuning, bool(state.tuning))
        self.tuning.setText(state.tuning)
        self.found.setText(state.found)
        self.found.setVisible(bool(state.found))
        for widget in (self._sure, self.slider, self.value):
            widget.setVisible(state.has_result)
        if state.threshold != self._threshold:
            self._threshold = state.threshold
            blocker = QSignalBlocker(self.slider)
            self.slider.setValue(round(100 * state.threshold))
            blocker.unblock()
            self.value.setText(f"{state.threshold:.2f}")
        self.run.show_state(state.buttons["like"])
        self.tune.show_state(state.buttons["tune"])


def _text(parent: QWidget) -> QLabel:
    label = QLabel(parent)
    label.setWordWrap(True)
    return label
