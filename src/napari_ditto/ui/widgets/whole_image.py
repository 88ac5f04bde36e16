"""The section "Whole image" of both docks: what, where to, and how far it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.whole.state import WholeState
from napari_ditto.ui.widgets.buttons import PRIMARY
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row
from napari_ditto.ui.widgets.whole_image_form import WholeForm

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_ditto.core.run_plan import Kind

_TROUBLE = "color: #ff6a5c;"
_ROWS = 4


class WholePanel(QWidget):
    """Passive, like the dock it is in.

    Parameters
    ----------
    kind : {"all", "like"}
        What the dock looks for.
    """

    acted = QtSignal(str)
    chose = QtSignal(str, object)

    def __init__(self, kind: Kind, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = kind
        self._state = WholeState(kind)
        self.form = WholeForm(self)
        self.what, self.note, self.title, self.status = (_text(self) for _ in range(4))
        self.start = _button(
            "", self, "Runs in the background: you can go on working, pause, cancel and resume"
        )
        self.start.setStyleSheet(PRIMARY)
        self.anew = _button("Start anew under another name", self, "What is there stays as it is")
        self.offer = _button("", self, "A run that you began and did not finish")
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.pause = _button("Pause", self, "Work waits until you let it go on")
        self.cancel = _button(
            "Cancel", self, "Finished tiles are kept; the run can be resumed at any time"
        )
        self.failures = QListWidget(self)
        self.failures.setToolTip("Click on a tile to see it")
        self.failures.setMaximumHeight(_ROWS * 20 + 4)
        self.failures.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.retry = _button("", self, "Only these tiles are done, then the result is put together")
        self.running = QWidget(self)
        self._is_seen = self._told = False
        self._tell_soon = Debounce(self._tell, parent=self)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        inside = QVBoxLayout(self.running)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.title)
        inside.addWidget(self.bar)
        inside.addLayout(row(self.pause, self.cancel))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.setSpacing(5)
        widgets = (self.what, self.form, self.note, self.start, self.anew, self.offer)
        for widget in (*widgets, self.running, self.status, self.failures, self.retry):
            layout.addWidget(widget)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.form.chose.connect(self.chose)
        hear(self, self.form.browse.clicked, partial(self._act, "whole_browse"))
        for name in ("start", "anew", "pause", "cancel", "retry"):
            hear(self, getattr(self, name).clicked, partial(self._act, f"whole_{name}"))
        hear(self, self.offer.clicked, partial(self._act, "whole_last"))
        self.failures.itemClicked.connect(self._on_failure)

    def _act(self, name: str, _: bool = False) -> None:
        # Both docks may be on show: what is meant is what this one looks for.
        self.chose.emit("whole_open", self.kind)
        self.acted.emit(name)

    def _on_failure(self, item: QListWidgetItem) -> None:
        self.chose.emit("whole_failure", item.data(Qt.ItemDataRole.UserRole))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell soon that somebody looks: only then are runs estimated."""
        super().showEvent(event)
        self._is_seen = True
        self._tell_soon()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell that nobody looks; not at once, for the window may be closing."""
        super().hideEvent(event)
        self._is_seen = False
        self._tell_soon()

    def _tell(self) -> None:
        if self._is_seen != self._told:
            self._told = self._is_seen
            self.chose.emit("whole_open" if self._told else "whole_closed", self.kind)

    def show_state(self, state: WholeState) -> None:
        """Show settings, or the run, and what came of it."""
        self.form.setVisible(not state.running)
        self.form.show_state(state)
        _show(self.what, "" if state.running else state.what)
        _show(self.note, "" if state.running else state.note)
        self.running.setVisible(state.running)
        self.title.setText(state.title)
        self.bar.setRange(0, 0 if state.fraction is None else 1000)
        if state.fraction is not None:
            self.bar.setValue(round(1000 * state.fraction))
        _show(self.status, state.status)
        self.status.setStyleSheet(_TROUBLE if state.troubled else "")
        self._show_buttons(state)
        self._show_failures(state)
        self._state = state

    def _show_buttons(self, state: WholeState) -> None:
        self.start.setVisible(not state.running)
        self.start.setText(state.start)
        may = state.buttons.get("whole_start")
        if may is not None:
            self.start.setEnabled(may.enabled)
            self.start.setToolTip(may.why or state.note)
        self.anew.setVisible(state.anew and not state.running)
        self.offer.setVisible(bool(state.offer))
        self.offer.setText(state.offer)
        self.pause.setText(state.pause or "Pause")
        for name in ("pause", "cancel"):
            may = state.buttons.get(f"whole_{name}")
            if may is not None:
                getattr(self, name).setEnabled(may.enabled)
        _show(self.retry, state.retry)

    def _show_failures(self, state: WholeState) -> None:
        self.failures.setVisible(bool(state.failures))
        if state.failures == self._state.failures:
            return
        blocker = QSignalBlocker(self.failures)
        self.failures.clear()
        for number, text in state.failures:
            item = QListWidgetItem(text, self.failures)
            item.setToolTip(text)
            item.setData(Qt.ItemDataRole.UserRole, number)
        blocker.unblock()


def _text(parent: QWidget) -> QLabel:
    label = QLabel(parent)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _button(text: str, parent: QWidget, tip: str) -> QPushButton:
    button = QPushButton(text, parent)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _show(widget: QLabel | QPushButton, text: str) -> None:
    """Show a text, or nothing if there is none."""
    widget.setText(text)
    widget.setVisible(bool(text))
