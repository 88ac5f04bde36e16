"""A row of buttons for accepted objects: which are picked, and what can be done to them."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from napari_ditto.ui.objects.edit_state import EditState
from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import row

_ROWS = (
    ("pick_tool", "touch_up"),
    ("merge_objects", "split_object"),
    ("delete_objects", "renumber_objects"),
    ("split_planes", "next_doubt"),
)


class ObjectButtons(QWidget):
    """Passive, like the dock it is in: shows an :class:`EditState`, tells what was pressed.

    Signals: ``acted(action)``, and ``chose(field, value)`` for the settings of the part
    ``objects_edit``.
    """

    acted = QtSignal(str)
    chose = QtSignal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.buttons = {name: ActionButton(name, self) for names in _ROWS for name in names}
        self.buttons["pick_tool"].setCheckable(True)
        self.buttons["next_doubt"].call_it("Next doubtful")
        self.everywhere = QCheckBox("On all planes", self)
        self.everywhere.setToolTip(
            "On: Split and Delete change the object on all planes.\n"
            "Off: only on the one that is shown. Merge always means the whole object."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        for names in _ROWS:
            layout.addLayout(row(*(self.buttons[name] for name in names)))
        layout.addWidget(self.everywhere)
        for name, button in self.buttons.items():
            hear(self, button.clicked, partial(self._act, name))
        hear(
            self, self.everywhere.clicked, lambda on: self.chose.emit("objects_edit.everywhere", on)
        )

    def _act(self, name: str, _: bool = False) -> None:
        self.acted.emit(name)

    def show_state(self, state: EditState) -> None:
        """Show this and nothing else."""
        self.text.setText(state.text)
        for name, button in self.buttons.items():
            if name in state.buttons:
                button.show_state(state.buttons[name])
        self.buttons["pick_tool"].setChecked(state.picking)
        self.buttons["split_object"].call_it("Draw the cut…" if state.cutting else "")
        self.buttons["split_planes"].setVisible(state.has_planes)
        self.everywhere.setVisible(state.has_planes)
        self.everywhere.setChecked(state.everywhere)
