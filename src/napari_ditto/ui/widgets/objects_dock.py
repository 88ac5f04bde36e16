"""The dock "Ditto objects": what has been accepted, as a table that leads to each object."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_ditto.data.object_records import NO_CLASS
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.export.part import ExportState
from napari_ditto.ui.objects.edit_state import EditState
from napari_ditto.ui.objects_table.rows import COLUMNS, Filter
from napari_ditto.ui.objects_table.state import ObjectsState
from napari_ditto.ui.session import Choice
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.classes_panel import ClassesPanel
from napari_ditto.ui.widgets.docking import Dock
from napari_ditto.ui.widgets.export_row import ExportRow
from napari_ditto.ui.widgets.fold import Fold
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import UprightArea, row
from napari_ditto.ui.widgets.object_buttons import ObjectButtons
from napari_ditto.ui.widgets.objects_table import ObjectsTable
from napari_ditto.ui.widgets.status import StatusPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

TYPING_MILLISECONDS = 150
_ANY = "any"


class ObjectsWidget(Dock):
    """The passive part: draws a state, tells what the user did."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.labels, self.kinds = ChoiceBox(self), ChoiceBox(self)
        self.text = QLineEdit(self)
        self.text.setPlaceholderText("Id, class, model, note")
        self.text.setClearButtonEnabled(True)
        self.below, self.limit = QCheckBox("Score below", self), QDoubleSpinBox(self)
        self.limit.setRange(0, 1)
        self.limit.setSingleStep(0.05)
        self.limit.setValue(0.8)
        self.note, self.message = QLabel(self), QLabel(self)
        self.message.setWordWrap(True)
        self.message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.message.setStyleSheet("color: palette(mid); padding: 24px;")
        self.table = ObjectsTable(self)
        self.editing = ObjectButtons(self)
        self.edit_fold = Fold("Edit objects", self.editing, "Pick, merge, split, delete, renumber")
        self.classes = ClassesPanel(self)
        self.class_fold = Fold("Classes", self.classes, "Names, colours, class of the next object")
        self.exporting = ExportRow(self)
        self.status = StatusPanel(self)
        self._lay_out()
        self._filter_soon = Debounce(self._on_filter, TYPING_MILLISECONDS, self)
        self._connect_widgets()

    def _lay_out(self) -> None:
        inside = QWidget(self)
        folds = QVBoxLayout(inside)
        folds.setContentsMargins(0, 0, 0, 0)
        folds.addWidget(self.edit_fold)
        folds.addWidget(self.class_fold)
        folds.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setSpacing(5)
        layout.addLayout(row(self.labels, self.note, stretch=(3, 2)))
        layout.addLayout(row(self.text, self.kinds, stretch=(3, 2)))
        layout.addLayout(row(self.below, self.limit, stretch=(3, 2)))
        layout.addWidget(self.message, 3)
        layout.addWidget(self.table, 3)
        layout.addWidget(UprightArea(inside), 2)
        layout.addWidget(self.exporting)
        layout.addWidget(self.status)

    def _connect_widgets(self) -> None:
        table, choose = self.table, self.chose.emit
        hear(self, self.labels.picked, lambda key: choose("objects.layer", key))
        for edited in (
            *(self.text.textChanged, self.kinds.picked),
            *(self.below.clicked, self.limit.valueChanged),
        ):
            hear(self, edited, self._filter_soon)
        hear(
            self, table.objects.sorted_by, lambda name, falls: choose("objects.sort", (name, falls))
        )
        hear(self, table.visited, lambda label, zoom: choose("objects.jump", (label, zoom)))
        hear(self, table.classified, lambda ids, kind: choose("objects.class_of", (ids, kind)))
        table.picked.connect(self._pick)
        table.chosen.connect(self._on_chosen)
        table.noted.connect(self._on_noted)
        hear(self, self.classes.chose, choose)
        hear(self, self.editing.chose, choose)
        hear(self, self.editing.acted, self.acted.emit)
        hear(self, self.exporting.acted, self.acted.emit)
        hear(self, self.exporting.chose, choose)
        hear(self, self.status.cancel.clicked, partial(self._act, "cancel"))

    def _act(self, name: str, _: bool = False) -> None:
        self.acted.emit(name)

    def _on_filter(self) -> None:
        key = self.kinds.key
        self.chose.emit(
            "objects.filter",
            Filter(
                self.text.text().strip(),
                None if key in ("", _ANY) else int(key),
                self.limit.value() if self.below.isChecked() else None,
            ),
        )

    def _on_chosen(self, ids: tuple[int, ...]) -> None:
        # A click on one row is a look at it, unless the buttons that work on it are open.
        picked = self.parts.get("objects_edit")
        held = isinstance(picked, EditState) and picked.ids
        if len(ids) > 1 or held or self.edit_fold.is_expanded:
            self._pick(ids)

    def _pick(self, ids: tuple[int, ...]) -> None:
        self.chose.emit("objects_edit.pick", (self._objects().layer, ids))

    def _on_noted(self, label: int) -> None:
        known = self._objects().rows.table.record(label).note
        text = self.ask_text(f"Note on object {label}", known)
        if text:
            self.chose.emit("objects.note", (label, text))

    def _chosen(self, *args: object) -> None:
        # Arrow keys go on through the rows; all other keys the table hands on itself.
        if not self.table.hasFocus():
            super()._chosen(*args)

    def _objects(self) -> ObjectsState:
        return cast("ObjectsState", self.parts.get("objects") or ObjectsState())

    # --- drawing ---------------------------------------------------------------------------------

    def draw(self) -> None:
        """Show the state."""
        objects = self._objects()
        self.labels.show_choices(objects.layers, objects.layer)
        self.note.setText(objects.note)
        self.message.setText(objects.message)
        self.message.setVisible(bool(objects.message))
        self.table.setVisible(not objects.message)
        self._draw_filter(objects)
        self.table.show_state(objects)
        self.classes.show_state(objects)
        editing = self.parts.get("objects_edit")
        if isinstance(editing, EditState):
            self.editing.show_state(editing)
        exporting = self.parts.get("export")
        if isinstance(exporting, ExportState):
            self.exporting.show_state(exporting)
        self.status.show_state(self.state)

    def _draw_filter(self, objects: ObjectsState) -> None:
        wanted = objects.rows.filter
        kinds = [Choice(str(c.id), c.name) for c in objects.classes]
        known = (Choice(_ANY, "All classes"), *kinds, Choice(str(NO_CLASS), "Without a class"))
        key = _ANY if wanted.class_id is None else str(wanted.class_id)
        self.kinds.show_choices(known, key)
        self.kinds.setVisible(bool(kinds))
        header = self.table.horizontalHeader()
        column, falls = objects.rows.sort
        order = Qt.SortOrder.DescendingOrder if falls else Qt.SortOrder.AscendingOrder
        section = COLUMNS.index(column)
        if header is not None and (
            header.sortIndicatorSection() != section or header.sortIndicatorOrder() != order
        ):
            header.blockSignals(True)
            header.setSortIndicator(section, order)
            header.blockSignals(False)


class ObjectsDock(ObjectsWidget):
    """The dock in a napari window, with the controller of its viewer behind it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, which goes by the parameter's name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.open(napari_viewer)
