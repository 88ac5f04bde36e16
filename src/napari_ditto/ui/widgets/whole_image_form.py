"""The settings of a run over a whole image."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.ui.whole.session import AxisRange
from napari_ditto.ui.whole.state import PARTS, PLACES, PLANES, WholeState
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.fold import Fold
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

MOST_WORKERS = 64


class RangeEditor(QWidget):
    """First and last plane of each axis."""

    edited = QtSignal(object)
    """(axis, first, last), both included."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._shown: tuple[tuple[str, int], ...] = ()
        self.boxes: dict[str, tuple[QSpinBox, QSpinBox]] = {}

    def show_ranges(self, axes: tuple[AxisRange, ...]) -> None:
        """Show these ranges."""
        shown = tuple((axis.name, axis.size) for axis in axes)
        if shown != self._shown:
            self._shown = shown
            self._make(axes)
        for axis in axes:
            for box, value in zip(self.boxes[axis.name], (axis.first, axis.last), strict=True):
                blocker = QSignalBlocker(box)
                box.setValue(value)
                blocker.unblock()

    def _make(self, axes: tuple[AxisRange, ...]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.boxes = {}
        for at, axis in enumerate(axes):
            first, last = self._box(axis, "First"), self._box(axis, "Last")
            self.boxes[axis.name] = (first, last)
            for column, widget in enumerate((QLabel(axis.name), first, QLabel("to"), last)):
                self._grid.addWidget(widget, at, column)

    def _box(self, axis: AxisRange, which: str) -> QSpinBox:
        box = QSpinBox(self)
        box.setRange(0, axis.size - 1)
        box.setKeyboardTracking(False)
        box.setToolTip(f"{which} plane along {axis.name}, counted from 0, included")
        box.setAccessibleName(f"{which} plane along {axis.name}")
        hear(box, box.valueChanged, partial(self._on_edited, axis.name))
        return box

    def _on_edited(self, axis: str, _: int) -> None:
        first, last = self.boxes[axis]
        self.edited.emit((axis, first.value(), last.value()))


class WholeForm(QWidget):
    """Passive; speaks only when the user acts."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.part, self.areas = ChoiceBox(self), ChoiceBox(self)
        self.areas.setToolTip("Shapes drawn on any plane count on all of them")
        self.planes, self.join = ChoiceBox(self), ChoiceBox(self)
        self.join.setToolTip("What becomes of an object that is seen on several planes")
        self.ranges = RangeEditor(self)
        self.target, self.browse = QLineEdit(self), QPushButton("…", self)
        self.target.setToolTip("The folder for the labels, an OME-Zarr")
        self.target.setAccessibleName("Folder for the labels")
        self.browse.setToolTip("Choose another folder")
        self.browse.setFixedWidth(32)
        self._make_advanced()
        self._lay_out()
        self._connect()

    def _make_advanced(self) -> None:
        self.skip_empty = QCheckBox("Skip empty tiles", self)
        self.skip_empty.setToolTip(
            "A tile without contrast is not shown to the model; off: every tile is"
        )
        self.where = ChoiceBox(self)
        self.workers, self.cluster = QSpinBox(self), QLineEdit(self)
        self.workers.setRange(1, MOST_WORKERS)
        self.workers.setKeyboardTracking(False)
        self.workers.setSuffix(" at once")
        self.workers.setToolTip("Tiles that are worked on at the same time; each takes one core")
        self.cluster.setToolTip(
            "Address of a Dask scheduler (tcp://host:8786), its scheduler file, "
            "or local:2 for two workers on this computer"
        )
        self.cluster.setAccessibleName("Dask cluster")

    def _lay_out(self) -> None:
        self._form = form = _form(self)
        form.addRow("Part", self.part)
        form.addRow("", self.areas)
        form.addRow("Planes", self.planes)
        form.addRow("", self.ranges)
        form.addRow("Objects", self.join)
        form.addRow("Save to", row(self.target, self.browse, stretch=(1, 0)))
        advanced = QWidget(self)
        self._more = more = _form(advanced)
        more.addRow(self.skip_empty)
        more.addRow("Work on", self.where)
        more.addRow("", self.workers)
        more.addRow("Cluster", self.cluster)
        self.fold = Fold("More", advanced, "Empty tiles, and who does the work")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.fold)

    def _connect(self) -> None:
        for name in ("part", "areas", "planes", "join", "where"):
            box: ChoiceBox = getattr(self, name)
            hear(self, box.picked, partial(self.chose.emit, f"whole_{name}"))
        hear(self, self.ranges.edited, partial(self.chose.emit, "whole_range"))
        hear(self, self.skip_empty.clicked, partial(self.chose.emit, "whole_skip_empty"))
        hear(self, self.workers.valueChanged, partial(self.chose.emit, "whole_workers"))
        for name in ("target", "cluster"):
            line: QLineEdit = getattr(self, name)
            hear(self, line.editingFinished, partial(self._on_typed, name))
        self._told = {"target": "", "cluster": ""}

    def _on_typed(self, name: str) -> None:
        text = getattr(self, name).text().strip()
        if text != self._told[name]:
            self._told[name] = text
            self.chose.emit(f"whole_{name}", text)

    def show_state(self, state: WholeState) -> None:
        """Show the settings."""
        self.part.show_choices(PARTS, state.part)
        self.areas.show_choices(state.area_choices, state.areas)
        self._form.setRowVisible(self.areas, state.part == "areas")
        self.planes.show_choices(PLANES, state.planes)
        self._form.setRowVisible(self.planes, bool(state.axes))
        self.ranges.show_ranges(state.axes)
        self._form.setRowVisible(self.ranges, bool(state.axes) and state.planes == "range")
        self.join.show_choices(state.join_choices, state.join)
        self._form.setRowVisible(self.join, bool(state.join_choices))
        self._show_line("target", state.target)
        self.skip_empty.setChecked(state.skip_empty)
        self.where.show_choices(PLACES, state.where)
        self.where.setEnabled(not state.why_no_cluster)
        self.where.setToolTip(state.why_no_cluster or "Who does the work")
        blocker = QSignalBlocker(self.workers)
        self.workers.setValue(state.workers)
        blocker.unblock()
        self._more.setRowVisible(self.workers, state.where == "here")
        self._more.setRowVisible(self.cluster, state.where == "dask")
        self._show_line("cluster", state.cluster)

    def _show_line(self, name: str, text: str) -> None:
        """Show a text unless the user is typing one."""
        line: QLineEdit = getattr(self, name)
        if self._told[name] == text or (line.hasFocus() and line.isModified()):
            return
        self._told[name] = text
        line.setText(text)


def _form(parent: QWidget) -> QFormLayout:
    form = QFormLayout() if isinstance(parent, WholeForm) else QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form
