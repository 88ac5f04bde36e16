"""Classes: their names and colours, the one of the next object, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.data.object_records import COLORS, MAX_TEXT, NO_CLASS, ObjectClass
from napari_ditto.ui.keymap import KEYS
from napari_ditto.ui.keys.spelling import shown
from napari_ditto.ui.objects_table.state import ObjectsState
from napari_ditto.ui.widgets.buttons import dot
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import UprightArea

_EMPTY = "No classes yet. Add one for each kind of object that you tell apart."
_MOST_HEIGHT = 150


class ClassesPanel(QWidget):
    """Draws the classes, tells what the user wants of them."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[ObjectClass, ...] = ()
        self.rows: list[ClassRow] = []
        self.next = ChoiceBox(self)
        self.empty = QLabel(_EMPTY, self)
        self.empty.setWordWrap(True)
        self.add = QPushButton("Add a class", self)
        self.add.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.per_layer = QCheckBox("A Labels layer for each class", self)
        self.per_layer.setToolTip(
            "On: an accepted object goes into the layer of its class, made when first needed.\n"
            "Off: all objects lie in one layer, and the class is what is known of them."
        )
        self.by_class = QCheckBox("Show the colours of the classes", self)
        self.by_class.setToolTip("Off: each object has a colour of its own")
        self._list = QWidget(self)
        self._places = QVBoxLayout(self._list)
        self._places.setContentsMargins(0, 0, 0, 0)
        self._places.setSpacing(2)
        self._area = UprightArea(self._list)
        self._lay_out()
        hear(self, self.next.picked, lambda key: self.chose.emit("objects.current", int(key)))
        self.add.clicked.connect(self._on_add)
        hear(self, self.per_layer.clicked, lambda on: self.chose.emit("objects.per_layer", on))
        hear(self, self.by_class.clicked, lambda on: self.chose.emit("objects.by_class", on))

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        keys = KEYS["next_class"]
        key = f" ({shown(keys[0])})" if keys else ""
        form.addRow(f"Next object{key}", self.next)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.empty)
        layout.addWidget(self._area)
        layout.addWidget(self.add)
        layout.addLayout(form)
        layout.addWidget(self.by_class)
        layout.addWidget(self.per_layer)

    def show_state(self, state: ObjectsState) -> None:
        """Show the classes and what is chosen."""
        self._show_rows(state)
        self.next.show_choices(state.class_choices, str(state.current))
        some = bool(state.classes)
        self.empty.setVisible(not some)
        self._area.setVisible(some)
        for widget in (self.next, self.per_layer, self.by_class):
            widget.setEnabled(some)
        self.per_layer.setChecked(state.per_layer)
        self.by_class.setChecked(state.by_class)

    def _show_rows(self, state: ObjectsState) -> None:
        self._classes = state.classes
        while len(self.rows) > len(state.classes):
            self.rows.pop().deleteLater()
        while len(self.rows) < len(state.classes):
            row = ClassRow(self._list)
            hear(row, row.changed, partial(self._on_changed, len(self.rows)))
            hear(row, row.removed, partial(self._on_removed, len(self.rows)))
            self.rows.append(row)
            self._places.addWidget(row)
        for row, kind in zip(self.rows, state.classes, strict=True):
            row.show_class(kind, state.counts.get(kind.id, 0))
        height = self._list.sizeHint().height() + 2
        self._area.setFixedHeight(min(height, _MOST_HEIGHT))

    def _on_add(self) -> None:
        self._tell((*self._classes, new_class(self._classes)))

    def _on_changed(self, number: int, kind: ObjectClass) -> None:
        classes = list(self._classes)
        classes[number] = kind
        self._tell(classes)

    def _on_removed(self, number: int) -> None:
        self._tell([c for i, c in enumerate(self._classes) if i != number])

    def _tell(self, classes: Sequence[ObjectClass]) -> None:
        self.chose.emit("objects.classes", tuple(classes))


class ClassRow(QWidget):
    """One class: its colour, its name, how many objects have it."""

    changed = QtSignal(object)
    removed = QtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = ObjectClass(1, "?", "#000000")
        self.color, self.name = QToolButton(self), QLineEdit(self)
        self.color.setToolTip("Choose a colour")
        self.name.setMaxLength(MAX_TEXT)
        self.count, self.remove = QLabel(self), QToolButton(self)
        self.count.setMinimumWidth(36)
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.count.setToolTip("Objects of this class in the labels on show")
        self.remove.setText("×")
        self.remove.setToolTip("Remove the class; its objects stay, without a class")
        for button in (self.color, self.remove):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.color)
        layout.addWidget(self.name, 1)
        layout.addWidget(self.count)
        layout.addWidget(self.remove)
        self.name.editingFinished.connect(self._on_named)
        self.color.clicked.connect(self._on_color)
        hear(self, self.remove.clicked, lambda _: self.removed.emit())

    def show_class(self, kind: ObjectClass, count: int) -> None:
        """Show a class; a name that is being typed stays."""
        self.kind = kind
        self.color.setIcon(dot(kind.color, 16))
        self.count.setText(f"{count:,}")
        if not self.name.hasFocus() and self.name.text() != kind.name:
            blocker = QSignalBlocker(self.name)
            self.name.setText(kind.name)
            blocker.unblock()

    def _on_named(self) -> None:
        name = self.name.text().strip()
        if name and name != self.kind.name:
            self.changed.emit(replace(self.kind, name=name))
        else:
            self.name.setText(self.kind.name)

    def _on_color(self) -> None:
        chosen = QColorDialog.getColor(QColor(self.kind.color), self, f"Colour of {self.kind.name}")
        if chosen.isValid() and chosen.name() != self.kind.color:
            self.changed.emit(replace(self.kind, color=chosen.name()))


def new_class(classes: Sequence[ObjectClass]) -> ObjectClass:
    """Return a class that is not among these: another number, name and, while there are, colour."""
    number = max((c.id for c in classes), default=NO_CLASS) + 1
    names, taken = {c.name for c in classes}, {c.color for c in classes}
    name = next(n for i in range(len(names) + 1) if (n := f"class {number + i}") not in names)
    free = [color for color in COLORS if color not in taken]
    return ObjectClass(number, name, (*free, COLORS[number % len(COLORS)])[0])
