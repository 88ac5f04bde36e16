"""The list of examples: a picture, a name, what there is to say, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction, QImage, QPixmap  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.ui.examples.state import RowState
from napari_ditto.ui.widgets.hearing import hear

PICTURE = 40
ROWS_SHOWN, EMPTY_LINES = 3, 3
EMPTY = (
    "No example yet. Label one object (click on it in the dock Ditto, or paint it), "
    "then press Add example."
)


def pixmap(picture: NDArray[np.uint8], side: int) -> QPixmap:
    """Return an (h, w, 3) array as a square picture."""
    pixels = np.ascontiguousarray(picture)
    h, w = pixels.shape[:2]
    image = QImage(pixels.tobytes(), w, h, 3 * w, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(
        side,
        side,
        Qt.AspectRatioMode.KeepAspectRatioByExpanding,
        Qt.TransformationMode.SmoothTransformation,
    )


class Elided(QLabel):
    """A line of text that is cut with dots where it does not fit; whole in the tooltip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_text(self, text: str) -> None:
        """Show a text."""
        self._whole = text
        self.setToolTip(text)
        self._fit()

    @property
    def whole(self) -> str:
        """The text without dots."""
        return self._whole

    def resizeEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Cut the text anew."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def _fit(self) -> None:
        room = max(self.width() - 4, 20)
        mode = Qt.TextElideMode.ElideRight
        self.setText(self.fontMetrics().elidedText(self._whole, mode, room))


class ExampleRow(QWidget):
    """One example."""

    changed = QtSignal(str, object)

    def __init__(self, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self._picture: object = None
        self.tick = QCheckBox(self)
        self.tick.setToolTip("Whether this example counts")
        self.picture = QLabel(self)
        self.picture.setFixedSize(PICTURE, PICTURE)
        self.name, self.note = Elided(self), Elided(self)
        font = self.note.font()
        font.setItalic(True)
        self.note.setFont(font)
        self.update_button = _tool(self, "Update", "Take the labels as they are now")
        self.more = _tool(self, "⋯", "What this example shows")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.remove = _tool(self, "✕", "Remove from the list; no layer is touched")
        self._make_menu()
        self._lay_out()
        self._connect()

    def _make_menu(self) -> None:
        menu = QMenu(self)
        self.partial = QAction("Only some objects are labelled", menu)
        self.partial.setToolTip("What is not labelled is not taken for background")
        self.negative = QAction("And none of this", menu)
        self.negative.setToolTip("What is labelled here is not what you look for")
        for action in (self.partial, self.negative):
            action.setCheckable(True)
            menu.addAction(action)
        menu.setToolTipsVisible(True)
        self.more.setMenu(menu)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(2, 2, 2, 2)
        grid.setHorizontalSpacing(5)
        grid.setVerticalSpacing(0)
        grid.addWidget(self.tick, 0, 0, 2, 1)
        grid.addWidget(self.picture, 0, 1, 2, 1)
        grid.addWidget(self.name, 0, 2)
        grid.addWidget(self.note, 1, 2)
        grid.addWidget(self.update_button, 0, 3, 2, 1)
        grid.addWidget(self.more, 0, 4, 2, 1)
        grid.addWidget(self.remove, 0, 5, 2, 1)
        grid.setColumnStretch(2, 1)

    def _connect(self) -> None:
        hear(self, self.tick.clicked, lambda on: self._flag("enabled", on))
        hear(self, self.partial.triggered, lambda on: self._flag("partial", on))
        hear(self, self.negative.triggered, lambda on: self._flag("negative", on))
        hear(
            self, self.update_button.clicked, lambda _: self.changed.emit("renew_example", self.key)
        )
        hear(self, self.remove.clicked, lambda _: self.changed.emit("remove_example", self.key))

    def _flag(self, field: str, on: bool) -> None:
        self.changed.emit("example", (self.key, field, on))

    def show_row(self, row: RowState) -> None:
        """Show an example."""
        self.tick.setChecked(row.enabled)
        self.partial.setChecked(row.partial)
        self.negative.setChecked(row.negative)
        self.name.show_text(row.name)
        self.note.show_text(row.note)
        self.name.setEnabled(row.enabled)
        self.update_button.setVisible(row.changed == "edited")
        if row.picture is not None and row.picture is not self._picture:
            self._picture = row.picture
            self.picture.setPixmap(pixmap(row.picture, PICTURE))


class ExamplesList(QScrollArea):
    """All examples; speaks only when the user acts."""

    changed = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[str, ExampleRow] = {}
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget(self)
        self._layout = QVBoxLayout(inside)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self.empty = QLabel(EMPTY, inside)
        self.empty.setWordWrap(True)
        self._layout.addWidget(self.empty)
        self._layout.addStretch(1)
        self.setWidget(inside)
        self._fit(0)

    def show_rows(self, rows: Sequence[RowState]) -> None:
        """Show these examples; widgets of those that stay are kept."""
        keys = {row.key for row in rows}
        for key in [key for key in self.rows if key not in keys]:
            gone = self.rows.pop(key)
            self._layout.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        self.empty.setVisible(not rows)
        for number, row in enumerate(rows, 1):
            if row.key not in self.rows:
                self.rows[row.key] = widget = ExampleRow(row.key, self.widget())
                widget.changed.connect(self.changed)
                self._layout.insertWidget(number, widget)
            self.rows[row.key].show_row(row)
        self._fit(len(rows))

    def _fit(self, count: int) -> None:
        """Be as high as the rows need, up to a few."""
        lines = self.empty.fontMetrics().lineSpacing() * EMPTY_LINES
        height = min(count, ROWS_SHOWN) * (PICTURE + 6) if count else lines
        self.setFixedHeight(height + 6)


def _tool(parent: QWidget, text: str, tip: str) -> QToolButton:
    button = QToolButton(parent)
    button.setText(text)
    button.setToolTip(tip)
    button.setAutoRaise(True)
    button.setAccessibleName(tip)
    return button
