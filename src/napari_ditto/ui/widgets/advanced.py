"""The settings that most users never need: channels, device, intensity window, prompt layers."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.core.window import Window
from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.session import Choice
from napari_ditto.ui.widgets.choices import ChoiceBox, TickList
from napari_ditto.ui.widgets.everything import EverythingPanel
from napari_ditto.ui.widgets.hearing import hear

_WINDOW_MODES = (
    Choice("sampled", "from a sample", "Percentiles of a small sample of the whole image"),
    Choice("contrast", "layer's contrast limits", "As the layer is shown now"),
    Choice("given", "as typed below", "Edit the values below"),
)


class WindowEditor(QWidget):
    """Lower and upper raw value of each channel."""

    edited = QtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._rows: list[tuple[QDoubleSpinBox, QDoubleSpinBox]] = []
        self._shown: Window | None = None
        self._note = QLabel("known once the image has been read", self)
        self._grid.addWidget(self._note, 0, 0, 1, 2)

    def show_window(self, window: Window | None) -> None:
        """Show the limits; None while they are not known."""
        self._note.setVisible(window is None)
        if window == self._shown:
            return
        self._shown = window
        pairs = list(zip(window.low, window.high, strict=True)) if window else []
        self._fit(len(pairs))
        for boxes, values in zip(self._rows, pairs, strict=True):
            for box, value in zip(boxes, values, strict=True):
                self._set(box, value, span=values[1] - values[0])

    def _fit(self, count: int) -> None:
        while len(self._rows) > count:
            for box in self._rows.pop():
                self._grid.removeWidget(box)
                box.deleteLater()
        while len(self._rows) < count:
            row = len(self._rows) + 1
            boxes = (self._make("low"), self._make("high"))
            for column, box in enumerate(boxes):
                self._grid.addWidget(box, row, column)
            self._rows.append(boxes)

    def _make(self, which: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox(self)
        box.setRange(-1e30, 1e30)
        box.setToolTip(f"Raw value that becomes {'black' if which == 'low' else 'white'}")
        box.setKeyboardTracking(False)
        box.setMinimumWidth(60)
        box.valueChanged.connect(self._on_edited)
        return box

    @staticmethod
    def _set(box: QDoubleSpinBox, value: float, span: float) -> None:
        blocker = QSignalBlocker(box)
        digits = 3 - math.floor(math.log10(span)) if span > 0 else 3
        box.setDecimals(max(0, min(12, digits)))
        box.setSingleStep(span / 50)
        box.setValue(value)
        blocker.unblock()

    def _on_edited(self) -> None:
        pairs = [(low.value(), high.value()) for low, high in self._rows]
        if all(low < high for low, high in pairs):
            self._shown = Window.from_pairs(pairs)
            self.edited.emit(self._shown)


def _diameter_box(parent: QWidget) -> QDoubleSpinBox:
    box = QDoubleSpinBox(parent)
    box.setRange(0.0, 1e6)
    box.setDecimals(0)
    box.setSuffix(" px")
    box.setSpecialValueText("automatic")
    box.setKeyboardTracking(False)
    box.setToolTip(
        "About how large the objects are, in pixels of the image: "
        "the model then looks at fewer sizes and mistakes groups and parts less often"
    )
    return box


class AdvancedPanel(QWidget):
    """Passive, like the dock it is in."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.channel_2, self.channel_3 = ChoiceBox(self), ChoiceBox(self)
        self.diameter = _diameter_box(self)
        self.device = ChoiceBox(self)
        self.window_mode = ChoiceBox(self)
        self.window_editor = WindowEditor(self)
        self.prompt_layers = TickList(self)
        self.prompt_layers.setToolTip(
            "Points, shapes and the selected label of these layers say which object is meant"
        )
        self._form = form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("2nd channel", self.channel_2)
        form.addRow("3rd channel", self.channel_3)
        form.addRow("Object diameter", self.diameter)
        form.addRow("Device", self.device)
        form.addRow("Intensities", self.window_mode)
        form.addRow("", self.window_editor)
        form.addRow("Prompts in", self.prompt_layers)
        self.everything = EverythingPanel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.everything.form.native)
        self._images: tuple[str, ...] = ()
        self._connect()

    def _connect(self) -> None:
        hear(self, self.diameter.valueChanged, lambda value: self.chose.emit("diameter", value))
        hear(self, self.device.picked, lambda key: self.chose.emit("device", key))
        hear(self, self.window_mode.picked, lambda key: self.chose.emit("window_mode", key))
        hear(self, self.window_editor.edited, lambda window: self.chose.emit("window", window))
        self.everything.edited.connect(lambda field, value: self.chose.emit(field, value))
        hear(self, self.prompt_layers.ticked, lambda keys: self.chose.emit("prompt_layers", keys))
        self.channel_2.picked.connect(self._on_channels)
        self.channel_3.picked.connect(self._on_channels)

    def _on_channels(self) -> None:
        extra = [key for key in (self.channel_2.key, self.channel_3.key) if key]
        self.chose.emit("images", (*self._images[:1], *extra))

    def show_state(self, state: DockState) -> None:
        """Show the settings of a state."""
        self._images = state.chosen_images
        second, third, *_ = (*state.chosen_images[1:], "", "")
        others = tuple(c for c in state.images if c.key not in state.chosen_images[:1])
        none = Choice("", "none")
        self.channel_2.show_choices((none, *others), second)
        self.channel_3.show_choices((none, *(c for c in others if c.key != second)), third)
        self.channel_3.setEnabled(bool(second))
        self._form.setRowVisible(self.diameter, state.diameter is not None)
        blocker = QSignalBlocker(self.diameter)
        self.diameter.setValue(state.diameter or 0.0)
        blocker.unblock()
        self.device.show_choices(state.devices, state.device)
        self.window_mode.show_choices(_WINDOW_MODES, state.window_mode)
        self.window_editor.show_window(state.window)
        self.everything.show_limits(state.min_area_px, state.min_score)
        self.prompt_layers.show_choices(state.prompt_layers, state.chosen_prompt_layers)
