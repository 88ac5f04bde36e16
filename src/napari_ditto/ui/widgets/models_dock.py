"""The dock "Ditto models": which there are, what each is good at, and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QFont
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QSplitter,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.models.tuned import SUFFIX
from napari_ditto.ui.models.state import ModelRow, ModelsState
from napari_ditto.ui.widgets.buttons import dot
from napari_ditto.ui.widgets.docking import Dock
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import UprightArea, row
from napari_ditto.ui.widgets.models_details import ModelPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

FOLDER = "A folder with config.json and model.safetensors"
FILES = f"Weights (*.safetensors *.pth *.pt *{SUFFIX})"
WIDTH = 60
"""Letters side by side, so that names of models can be read."""

_ID = Qt.ItemDataRole.UserRole
_HERE, _AWAY = "#009e73", "#868e93"  # Okabe and Ito's green; grey
_TROUBLE = "#ff6a5c"


class ModelsWidget(Dock):
    """The passive part: draws a state, tells what the user did."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = ModelList(self)
        self.panel = ModelPanel(self)
        self.add_folder = QPushButton("Add a folder…", self)
        self.add_file = QPushButton("Add a file…", self)
        self.never_online = QCheckBox("Never go online", self)
        self.note = QLabel(self)
        self.note.setWordWrap(True)
        self.note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.work = QWidget(self)
        self.bar, self.cancel = QProgressBar(self.work), QPushButton("Cancel", self.work)
        self._lay_out()
        self._connect_widgets()

    def _lay_out(self) -> None:
        inside = QHBoxLayout(self.work)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.bar, 3)
        inside.addWidget(self.cancel, 1)
        halves = QSplitter(Qt.Orientation.Vertical, self)
        halves.addWidget(self.list)
        halves.addWidget(UprightArea(self.panel))
        halves.setStretchFactor(1, 1)
        halves.setSizes([230, 420])
        self.setMinimumWidth(WIDTH * self.fontMetrics().averageCharWidth())
        layout = QVBoxLayout(self)
        layout.addWidget(halves, 1)
        layout.addWidget(self.note)
        layout.addWidget(self.work)
        layout.addLayout(row(self.add_folder, self.add_file))
        layout.addWidget(self.never_online)

    def _connect_widgets(self) -> None:
        self.list.currentItemChanged.connect(self._on_selected)
        self.panel.asked.connect(self._ask)
        hear(self, self.add_folder.clicked, lambda _: self._add(self.ask_folder(FOLDER)))
        hear(self, self.add_file.clicked, lambda _: self._add(self.ask_open("Add a model", FILES)))
        hear(self, self.never_online.clicked, lambda on: self._tell("never_online", on))
        hear(self, self.cancel.clicked, lambda _: self._tell("cancel", ""))

    def _on_selected(self, item: QTreeWidgetItem | None, _: object) -> None:
        if item is not None and item.data(0, _ID):
            self._tell("select", item.data(0, _ID))

    def _ask(self, verb: str) -> None:
        details = self._models.details
        if details is not None:
            self._tell(verb, details.id)

    def _add(self, path: str) -> None:
        if path:
            self._tell("add", path)

    def _tell(self, verb: str, value: object) -> None:
        self.chose.emit(f"models.{verb}", value)

    @property
    def _models(self) -> ModelsState:
        state = self.parts.get("models")
        return state if isinstance(state, ModelsState) else ModelsState()

    def draw(self) -> None:
        """Show the state."""
        state = self._models
        self.list.show_rows(state.rows, state.details.id if state.details else "")
        if state.details is not None:
            self.panel.show_details(state.details)
        self.never_online.setChecked(state.never_online or state.forced_offline)
        self.never_online.setEnabled(not state.forced_offline)
        self.never_online.setToolTip(
            "The environment of this program forbids the network (NAPARI_DITTO_OFFLINE)"
            if state.forced_offline
            else "Nothing is downloaded, whoever asks for it, here or on the command line"
        )
        self.note.setText(state.working or state.note)
        self.note.setVisible(bool(state.working or state.note))
        trouble = state.trouble and not state.working
        self.note.setStyleSheet(f"color: {_TROUBLE};" if trouble else "")
        self.work.setVisible(bool(state.working))
        self.bar.setRange(0, 0 if state.fraction is None else 1000)
        if state.fraction is not None:
            self.bar.setValue(round(1000 * state.fraction))
        for button in (self.add_folder, self.add_file):
            button.setEnabled(not state.working)


class ModelList(QTreeWidget):
    """One line for each model, under headings; green means that it works now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setIndentation(10)
        self.setRootIsDecorated(False)
        self.setItemsExpandable(False)
        self.setUniformRowHeights(True)
        self._rows: tuple[ModelRow, ...] = ()
        self._items: dict[str, QTreeWidgetItem] = {}
        self._dots = {True: dot(_HERE), False: dot(_AWAY)}
        header = self.header()
        if header is not None:
            header.setStretchLastSection(False)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)

    def show_rows(self, rows: tuple[ModelRow, ...], selected: str) -> None:
        """Show these models, one of them selected."""
        blocker = QSignalBlocker(self)
        if rows != self._rows:
            self._fill(rows)
        item = self._items.get(selected)
        if item is not None and item is not self.currentItem():
            self.setCurrentItem(item)
        blocker.unblock()

    def _fill(self, rows: tuple[ModelRow, ...]) -> None:
        self._rows = rows
        self._items.clear()
        self.clear()
        for group in dict.fromkeys(model.group for model in rows):
            heading = QTreeWidgetItem([group])
            heading.setFlags(Qt.ItemFlag.ItemIsEnabled)
            heading.setFont(0, _bold(heading))
            self.addTopLevelItem(heading)
            heading.setFirstColumnSpanned(True)
            for model in (model for model in rows if model.group == group):
                self._items[model.id] = item = self._item(model)
                heading.addChild(item)
            heading.setExpanded(True)

    def _item(self, model: ModelRow) -> QTreeWidgetItem:
        title = f"✓ {model.title}" if model.chosen else model.title
        item = QTreeWidgetItem([title, model.figure])
        item.setIcon(0, self._dots[model.offline])
        item.setData(0, _ID, model.id)
        item.setToolTip(0, f"{model.title}\n{model.id}")
        item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if model.chosen:
            item.setFont(0, _bold(item))
        return item


def _bold(item: QTreeWidgetItem) -> QFont:
    font = item.font(0)
    font.setBold(True)
    return font


class ModelsDock(ModelsWidget):
    """The dock in a napari window, with the controller of its viewer behind it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, which goes by the parameter's name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.open(napari_viewer)
