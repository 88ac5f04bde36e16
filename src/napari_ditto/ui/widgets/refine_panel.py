"""How masks are made: the live preview's switch, threshold, smoothing, holes, pieces, size."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_ditto.core.refinement import Refinement
from napari_ditto.ui.hover.part import HoverState
from napari_ditto.ui.hover.refining import FURTHEST, NOTCH
from napari_ditto.ui.keymap import button_text
from napari_ditto.ui.session import Choice
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.hearing import hear

_PIECES = (
    Choice("all", "all", "The mask as the model gives it"),
    Choice("largest", "the largest", "Whatever else is found is left out"),
    Choice("clicked", "those clicked on", "The largest where no click is on the mask"),
)
_THRESHOLD_TIP = (
    "How sure the model must be of a pixel.\n"
    "Shift and the wheel over the image: up takes in more, down less.\n"
    "The next object begins at 50 % again."
)


class RefinePanel(QWidget):
    """Passive, like the dock it is in."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.live = QCheckBox(self)
        self.note = QLabel(self)
        self.note.setWordWrap(True)
        self.threshold = QSlider(Qt.Orientation.Horizontal, self)
        self.threshold.setRange(round(-FURTHEST / NOTCH), round(FURTHEST / NOTCH))
        self.threshold.setInvertedAppearance(True)
        self.threshold.setToolTip(_THRESHOLD_TIP)
        self.chance = QLabel(self)
        self.chance.setMinimumWidth(self.fontMetrics().horizontalAdvance("99.97 %"))
        self.reset = QToolButton(self)
        self.reset.setText("Reset")
        self.reset.setToolTip("Back to the model's own mask")
        self.smooth = QDoubleSpinBox(self)
        self.smooth.setSingleStep(0.5)
        self.smooth.setDecimals(1)
        _set_up(self.smooth, 20, "How far outlines are smoothed")
        self.fill = QCheckBox("Fill holes", self)
        self.fill.setToolTip("What the mask encloses belongs to the object")
        self.pieces = ChoiceBox(self)
        self.least = QSpinBox(self)
        _set_up(self.least, 1_000_000, "Pieces with fewer pixels are left out")
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        threshold = QHBoxLayout()
        threshold.addWidget(self.threshold, 1)
        threshold.addWidget(self.chance)
        threshold.addWidget(self.reset)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.live)
        form.addRow(self.note)
        form.addRow("Threshold", threshold)
        form.addRow("Smooth", self.smooth)
        form.addRow("Pieces", self.pieces)
        form.addRow("Smallest piece", self.least)
        form.addRow("", self.fill)

    def _connect(self) -> None:
        hear(self, self.live.clicked, lambda on: self.chose.emit("hover.on", on))
        hear(
            self,
            self.threshold.valueChanged,
            lambda notches: self.chose.emit("refine.threshold", notches * NOTCH),
        )
        hear(self, self.reset.clicked, lambda _: self.chose.emit("refine.threshold", 0.0))
        hear(self, self.smooth.valueChanged, lambda px: self.chose.emit("refine.smooth", px))
        hear(self, self.fill.clicked, lambda on: self.chose.emit("refine.fill_holes", on))
        hear(self, self.pieces.picked, lambda key: self.chose.emit("refine.pieces", key))
        hear(self, self.least.valueChanged, lambda px: self.chose.emit("refine.min_area", px))

    def show_states(self, hover: HoverState, how: Refinement) -> None:
        """Show what the two parts say."""
        blockers = [QSignalBlocker(w) for w in (self.threshold, self.smooth, self.least)]
        self.live.setText(button_text("toggle_hover"))
        self.live.setChecked(hover.on)
        self.note.setText(hover.note)
        self.note.setVisible(bool(hover.note))
        self.threshold.setValue(round(how.threshold / NOTCH))
        self.chance.setText(_percent(how.probability))
        self.reset.setEnabled(how.threshold != 0)
        self.smooth.setValue(how.smooth)
        self.fill.setChecked(how.fill_holes)
        self.pieces.show_choices(_PIECES, how.pieces)
        self.least.setValue(how.min_area)
        for blocker in blockers:
            blocker.unblock()


def _set_up(box: QSpinBox | QDoubleSpinBox, most: int, tip: str) -> None:
    box.setRange(0, most)
    box.setSuffix(" px")
    box.setSpecialValueText("off")
    box.setKeyboardTracking(False)
    box.setToolTip(tip)


def _percent(chance: float) -> str:
    """Return a chance with as many digits as tell it from none and all."""
    return f"{100 * chance:.{0 if 0.01 < chance < 0.99 else 2}f} %"
