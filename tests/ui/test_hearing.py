"""Functions as slots of Qt signals: what they are told, and how long they are held."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import pytest
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QSpinBox, QWidget

from napari_ditto.ui.widgets.hearing import hear

pytestmark = pytest.mark.gui


class Panel(QWidget):
    chose = Signal(str, object)

    def __init__(self):
        super().__init__()
        self.told = []
        self.button, self.box, self.number = QPushButton(self), QCheckBox(self), QSpinBox(self)
        hear(self, self.button.clicked, partial(self.told.append))
        hear(self, self.box.clicked, lambda on: self.told.append(on))
        hear(self, self.number.valueChanged, lambda value: self.told.append(value))
        hear(self, self.chose, lambda field, value: self.told.append((field, value)))


def test_a_function_is_told_what_the_signal_carries(qtbot):
    panel = Panel()
    qtbot.addWidget(panel)
    panel.button.click()
    panel.box.click()
    panel.number.setValue(3)
    panel.chose.emit("field", (1, 2))
    assert panel.told == [False, True, 3, ("field", (1, 2))]


def test_a_widget_that_nobody_holds_goes(qapp):
    panel = weakref.ref(Panel())
    gc.collect()
    assert panel() is None
