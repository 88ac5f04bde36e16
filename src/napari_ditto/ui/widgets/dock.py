"""The dock "Ditto": draws a state, tells what the user did, decides nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ditto.core.refinement import Refinement
from napari_ditto.ui.batch.part import BatchState
from napari_ditto.ui.hover.part import HoverState
from napari_ditto.ui.keymap import ACTIONS, button_text
from napari_ditto.ui.objects_table.state import ObjectsState
from napari_ditto.ui.project.state import ProjectState
from napari_ditto.ui.prompt_layers import COLORS, NEGATIVE, POSITIVE
from napari_ditto.ui.view.part import ViewState
from napari_ditto.ui.widgets.advanced import AdvancedPanel
from napari_ditto.ui.widgets.buttons import ActionButton, dot
from napari_ditto.ui.widgets.choices import ChoiceBox
from napari_ditto.ui.widgets.docking import Dock
from napari_ditto.ui.widgets.fold import Fold
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import UprightArea, line, row
from napari_ditto.ui.widgets.project_panel import ProjectPanel
from napari_ditto.ui.widgets.refine_panel import RefinePanel
from napari_ditto.ui.widgets.status import StatusPanel
from napari_ditto.ui.widgets.text_prompt import TextPrompt
from napari_ditto.ui.widgets.unsaved import UnsavedStrip
from napari_ditto.ui.widgets.whole_image import WholePanel

if TYPE_CHECKING:
    from napari.viewer import Viewer


_BUTTONS = (
    *("new_points", "new_boxes", "next_proposal", "accept", "touch_up", "swap_model"),
    *("undo", "redo", "clear", "segment_all"),
)
"""Actions with a button of their own here; the sign has two, and Cancel is in the status panel."""


class DockWidget(Dock):
    """The passive part: draws a state, tells what the user did."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make_widgets()
        self._lay_out()
        self._connect_widgets()

    def _make_widgets(self) -> None:
        self.image, self.target = ChoiceBox(self), ChoiceBox(self)
        self.kind, self.kind_label = ChoiceBox(self), QLabel("Class", self)
        self.kind.setToolTip("What the next object is; classes are made in the dock Ditto objects")
        self.model = ChoiceBox(self, free_text=True)
        self.models = QToolButton(self)
        self.models.setText("…")
        self.models.setToolTip("What each model is good at; get, add, measure and remove models")
        self.words = TextPrompt(self)
        self.buttons = {name: ActionButton(name, self) for name in _BUTTONS}
        self.buttons["accept"].make_primary()
        self.include = ActionButton("toggle_sign", self, text="Include")
        self.exclude = ActionButton("toggle_sign", self, text="Exclude")
        self.include.setIcon(dot(COLORS[POSITIVE]))
        self.exclude.setIcon(dot(COLORS[NEGATIVE]))
        for button in (self.include, self.exclude):
            button.setCheckable(True)
        self.batch = QCheckBox(self)
        self.batch.setToolTip(ACTIONS["batch"].help)
        self.proposal = QLabel(self)
        self.keep = QCheckBox("Keep existing labels", self)
        self.keep.setToolTip(
            "On: pixels that belong to another label stay with it.\n"
            "Off: the new label takes them over."
        )
        self.status = StatusPanel(self)
        self.about = QLabel(self)
        self.about.setEnabled(False)
        self.unsaved = UnsavedStrip(self)
        self.refine = RefinePanel(self)
        self.refine_fold = Fold("Refine", self.refine, "Live preview, and how masks are made")
        self.advanced = AdvancedPanel(self)
        self.fold = Fold("Advanced", self.advanced, "Channels, device, intensities, limits")
        self.project = ProjectPanel(self)
        self.project_fold = Fold("Project", self.project, "Sessions, and series of images")
        self.whole = WholePanel("all", self)
        self.whole_fold = Fold("Whole image", self.whole, "Label all of it, in the background")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image)
        form.addRow("Model", self._model_row())
        form.addRow("Find", self.words)
        self.form = form
        form.addRow("Labels", self.target)
        form.addRow(self.kind_label, self.kind)
        button = self.buttons
        inside = QWidget(self)
        layout = QVBoxLayout(inside)
        layout.setSpacing(6)
        layout.addWidget(self.unsaved)
        layout.addLayout(form)
        layout.addWidget(line())
        layout.addLayout(row(button["new_points"], button["new_boxes"]))
        layout.addLayout(row(self.include, self.exclude))
        layout.addWidget(self.batch)
        layout.addLayout(row(self.proposal, button["next_proposal"]))
        layout.addLayout(row(button["accept"], button["touch_up"], stretch=(3, 2)))
        layout.addWidget(self.keep)
        layout.addLayout(row(button["undo"], button["redo"]))
        layout.addLayout(row(button["clear"], button["segment_all"], stretch=(1, 2)))
        layout.addWidget(line())
        layout.addWidget(self.status)
        layout.addWidget(self.about)
        layout.addWidget(self.refine_fold)
        layout.addWidget(self.whole_fold)
        layout.addWidget(self.fold)
        layout.addWidget(self.project_fold)
        layout.addStretch(1)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(UprightArea(inside))

    def _model_row(self) -> QHBoxLayout:
        return row(self.model, self.models, self.buttons["swap_model"], stretch=(3, 0, 2))

    def _connect_widgets(self) -> None:
        for name, button in (*self.buttons.items(), ("cancel", self.status.cancel)):
            hear(self, button.clicked, partial(self._act, name))
        hear(self, self.include.clicked, partial(self._on_sign, True))
        hear(self, self.exclude.clicked, partial(self._on_sign, False))
        hear(self, self.image.picked, lambda key: self.chose.emit("images", (key,)))
        hear(self, self.model.picked, lambda key: self.chose.emit("model", key))
        hear(self, self.target.picked, lambda key: self.chose.emit("target", key))
        hear(self, self.kind.picked, lambda key: self.chose.emit("objects.current", int(key)))
        hear(self, self.models.clicked, partial(self._act, "open_models"))
        self.words.named.connect(lambda text: self.chose.emit("text", text))
        self.words.wanted.connect(lambda: self.acted.emit("segment_all"))
        self.keep.clicked.connect(self._on_keep)
        hear(self, self.batch.clicked, lambda on: self.chose.emit("batch.on", on))
        self.unsaved.answered.connect(lambda answer: self.chose.emit("unsaved", answer))
        hear(self, self.advanced.chose, self.chose.emit)
        hear(self, self.refine.chose, self.chose.emit)
        hear(self, self.whole.chose, self.chose.emit)
        hear(self, self.whole.acted, self.acted.emit)
        hear(self, self.project.acted, self.acted.emit)

    def _act(self, name: str, _: bool = False) -> None:
        self.acted.emit(name)

    def _on_sign(self, positive: bool, _: bool = False) -> None:
        if positive != self.state.positive:
            self.acted.emit("toggle_sign")
        self.draw_soon()

    def _on_keep(self, keep: bool) -> None:
        self.chose.emit("overlap", "keep" if keep else "replace")

    def draw(self) -> None:
        """Show the state."""
        state = self.state
        self.image.show_choices(state.images, (*state.chosen_images, "")[0])
        self.model.show_choices(state.models, state.model)
        self.form.setRowVisible(self.words, state.text is not None)
        self.words.show_text(state.text or "")
        self.target.show_choices(state.targets, state.target)
        self._draw_classes()
        for name, button in self.buttons.items():
            button.show_state(state.buttons[name])
        self.buttons["segment_all"].call_it("" if state.text is None else "Find all of it here")
        other = state.other_model.partition(":")[0]
        self.buttons["swap_model"].call_it(f"Use {other}")
        self.buttons["touch_up"].call_it("Leave as it was" if state.touching else "")
        for button, positive in ((self.include, True), (self.exclude, False)):
            button.show_state(state.buttons["toggle_sign"])
            button.setChecked(state.positive == positive)
            chosen = state.positive == positive
            button.call_it("Include" if positive else "Exclude", with_key=not chosen)
        self.batch.setText(button_text("batch"))
        batch = self.parts.get("batch")
        self.batch.setChecked(isinstance(batch, BatchState) and batch.on)
        self.unsaved.show_text(state.unsaved)
        self.proposal.setText(state.proposal)
        self.keep.setChecked(state.overlap == "keep")
        self.status.show_state(state)
        view = self.parts.get("view")
        self.about.setText(view.text if isinstance(view, ViewState) else "")
        self.about.setVisible(bool(self.about.text()))
        hover, how = self.parts.get("hover"), self.parts.get("refine")
        if isinstance(hover, HoverState) and isinstance(how, Refinement):
            self.refine.show_states(hover, how)
        self.advanced.show_state(state)
        self.whole.show_state(self.runs["all"])
        project = self.parts.get("project")
        if isinstance(project, ProjectState):
            self.project.show_state(project)

    def _draw_classes(self) -> None:
        """Offer the classes, once there is something to choose."""
        objects = self.parts.get("objects")
        if isinstance(objects, ObjectsState):
            self.kind.show_choices(objects.class_choices, str(objects.current))
        several = isinstance(objects, ObjectsState) and len(objects.classes) > 1
        self.kind.setVisible(several)
        self.kind_label.setVisible(several)


class DittoDock(DockWidget):
    """The dock in a napari window, with the controller of its viewer behind it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, which goes by the parameter's name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.open(napari_viewer)
