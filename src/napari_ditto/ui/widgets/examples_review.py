"""The panel "Review": a curve of confidence, a table of doubts, and what to do about them."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.core.propagation import Doubt
from napari_ditto.ui.examples.state import ExamplesState
from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.confidence_curve import ConfidenceCurve
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

_HEADS = ("Plane", "Label", "Sure", "Why")
BUTTONS = ("next_doubt", "accept_doubt", "fix_doubt", "delete_doubt")


class DoubtsModel(QAbstractTableModel):
    """The review list as Qt reads it; a thousand lines cost nothing until they are shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.doubts: tuple[tuple[Doubt, str], ...] = ()

    def show_doubts(self, doubts: tuple[tuple[Doubt, str], ...]) -> bool:
        """Take over a list; return whether it is another one."""
        if doubts == self.doubts:
            return False
        self.beginResetModel()
        self.doubts = doubts
        self.endResetModel()
        return True

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of doubts."""
        return len(self.doubts)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of columns."""
        return len(_HEADS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return a cell's text, for the screen and for the tooltip."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        doubt, place = self.doubts[index.row()]
        label = str(doubt.label) if doubt.label else "all"
        reasons = ", ".join(doubt.reasons)
        return (place, label, f"{doubt.confidence:.2f}", reasons)[index.column()]

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:  # noqa: ANN401
        """Return a column's name."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return _HEADS[section]


class ReviewPanel(QWidget):
    """Passive, like the dock it is in."""

    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel(self)
        self.curve = ConfidenceCurve(self)
        self.model = DoubtsModel(self)
        self.table = self._make_table()
        self.buttons = {name: ActionButton(name, self) for name in BUTTONS}
        self.buttons["next_doubt"].make_primary()
        self.keep = QCheckBox("What I fix becomes an example", self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.addWidget(self.text)
        layout.addWidget(self.curve)
        one, two, three, four = self.buttons.values()
        layout.addLayout(row(one, two))
        layout.addLayout(row(three, four))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.keep)
        hear(self, self.curve.picked, lambda position: self.chose.emit("position", position))
        hear(self, self.table.clicked, lambda index: self.chose.emit("doubt", index.row()))
        hear(self, self.table.activated, lambda index: self.chose.emit("doubt", index.row()))
        hear(self, self.keep.clicked, lambda on: self.chose.emit("keep_fixed", on))

    def _make_table(self) -> QTableView:
        table = QTableView(self)
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setWordWrap(False)
        table.setMinimumHeight(5 * table.fontMetrics().height())
        vertical, horizontal = table.verticalHeader(), table.horizontalHeader()
        assert vertical is not None  # noqa: S101 - tables have headers
        assert horizontal is not None  # noqa: S101
        vertical.hide()
        vertical.setDefaultSectionSize(table.fontMetrics().height() + 6)
        horizontal.setStretchLastSection(True)
        horizontal.setResizeContentsPrecision(20)
        for column in range(len(_HEADS) - 1):
            horizontal.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        return table

    def show_state(self, state: ExamplesState) -> None:
        """Show the list, and which of it is looked at."""
        self.text.setText(state.review)
        self.curve.setVisible(bool(state.marks))
        self.curve.show_marks(state.marks, state.shown)
        self.model.show_doubts(state.doubts)
        self._select(state.doubt)
        for name, button in self.buttons.items():
            button.show_state(state.buttons[name])
        self.keep.setChecked(state.keep_fixed)

    def _select(self, number: int) -> None:
        selection = self.table.selectionModel()
        assert selection is not None  # noqa: S101 - it has a model
        blocker = QSignalBlocker(self.table)
        if number < 0:
            selection.clearSelection()
        else:
            flags = QItemSelectionModel.SelectionFlag
            selection.setCurrentIndex(
                self.model.index(number, 0), flags.ClearAndSelect | flags.Rows
            )
        blocker.unblock()
