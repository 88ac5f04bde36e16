"""The dock "Ditto examples": show what you mean, then find it, follow it, review it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.ui.widgets.buttons import ActionButton
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.docking import Dock
from napari_ditto.ui.widgets.examples_follow import FollowPanel
from napari_ditto.ui.widgets.examples_like import LikePanel
from napari_ditto.ui.widgets.examples_list import ExamplesList
from napari_ditto.ui.widgets.examples_review import ReviewPanel
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import UprightArea, line, row
from napari_ditto.ui.widgets.status import StatusPanel
from napari_ditto.ui.widgets.whole_image import WholePanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

_BUTTONS = ("add_example", "draw_example", "save_examples", "load_examples")
_PANELS = ("More like this", "Follow", "Review", "Whole image")


class ExamplesWidget(Dock):
    """The passive part: draws a state, tells what the user did."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image, self.labels = ChoiceBox(self), ChoiceBox(self)
        self.model = ChoiceBox(self, free_text=True)
        self.buttons = {name: ActionButton(name, self) for name in _BUTTONS}
        self.only_selected = QCheckBox("Only the selected label", self)
        self.list = ExamplesList(self)
        self.offer = Offer(self)
        self.one_kind = QRadioButton("One kind of object", self)
        self.one_kind.setToolTip("All labels are one kind; each object found gets an id of its own")
        self.classes = QRadioButton("Each label is a class", self)
        self.classes.setToolTip("Label 1 is one kind, label 2 another; found pixels get these ids")
        self._kinds = QButtonGroup(self)
        self._kinds.addButton(self.one_kind)
        self._kinds.addButton(self.classes)
        self.like, self.follow, self.review = LikePanel(self), FollowPanel(self), ReviewPanel(self)
        self.panels = (self.like, self.follow, self.review)
        self.whole = WholePanel("like", self)
        self.tabs = QTabWidget(self)
        for panel, name in zip((*self.panels, self.whole), _PANELS, strict=True):
            self.tabs.addTab(panel, name)
        self.status = StatusPanel(self)
        self._lay_out()
        self._connect_widgets()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        form.addRow("Model", self.model)
        button = self.buttons
        inside = QWidget(self)
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(form)
        layout.addWidget(line())
        layout.addWidget(_heading("1  Show what you mean", self))
        layout.addLayout(row(button["add_example"], button["draw_example"], stretch=(4, 3)))
        layout.addWidget(self.only_selected)
        layout.addWidget(self.offer)
        layout.addWidget(self.list)
        layout.addLayout(row(self.one_kind, self.classes))
        layout.addLayout(row(button["save_examples"], button["load_examples"]))
        layout.addWidget(line())
        layout.addWidget(_heading("2  Find it elsewhere", self))
        layout.addWidget(self.tabs, 1)
        outside = QVBoxLayout(self)
        outside.addWidget(UprightArea(inside), 1)
        outside.addWidget(self.status)

    def _connect_widgets(self) -> None:
        buttons = {
            **self.buttons,
            **self.review.buttons,
            "like": self.like.run,
            "tune": self.like.tune,
            "follow": self.follow.run,
            "export_tracks": self.follow.export,
            "cancel": self.status.cancel,
        }
        for name, button in buttons.items():
            hear(self, button.clicked, partial(self._act, name))
        hear(self, self.image.picked, lambda key: self.chose.emit("images", (key,)))
        hear(self, self.labels.picked, lambda key: self.chose.emit("target", key))
        hear(self, self.model.picked, lambda key: self.chose.emit("model", key))
        hear(self, self.only_selected.clicked, lambda on: self.chose.emit("only_selected", on))
        hear(self, self.one_kind.clicked, lambda _: self.chose.emit("one_kind", True))
        hear(self, self.classes.clicked, lambda _: self.chose.emit("one_kind", False))
        hear(self, self.offer.use.clicked, lambda _: self.chose.emit("use_drawing", True))
        hear(self, self.offer.discard.clicked, lambda _: self.chose.emit("use_drawing", False))
        hear(self, self.list.changed, self.chose.emit)
        for panel in self.panels:
            hear(self, panel.chose, self.chose.emit)
        hear(self, self.whole.chose, self.chose.emit)
        hear(self, self.whole.acted, self.acted.emit)

    def _act(self, name: str, _: bool = False) -> None:
        self.acted.emit(name)

    def draw(self) -> None:
        """Show the state."""
        state, examples = self.state, self.examples
        if state.mood == "ready":
            state = replace(state, status=examples.hint)
        self.image.show_choices(state.images, (*state.chosen_images, "")[0])
        self.labels.show_choices(state.targets, state.target)
        self.model.show_choices(state.models, state.model)
        for name, button in self.buttons.items():
            button.show_state(examples.buttons[name])
        self.only_selected.setChecked(examples.only_selected)
        self.offer.show_text(examples.sharpened)
        self.list.show_rows(examples.rows)
        (self.one_kind if examples.one_kind else self.classes).setChecked(True)
        for panel in self.panels:
            panel.show_state(examples)
        self.whole.show_state(self.runs["like"])
        count = len(examples.doubts)
        self.tabs.setTabText(_PANELS.index("Review"), f"Review ({count})" if count else "Review")
        self.status.show_state(state)


class Offer(QWidget):
    """The question whether an outlined drawing is to be used; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.use, self.discard = QPushButton("Use it", self), QPushButton("Discard", self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(row(self.use, self.discard))
        self.hide()

    def show_text(self, text: str) -> None:
        """Ask, or hide if there is nothing to ask."""
        self.text.setText(text)
        self.setVisible(bool(text))


class ExamplesDock(ExamplesWidget):
    """The dock in a napari window, with the controller of its viewer behind it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, which goes by the parameter's name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.open(napari_viewer)

    def open(self, viewer: Viewer) -> None:
        """Show the session of a viewer from now on, axes and tuned prompts with it."""
        super().open(viewer)
        self.controller.examples.open()


def _heading(text: str, parent: QWidget) -> QLabel:
    label = QLabel(text, parent)
    label.setStyleSheet("font-weight: 600;")
    return label
