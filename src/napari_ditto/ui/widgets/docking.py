"""What both docks are: a passive view, and its place in a napari window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import ref

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QDockWidget,
    QFileDialog,
    QInputDialog,
    QMainWindow,
    QMessageBox,
    QWidget,
)

from napari_ditto.core.run_plan import Kind
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.examples.state import ExamplesState
from napari_ditto.ui.whole.state import WholeState
from napari_ditto.ui.widgets.focus import give_back_keyboard, is_typing

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QKeyEvent, QShowEvent

WARM_MILLISECONDS = 300
"""After the dock is on show, its model is loaded: the window has been drawn by then."""

_DONE_TYPING = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)

NO_RUNS: Mapping[Kind, WholeState] = {"all": WholeState("all"), "like": WholeState("like")}


class Dock(QWidget):
    """A :class:`~napari_ditto.ui.views.DockView` that can be given a viewer.

    A dock draws when the event loop is idle; of several states only the last is drawn.
    """

    acted = Signal(str)
    chose = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.examples = DockState(), ExamplesState()
        self.runs = NO_RUNS
        self.parts: dict[str, object] = {}
        self.draw_soon = Debounce(self.draw, parent=self)
        self._viewer: Viewer | None = None
        # A strong reference would keep the window's memory after it is closed.
        self._window: Callable[[], QWidget | None] = lambda: None
        self._warm_soon = Debounce(self._warm_up, WARM_MILLISECONDS, self)
        self._join_soon = Debounce(self._join_the_others, parent=self)
        self._keyboard_back_soon = Debounce(self._keyboard_back, parent=self)
        self.acted.connect(self._keyboard_back_soon)
        self.chose.connect(self._chosen)

    def draw(self) -> None:
        """Show `state`, `examples`, `runs` and what concerns this dock of `parts`."""
        raise NotImplementedError

    # --- DockView ------------------------------------------------------------------------------

    def show_state(self, state: DockState) -> None:
        """Show this state soon."""
        self.state = state
        self.draw_soon()

    def show_examples(self, state: ExamplesState) -> None:
        """Show this of the examples soon."""
        self.examples = state
        self.draw_soon()

    def show_whole(self, states: Mapping[Kind, WholeState]) -> None:
        """Show this of runs over whole images soon."""
        self.runs = states
        self.draw_soon()

    def show_part(self, name: str, state: object) -> None:
        """Show this of another capability soon."""
        self.parts[name] = state
        self.draw_soon()

    def confirm(self, question: str) -> bool:
        """Ask the user before something long."""
        answer = QMessageBox.question(self, "Ditto", question)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def ask_text(self, question: str, suggestion: str) -> str:
        """Ask for a name."""
        text, agreed = QInputDialog.getText(self, "Ditto", question, text=suggestion)
        return str(text).strip() if agreed else ""

    def ask_open(self, title: str, pattern: str) -> str:
        """Ask for a file to read."""
        return str(QFileDialog.getOpenFileName(self, title, "", pattern)[0])

    def ask_save(self, title: str, suggestion: str, pattern: str) -> str:
        """Ask for a file to write."""
        return str(QFileDialog.getSaveFileName(self, title, suggestion, pattern)[0])

    # --- the keyboard -----------------------------------------------------------------------------

    def _keyboard_back(self) -> None:
        give_back_keyboard(self)

    def _chosen(self, *_: object) -> None:
        if not is_typing():
            self._keyboard_back_soon()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Have done with typing at Enter and Escape."""
        if event is not None and event.key() in _DONE_TYPING:
            self._keyboard_back_soon()
        super().keyPressEvent(event)

    def ask_folder(self, title: str) -> str:
        """Ask for a folder."""
        return str(QFileDialog.getExistingDirectory(self, title))

    # --- in a window -----------------------------------------------------------------------------

    def open(self, viewer: Viewer) -> None:
        """Show the session of a viewer from now on."""
        self._viewer = viewer
        self.controller = controller_for(viewer)
        self.controller.attach(self)
        # When the window goes, it takes us along without asking.
        self.destroyed.connect(self.controller.stop)

    def _let_go(self) -> None:
        """Leave the session; the other dock may still show it."""
        if not self.controller.shows(self):
            return
        self.controller.detach(self)
        self.destroyed.disconnect(self.controller.stop)

    def _warm_up(self) -> None:
        if self._viewer is not None and not self.controller.is_closed:
            # The model first: it is not loaded early while anything else is at work.
            self.controller.warm_up()
            self.controller.look_back()

    def event(self, event: QEvent | None) -> bool:
        """Notice when napari takes the dock out of its window, or puts it back."""
        changed = event is not None and event.type() == QEvent.Type.ParentChange
        if changed and self._viewer is not None:
            if self.parent() is None:
                self._let_go()
            elif not self.controller.shows(self):
                self.open(self._viewer)
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow the window we are in, so that its end is noticed; load the model meanwhile."""
        super().showEvent(event)
        self._warm_soon()
        window = self.window()
        if window is not None and window is not self._window():
            window.installEventFilter(self)
            self._window = ref(window)
            self._join_soon()

    def _join_the_others(self) -> None:
        """Lie before our other docks; napari's menu puts us below them, where both are cut."""
        window, frame = self.window(), _frame(self)
        if not isinstance(window, QMainWindow) or frame is None:
            return
        others = [f for d in window.findChildren(Dock) if d is not self and (f := _frame(d))]
        area = window.dockWidgetArea(frame)
        beside = [f for f in others if not f.isFloating() and window.dockWidgetArea(f) == area]
        if beside and not window.tabifiedDockWidgets(frame):
            window.tabifyDockWidget(beside[0], frame)
            frame.raise_()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Drop what runs when the window closes; it may be gone before the answer."""
        closing = event is not None and event.type() == QEvent.Type.Close
        if closing and watched is self._window() and self._viewer is not None:
            self.controller.interrupt()
        return False


def _frame(dock: QWidget) -> QDockWidget | None:
    """Return what napari has put a dock into."""
    parent = dock.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
