"""A combo box and a tick list over :class:`Choice`; both speak only when the user acts."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_ditto.ui.session import Choice
from napari_ditto.ui.widgets.hearing import hear


class ChoiceBox(QComboBox):
    """One of several choices.

    Parameters
    ----------
    free_text : bool
        Whether the user may type a key that is not in the list.
    """

    picked = QtSignal(str)

    def __init__(self, parent: QWidget | None = None, *, free_text: bool = False) -> None:
        super().__init__(parent)
        self._shown: tuple[Choice, ...] = ()
        # Long layer names would widen the whole dock.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(8)
        self.activated.connect(self._on_activated)
        if free_text:
            self.setEditable(True)
            self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
            line = self.lineEdit()
            assert line is not None  # noqa: S101 - editable boxes have one
            line.editingFinished.connect(self._on_typed)

    @property
    def key(self) -> str:
        """Key of the choice on show."""
        return str(self.currentData() or "")

    def show_choices(self, choices: Sequence[Choice], key: str) -> None:
        """Show these choices with `key` picked; a key that is not among them is added."""
        if key not in {choice.key for choice in choices} and key:
            choices = (*choices, Choice(key, key))
        if tuple(choices) != self._shown:
            self._fill(choices)
        index = self.findData(key)
        if index != self.currentIndex():
            blocker = QSignalBlocker(self)
            self.setCurrentIndex(index)
            if (line := self.lineEdit()) is not None:
                line.setCursorPosition(0)  # of a long name the beginning tells more
            blocker.unblock()

    def _fill(self, choices: Sequence[Choice]) -> None:
        blocker = QSignalBlocker(self)
        self._shown = tuple(choices)
        self.clear()
        for row, choice in enumerate(choices):
            self.addItem(choice.text, choice.key)
            self.setItemData(row, choice.note, Qt.ItemDataRole.ToolTipRole)
        blocker.unblock()

    def _on_activated(self, index: int) -> None:
        self.picked.emit(str(self.itemData(index)))

    def _on_typed(self) -> None:
        text = self.currentText().strip()
        if text and text != self.itemText(self.currentIndex()):
            self.picked.emit(text)


class TickList(QListWidget):
    """Any of several choices."""

    ticked = QtSignal(tuple)

    def __init__(self, parent: QWidget | None = None, rows: int = 3) -> None:
        super().__init__(parent)
        self.setMaximumHeight(rows * 22 + 4)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        hear(self, self.itemChanged, lambda _: self.ticked.emit(self.keys()))

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the ticked choices."""
        items = [item for row in range(self.count()) if (item := self.item(row)) is not None]
        ticked = [item for item in items if item.checkState() == Qt.CheckState.Checked]
        return tuple(str(item.data(Qt.ItemDataRole.UserRole)) for item in ticked)

    def show_choices(self, choices: Sequence[Choice], keys: Sequence[str]) -> None:
        """Show these choices with `keys` ticked."""
        blocker = QSignalBlocker(self)
        self.clear()
        for choice in choices:
            item = QListWidgetItem(choice.text, self)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setData(Qt.ItemDataRole.UserRole, choice.key)
            on = Qt.CheckState.Checked if choice.key in keys else Qt.CheckState.Unchecked
            item.setCheckState(on)
        blocker.unblock()
