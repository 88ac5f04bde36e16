"""The controller without Qt and napari: the viewer and the dock are mocks, jobs run in line."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock, create_autospec

import numpy as np
import psygnal
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.source import open_source
from napari_ditto.engine.everything import EverythingResult
from napari_ditto.errors import LabelsError, PromptError
from napari_ditto.models.names import DEFAULT_MODEL
from napari_ditto.models.protocols import Estimate
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.everything import question
from napari_ditto.ui.history import ValueEdit
from napari_ditto.ui.prompt_reading import CollectedPrompts
from napari_ditto.ui.prompt_state import LayerState
from napari_ditto.ui.session import Choice
from napari_ditto.ui.views import DockView, Scene
from napari_ditto.ui.workshop import Workshop
from tests.ui.inline import InlineRunner

CLICK = PromptSet((PointPrompt(20.0, 20.0),))
PLANE = PlaneAddress()


class Signals:
    layers_changed = psygnal.Signal()
    image_edited = psygnal.Signal(str)
    prompts_changed = psygnal.Signal()
    plane_changed = psygnal.Signal()
    stroked = psygnal.Signal(object)
    action_pressed = psygnal.Signal(str)
    acted = psygnal.Signal(str)
    chose = psygnal.Signal(str, object)


def image():
    out = np.zeros((64, 64), dtype=np.uint8)
    out[10:30, 10:30] = 255
    return out


@pytest.fixture
def scene():
    scene = create_autospec(Scene, instance=True, spec_set=False)
    scene.viewer_for_parts = None
    scene.signals = signals = Signals()
    for name in (
        "layers_changed", "image_edited", "prompts_changed", "plane_changed", "stroked",
        "action_pressed",
    ):  # fmt: skip
        setattr(scene, name, getattr(signals, name))
    scene.image_choices.return_value = (Choice("im", "image"),)
    scene.target_choices.return_value = ()
    scene.prompt_choices.return_value = (Choice("pts", "points"),)
    scene.open_source.side_effect = lambda images, window: open_source(image())
    scene.address.return_value = PLANE
    scene.prompts.return_value = CollectedPrompts()
    scene.prompt_state.return_value = {}
    scene.add_points.return_value = "pts"
    scene.clear_prompts.side_effect = clear_of(scene)
    scene.add_labels.return_value = "lab"
    scene.toggle_sign.side_effect = lambda layers, positive: positive
    return scene


def clear_of(scene):
    def clear(layers, images):
        scene.prompts.return_value = CollectedPrompts()
        return tuple(layers)

    return clear


@pytest.fixture
def view():
    view = create_autospec(DockView, instance=True, spec_set=False)
    view.signals = signals = Signals()
    view.acted, view.chose = signals.acted, signals.chose
    return view


@pytest.fixture
def runner():
    return InlineRunner()


@pytest.fixture
def model():
    return BlobModel()


@pytest.fixture
def controller(scene, view, runner, model):
    workshop = Workshop(lambda: None, load_model=lambda name, device: model)
    controller = Controller(scene, runner, workshop=workshop, remember=MagicMock())
    controller.attach(view)
    return controller


def say(scene, prompts):
    scene.prompts.return_value = CollectedPrompts(prompts)
    scene.prompt_state.return_value = {"pts": LayerState((np.array([len(prompts.points), 0.0]),))}
    scene.prompts_changed.emit()


def last(view) -> DockState:
    return view.show_state.call_args.args[0]


def test_takes_the_first_image(controller, view):
    assert controller.session.images == ("im",)
    assert last(view).chosen_images == ("im",)
    assert last(view).buttons["new_points"].enabled


def test_a_click_shows_a_proposal(controller, scene, view):
    view.acted.emit("new_points")
    say(scene, CLICK)
    assert controller.session.has_object
    assert scene.show_preview.call_args.args[2] == 1
    assert last(view).proposal == "2 of 3, score 0.90"
    assert last(view).buttons["accept"].enabled


def test_the_same_prompts_are_asked_once(controller, scene, model):
    say(scene, CLICK)
    for _ in range(3):
        scene.prompts_changed.emit()
        scene.plane_changed.emit()
    assert model.decoded == 1


def test_accept_writes_clears_and_makes_the_layer(controller, scene, view):
    say(scene, CLICK)
    view.acted.emit("accept")
    store = scene.add_labels.call_args.args[2]
    assert isinstance(store, ArrayLabels)
    np.testing.assert_array_equal(store.data > 0, image() > 0)
    assert controller.session.target == "lab"
    assert controller.session.prompts.is_empty
    assert controller.session.undo_text == "label 1"
    assert controller._labelling.tables.of("lab").record(1).model_name == "blob"
    view.acted.emit("undo")
    assert not store.data.any()
    scene.restore_prompts.assert_called_once()
    view.acted.emit("redo")
    assert store.data.any()


def test_accept_waits_for_the_newest_mask(controller, scene, runner):
    say(scene, CLICK)
    runner.hold = True
    say(scene, PromptSet((PointPrompt(12.0, 12.0), PointPrompt(20.0, 20.0))))
    controller.act("accept")
    scene.add_labels.assert_not_called()
    assert "as soon as" in controller.session.hint
    runner.release()
    scene.add_labels.assert_called_once()


def test_cancel_forgets_a_waiting_accept(controller, scene, runner):
    runner.hold = True
    say(scene, CLICK)
    controller.act("accept")
    controller.act("cancel")
    runner.release()
    scene.add_labels.assert_not_called()
    assert controller.session.working == ""
    assert controller.session.hint == "Cancelled"


def test_refused_target_keeps_prompts_and_tells(controller, scene, view):
    say(scene, CLICK)
    controller.session.target_choices = (Choice("other", "other"),)
    controller.session.target = "other"
    scene.label_store.side_effect = LabelsError("wrong shape", todo="Choose another")
    controller.act("accept")
    scene.clear_prompts.assert_not_called()
    assert last(view).mood == "error"
    assert last(view).status == "wrong shape. Choose another"


def test_undo_waits_for_the_accept_before_it(controller, scene, runner):
    say(scene, CLICK)
    runner.hold = True
    for action in ("accept", "undo"):
        controller.act(action)
    assert controller.session.redo_text == ""
    runner.release()
    store = scene.add_labels.call_args.args[2]
    assert not store.data.any()
    assert (controller.session.undo_text, controller.session.redo_text) == ("prompt", "label 1")


def test_two_quick_accepts_make_one_layer(controller, scene, runner):
    say(scene, CLICK)
    proposals = controller.session.proposals
    runner.hold = True
    controller.act("accept")
    controller.session.proposals = proposals
    controller.session.overlap = "replace"
    controller.act("accept")
    scene.label_store.side_effect = lambda *_: scene.add_labels.call_args.args[2]
    runner.release()
    scene.add_labels.assert_called_once()
    assert controller.session.undo_text == "label 2"


def test_a_stroke_is_a_step_and_a_lost_step_is_told(controller, scene, view):
    done = []
    stroke = ValueEdit("stroke", lambda: done.append("redo"), lambda: done.append("undo"))
    scene.stroked.emit(stroke)
    assert controller.session.undo_text == "stroke"
    controller.act("undo")
    controller.act("redo")
    assert done == ["undo", "redo"]
    scene.stroked.emit(replace(stroke, text="large", nbytes=controller.session.undo_bytes))
    assert "The oldest step can no longer be undone" in last(view).status
    controller.act("undo")
    assert "no longer" not in last(view).status


def test_no_plane_is_a_hint_and_no_question(controller, scene, view, model):
    scene.address.side_effect = PromptError("prompts need a plane", todo="Switch to 2D")
    say(scene, CLICK)
    assert last(view).status == "prompts need a plane. Switch to 2D"
    assert last(view).mood == "hint"
    assert model.decoded == 0
    assert not last(view).buttons["segment_all"].enabled


def test_unknown_trouble_is_one_line(controller, scene, view, caplog):
    scene.prompts.side_effect = ZeroDivisionError("a\nb")
    scene.prompts_changed.emit()
    assert "ZeroDivisionError" in last(view).status
    assert "\n" not in last(view).status
    assert caplog.records[0].exc_info


def test_settings_are_remembered(controller):
    controller.choose("overlap", "replace")
    controller.choose("device", "cpu")
    calls = [call.kwargs for call in controller._remember.call_args_list]
    assert calls == [{"overlap": "replace"}, {"device": "cpu"}]


def test_download_needs_consent(controller, view, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "napari_ditto.ui.controller.download_question", lambda model: f"Download {model}?"
    )
    view.confirm.side_effect = lambda text: asked.append(text) or False
    view.chose.emit("model", "sam:vit_b")
    assert asked == ["Download sam:vit_b?"]
    assert controller.session.model == DEFAULT_MODEL


def test_download_then_use(controller, view, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "napari_ditto.ui.controller.download_question",
        lambda model: "" if fetched else "Download?",
    )

    def fetch(self, model):
        fetched.append(model)
        yield from ()

    monkeypatch.setattr(Workshop, "fetch", fetch)
    view.confirm.return_value = True
    view.chose.emit("model", "sam:vit_b")
    assert fetched == ["sam:vit_b"]
    assert controller.session.model == "sam:vit_b"


def test_everything_is_written_as_one_step(controller, scene):
    controller.act("segment_all")
    store = scene.add_labels.call_args.args[2]
    np.testing.assert_array_equal(store.data > 0, image() > 0)
    controller.act("undo")
    assert not store.data.any()


def test_cancel_of_everything_keeps_what_is_finished(controller, scene):
    found = EverythingResult(
        (image() > 0).astype(np.uint32), Box(0, 0, 64, 64), PLANE, np.ones(1, np.float32), "blob"
    )
    everything = controller._everything
    everything._keep(controller._proposing.setup(), found)
    controller.act("cancel")
    store = scene.add_labels.call_args.args[2]
    np.testing.assert_array_equal(store.data > 0, image() > 0)
    controller.act("cancel")
    scene.add_labels.assert_called_once()


def test_last_view_closes(controller, scene, view, runner):
    controller.detach(view)
    assert controller.is_closed
    scene.close.assert_called_once()
    controller.detach(view)


def test_question_names_time_and_memory():
    text = question(Estimate(600.0, 3 * 2**30, 40, ("a note",)))
    assert "40 tiles" in text
    assert "10 minutes" in text
    assert "3,072 MB" in text
    assert "a note" in text


def test_proposals_are_followed_over_edges_when_next(controller, scene):
    say(scene, CLICK)
    session = controller.session
    shown = session.proposals
    session.proposals = Proposals(
        shown.masks, shown.box, shown.scores, 1, PLANE, CLICK, complete=np.array([1, 1, 0], bool)
    )
    controller.act("next_proposal")
    assert session.choice == 2
    assert bool(session.proposals.complete[2])


def test_prompts_that_are_read_otherwise_are_said(controller, scene, view):
    notes = ("2 areas are read as one object",)
    scene.prompts.return_value = CollectedPrompts(CLICK, used=3, elsewhere=2, notes=notes)
    scene.prompts_changed.emit()
    assert last(view).status == "2 areas are read as one object; 2 prompts are on other planes"
    scene.prompts.return_value = CollectedPrompts(CLICK, used=1)
    scene.prompts_changed.emit()
    assert last(view).status == "This mask is by ditto"
