"""The rows of objects as Qt asks for them: one cell at a time, only those on the screen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon

from napari_ditto.data.object_records import NO_CLASS
from napari_ditto.ui.objects_table.rows import COLUMNS, NO_ROWS, Rows, origin
from napari_ditto.ui.widgets.buttons import dot

_Role = Qt.ItemDataRole
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_NUMBERS = ("id", "area", "score")

TITLES = {
    "id": "Id",
    "class": "Class",
    "area": "Area",
    "score": "Score",
    "slice": "Slice",
    "model": "Model",
    "prompts": "Found by",
    "by_hand": "Hand",
}
TIPS = {
    "score": "The model's own estimate of how well the mask fits, from 0 to 1",
    "area": "Pixels times the size of a pixel; in a movie the mean over the time points",
    "prompts": "By your prompts, with everything else on the plane, or like an example",
    "by_hand": "Painted or put together by hand",
}

MOST_MOVED = 2000
"""If more rows than these come or go at once, the table is filled anew."""


class ObjectsModel(QAbstractTableModel):
    """A table over :class:`Rows`; asks by a signal for another order."""

    sorted_by = QtSignal(str, bool)
    refilled = QtSignal()
    """The rows were filled anew: what was selected must be selected again."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows = NO_ROWS
        self._shown: NDArray[np.int64] = NO_ROWS.shown
        self._dots: dict[str, QIcon] = {}

    def show_rows(self, rows: Rows) -> None:
        """Show these; rows that stay are not touched but drawn again."""
        if rows is self.rows:
            return
        old, new = self._shown, rows.shown
        self.rows = rows
        start, old_stop, new_stop = _difference(old, new)
        gone, came = old_stop - start, new_stop - start
        if max(gone, came) > MOST_MOVED:
            self.beginResetModel()
            self._shown = new
            self.endResetModel()
            self.refilled.emit()
            return
        if gone:
            self.beginRemoveRows(QModelIndex(), start, old_stop - 1)
            self._shown = np.concatenate([old[:start], old[old_stop:]])
            self.endRemoveRows()
        if came:
            self.beginInsertRows(QModelIndex(), start, new_stop - 1)
            self._shown = new
            self.endInsertRows()
        if new.size:
            self.dataChanged.emit(self.index(0, 0), self.index(new.size - 1, len(COLUMNS) - 1))

    def label(self, row: int) -> int:
        """Return the id of the object in a row of the table."""
        return int(self._shown[row]) if 0 <= row < self._shown.size else 0

    # --- what Qt asks for ------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return how many objects are shown."""
        return 0 if parent is not None and parent.isValid() else int(self._shown.size)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = int(_Role.DisplayRole)
    ) -> Any:  # noqa: ANN401 - a QVariant
        """Return the title of a column."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        name = COLUMNS[section]
        if role == _Role.DisplayRole:
            places = self.rows.places
            return f"{places.kind} ({places.unit or 'px²'})" if name == "area" else TITLES[name]
        return TIPS.get(name) if role == _Role.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = int(_Role.DisplayRole)) -> Any:  # noqa: ANN401
        """Return what a cell shows."""
        label = self.label(index.row())
        if not index.isValid() or not label:
            return None
        name = COLUMNS[index.column()]
        if role == _Role.DisplayRole:
            return self._text(label, name)
        if role == _Role.TextAlignmentRole:
            return int(_RIGHT if name in _NUMBERS else _LEFT)
        if role == _Role.DecorationRole and name == "class":
            kind = self.rows.table.class_of(label)
            return self._dot(kind.color) if kind else None
        return self._tip(label, name) if role == _Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Ask for another order."""
        if 0 <= column < len(COLUMNS):
            self.sorted_by.emit(COLUMNS[column], order == Qt.SortOrder.DescendingOrder)

    # --- cells -----------------------------------------------------------------------------------

    def _text(self, label: int, name: str) -> str:
        record = self.rows.table.record(label)
        if name == "class":
            kind = self.rows.table.find_class(record.class_id)
            return kind.name if kind else ""
        if name == "area":
            return self._area(label)
        return {
            "id": str(label),
            "score": "" if record.score is None else f"{record.score:.2f}",
            "slice": self._slice(label),
            "model": record.model_name,
            "prompts": origin(record),
            "by_hand": "✓" if record.by_hand else "",
        }[name]

    def _area(self, label: int) -> str:
        row = self.rows.places.row(label)
        size = self.rows.places.sizes[row] if row >= 0 else math.nan
        if math.isnan(size):
            return "…"
        return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"

    def _slice(self, label: int) -> str:
        row = self.rows.places.row(label)
        return self.rows.places.slices(row) if row >= 0 else ""

    def _tip(self, label: int, name: str) -> str:
        record = self.rows.table.record(label)
        if name == "model":
            licence = self.rows.table.models.get(record.model, {}).get("licence", "")
            return "\n".join(filter(None, (record.model, str(licence))))
        if name == "prompts":
            return record.prompts
        if record.class_id == NO_CLASS and name == "class":
            return "Double-click to choose a class"
        return record.note

    def _dot(self, color: str) -> QIcon:
        if color not in self._dots:
            self._dots[color] = dot(color)
        return self._dots[color]


def _difference(old: NDArray[np.int64], new: NDArray[np.int64]) -> tuple[int, int, int]:
    """Return where two lists begin to differ, and where what differs ends in each."""
    least = min(old.size, new.size)
    start = _same(old[:least], new[:least])
    tail = _same(old[start:][::-1], new[start:][::-1])
    return start, old.size - tail, new.size - tail


def _same(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Return how many items agree from the beginning on."""
    least = min(a.size, b.size)
    differ = np.flatnonzero(a[:least] != b[:least])
    return int(differ[0]) if differ.size else least
