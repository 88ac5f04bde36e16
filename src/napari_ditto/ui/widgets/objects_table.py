"""The table of objects: select rows to go there, double-click for a close look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction, QKeyEvent, QKeySequence  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QMenu,
    QTableView,
    QWidget,
)

from napari_ditto.data.object_records import NO_CLASS, ObjectClass
from napari_ditto.ui.objects_table.rows import COLUMNS
from napari_ditto.ui.objects_table.state import ObjectsState
from napari_ditto.ui.widgets.buttons import dot
from napari_ditto.ui.widgets.focus import give_back_keyboard, main_window
from napari_ditto.ui.widgets.objects_model import ObjectsModel

_WIDTHS = {"id": 48, "class": 102, "area": 88, "score": 58, "slice": 82, "model": 70,
           "prompts": 82, "by_hand": 48}  # fmt: skip
_OWN_KEYS = (
    *(Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown),
    *(Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_Tab, Qt.Key.Key_Backtab),
)
_SELECT = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
_ADD = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows


class ObjectsTable(QTableView):
    """A view of :class:`ObjectsModel`; speaks only when the user acts."""

    visited = QtSignal(int, bool)
    """An object is to be shown; whether with a close look."""
    classified = QtSignal(tuple, int)
    """Objects are to get a class."""
    chosen = QtSignal(tuple)
    """These rows are selected now."""
    picked = QtSignal(tuple)
    """Objects are to be picked for editing."""
    noted = QtSignal(int)
    """A note is to be written about an object."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objects = ObjectsModel(self)
        self._classes: Sequence[ObjectClass] = ()
        self._selected, self._quiet, self._layer = 0, False, ""
        self._kept: tuple[int, ...] = ()
        self.setModel(self.objects)
        self._set_up()
        self.objects.refilled.connect(self._select_again)
        self.doubleClicked.connect(self._on_double_click)
        self.customContextMenuRequested.connect(self._on_menu)
        selection = self.selectionModel()
        assert selection is not None  # noqa: S101 - a view with a model has one
        self._selection = selection
        selection.selectionChanged.connect(self._on_selection)

    def _set_up(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None  # noqa: S101 - tables have both
        assert columns is not None  # noqa: S101
        rows.hide()
        # A height that is asked of every row takes seconds for thousands of them.
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 8)
        columns.setHighlightSections(False)
        for number, name in enumerate(COLUMNS):
            columns.resizeSection(number, _WIDTHS[name])
        columns.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)

    # --- what is shown ---------------------------------------------------------------------------

    def show_state(self, state: ObjectsState) -> None:
        """Show the objects, and the selected one."""
        self._classes = state.classes
        self._quiet = True
        try:
            if state.layer != self._layer:
                self.clearSelection()
                self._layer, self._selected = state.layer, 0
            self._kept = self.labels()
            self.objects.show_rows(state.rows)
            self.setColumnHidden(COLUMNS.index("slice"), len(state.rows.places.axes) < 3)
            if state.selected != self._selected:
                self._selected = state.selected
                self._select_only(state.selected)
        finally:
            self._quiet = False

    def labels(self) -> tuple[int, ...]:
        """Return the ids of the selected rows, from the top down."""
        rows = sorted(index.row() for index in self._selection.selectedRows())
        return tuple(self.objects.label(row) for row in rows)

    def _select_only(self, label: int) -> None:
        if self.labels() == (label,):
            return
        row = self.objects.rows.position(label)
        if row < 0:
            self.clearSelection()
            return
        index = self.objects.index(row, 0)
        self._selection.setCurrentIndex(index, _SELECT)
        self.scrollTo(index)

    def _select_again(self) -> None:
        for label in self._kept[:MOST_SELECTED]:
            row = self.objects.rows.position(label)
            if row >= 0:
                self._selection.select(self.objects.index(row, 0), _ADD)

    # --- what the user does ----------------------------------------------------------------------

    def _on_selection(self, *_: object) -> None:
        if self._quiet:
            return
        labels = self.labels()
        if len(labels) == 1:
            self._selected = labels[0]
            self.visited.emit(labels[0], False)
        self.chosen.emit(labels)

    def _on_double_click(self, index: QModelIndex) -> None:
        if COLUMNS[index.column()] == "class" and self._classes:
            corner = self.visualRect(index).bottomLeft()
            self._class_menu().exec(self._on_screen(corner))
            return
        self.visited.emit(self.objects.label(index.row()), True)

    def _on_menu(self, at: QPoint) -> None:
        index = self.indexAt(at)
        if not index.isValid():
            return
        label = self.objects.label(index.row())
        menu = QMenu(self)
        _add(menu, "Look closely", lambda: self.visited.emit(label, True))
        _add(menu, "Pick, to refine, split or delete", lambda: self.picked.emit(self.labels()))
        _add(menu, "Note…", lambda: self.noted.emit(label))
        if self._classes:
            menu.addSeparator()
            self._fill_with_classes(menu)
        menu.exec(self._on_screen(at))

    def _class_menu(self) -> QMenu:
        menu = QMenu(self)
        self._fill_with_classes(menu)
        return menu

    def _fill_with_classes(self, menu: QMenu) -> None:
        for kind in self._classes:
            action = _add(menu, kind.name, partial(self._classify, kind.id))
            action.setIcon(dot(kind.color))
        _add(menu, "No class", partial(self._classify, NO_CLASS))

    def _classify(self, class_id: int, _: bool = False) -> None:
        self.classified.emit(self.labels(), class_id)

    def _on_screen(self, at: QPoint) -> QPoint:
        port = self.viewport()
        return self.mapToGlobal(at) if port is None else port.mapToGlobal(at)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Move through the rows; all other keys are meant for the canvas."""
        if event is None:
            return
        if event.key() in _OWN_KEYS or event.matches(QKeySequence.StandardKey.SelectAll):
            super().keyPressEvent(event)
            return
        window = main_window(self)
        give_back_keyboard(self)
        if window is not None:
            QApplication.sendEvent(window, event)


MOST_SELECTED = 500


def _add(menu: QMenu, text: str, call: Callable[[], object]) -> QAction:
    action = menu.addAction(text)
    assert action is not None  # noqa: S101 - for the type checker
    action.triggered.connect(call)
    return action
