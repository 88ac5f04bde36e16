"""The parts behind the dock of examples, without Qt and napari: mocks, and jobs run in line."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock, create_autospec

import numpy as np
import psygnal
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.source import open_source
from napari_ditto.testing.blobs import BlobContextModel
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.examples.state import ExamplesState
from napari_ditto.ui.prompt_reading import CollectedPrompts
from napari_ditto.ui.session import Choice
from napari_ditto.ui.views import DockView, Scene, Stage
from napari_ditto.ui.workshop import Workshop
from tests.ui.inline import InlineRunner

DISC = ((20, 20), (20, 70), (70, 45))
SHAPE = (96, 96)


def truth(planes=6):
    """Return three discs that drift a little from plane to plane."""
    out = np.zeros((planes, *SHAPE), dtype=np.uint32)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for plane in range(planes):
        for label, (cy, cx) in enumerate(DISC, 1):
            out[plane][(y - cy - plane) ** 2 + (x - cx) ** 2 <= 81] = label
    return out


class Fake:
    """A viewer of one stack with one Labels layer, told by plain arrays."""

    def __init__(self, planes=6, open_dock=True):
        self.truth = truth(planes)
        self.source = open_source(
            np.where(self.truth > 0, 200, 10).astype(np.uint8), axes="zyx", window=(0, 255)
        )
        labels = np.zeros_like(self.truth)
        self.shown = min(2, planes - 1)
        labels[self.shown] = self.truth[self.shown]
        self.layers = {"lab": ArrayLabels(labels, "zyx")}
        self.scene = self._scene()
        self.view = create_autospec(DockView, instance=True, spec_set=False)
        self.view.acted, self.view.chose = psygnal.Signal(str), psygnal.Signal(str, object)
        self.view.acted = psygnal.SignalInstance((str,))
        self.view.chose = psygnal.SignalInstance((str, object))
        self.view.ask_text.return_value = "mine"
        self.view.confirm.return_value = True
        self.runner, self.model = InlineRunner(), BlobContextModel()
        workshop = Workshop(memory_cache, load_model=lambda name, device: self.model)
        self.controller = Controller(self.scene, self.runner, workshop=workshop)
        self.controller.attach(self.view)
        if open_dock:
            self.controller.examples.open()
        self.state, self.session = self.controller.examples.state, self.controller.session

    def _scene(self):
        scene = create_autospec(Scene, instance=True, spec_set=False)
        scene.viewer_for_parts = None
        for name in ("layers_changed", "prompts_changed", "plane_changed"):
            setattr(scene, name, psygnal.SignalInstance(()))
        scene.stroked = psygnal.SignalInstance((object,))
        for name in ("image_edited", "action_pressed"):
            setattr(scene, name, psygnal.SignalInstance((str,)))
        scene.image_choices.return_value = (Choice("im", "image"),)
        scene.target_choices.side_effect = lambda: tuple(Choice(k, k) for k in self.layers)
        scene.prompt_choices.return_value = (Choice("shp", "shapes"),)
        scene.open_source.side_effect = lambda images, window: self.source
        scene.address.side_effect = lambda images: self.address
        scene.prompts.return_value = CollectedPrompts()
        scene.prompt_state.return_value = {}
        scene.clear_prompts.side_effect = lambda layers, images: tuple(layers)
        scene.add_points.return_value = "shp"
        scene.label_store.side_effect = lambda target, source, images: self.layers[target]
        scene.stage = stage = create_autospec(Stage, instance=True, spec_set=False)
        stage.labels_edited = psygnal.SignalInstance((str,))
        stage.likely_labels.side_effect = lambda: next(iter(self.layers), "")
        stage.name.side_effect = lambda key: key if key in self.layers or key == "im" else ""
        stage.selected_label.return_value = 1
        stage.is_partly_labelled.return_value = True
        stage.labels_on_plane.side_effect = lambda key, images, address, box: self.layers[key].read(
            address, box
        )
        stage.add_result.side_effect = self._add_result
        stage.go_to.side_effect = lambda images, address: self.show(address.index["z"])
        return scene

    def _add_result(self, images, source, store, name):
        key = f"{name}{len(self.layers)}"
        self.layers[key] = store
        return key

    @property
    def stage(self):
        return self.scene.stage

    @property
    def address(self):
        return PlaneAddress("y", "x", (("z", self.shown),))

    def show(self, plane):
        self.shown = plane
        self.scene.plane_changed.emit()

    def act(self, *actions):
        for action in actions:
            self.view.acted.emit(action)

    def choose(self, field, value):
        self.view.chose.emit(field, value)

    @property
    def drawn(self) -> ExamplesState:
        return self.view.show_examples.call_args.args[0]


def memory_cache():
    from napari_ditto.data.embeddings import EmbeddingCache

    return EmbeddingCache(directory=None)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_DITTO_TUNED", str(tmp_path / "tuned"))
    monkeypatch.setattr("napari_ditto.ui.examples.tuning.SECONDS", 0.1)
    return Fake()


# --- the list -------------------------------------------------------------------------------------


def test_an_example_is_a_snapshot_with_picture_and_name(fake):
    fake.act("add_example")
    (row,) = fake.state.rows
    assert row.objects == 3
    assert row.example.name == "lab, z 2"
    assert row.example.partial
    assert row.picture.shape == (64, 64, 3)
    assert fake.drawn.rows[0].note == "3 objects · partial"
    fake.layers["lab"].data[:] = 0
    np.testing.assert_array_equal(row.example.labels, fake.truth[2])


def test_adding_the_same_plane_again_renews_it(fake):
    fake.act("add_example")
    fake.layers["lab"].data[2][fake.truth[2] == 3] = 0
    fake.act("add_example")
    (row,) = fake.state.rows
    assert row.objects == 2


def test_only_the_selected_label(fake):
    fake.choose("only_selected", True)
    fake.act("add_example")
    (row,) = fake.state.rows
    assert (row.objects, row.ids) == (1, (1,))
    fake.stage.selected_label.return_value = 9
    fake.act("add_example")
    assert "label 9 is not on this plane" in fake.session.error


def test_a_plane_without_labels_is_one_line(fake):
    fake.show(0)
    fake.act("add_example")
    assert "there is no label to take" in fake.session.error
    assert not fake.state.rows


def test_edits_are_noticed_and_taken_over_when_asked(fake):
    fake.act("add_example")
    fake.layers["lab"].data[2][fake.truth[2] == 3] = 0
    fake.stage.labels_edited.emit("lab")
    assert fake.drawn.rows[0].changed == "edited"
    assert fake.drawn.rows[0].note == "labels have changed"
    fake.choose("renew_example", fake.state.rows[0].key)
    assert fake.drawn.rows[0].changed == ""
    assert fake.state.rows[0].objects == 2


def test_an_example_outlives_its_layer(fake):
    fake.act("add_example")
    del fake.layers["lab"]
    fake.scene.layers_changed.emit()
    assert fake.drawn.rows[0].changed == "gone"
    fake.act("like")
    assert not fake.session.error
    assert fake.state.found.startswith("3 objects")


def test_flags_and_remove(fake):
    fake.act("add_example")
    key = fake.state.rows[0].key
    fake.choose("example", (key, "negative", True))
    fake.choose("example", (key, "enabled", False))
    example = fake.state.rows[0].example
    assert (example.negative, example.enabled) == (True, False)
    assert "none of this" in fake.drawn.rows[0].note
    fake.choose("remove_example", key)
    assert not fake.state.rows


def test_sets_are_saved_and_loaded(fake, tmp_path):
    fake.act("add_example")
    fake.view.ask_save.return_value = str(tmp_path / "mine")
    fake.act("save_examples")
    assert (tmp_path / "mine.ditto-examples").exists()
    fake.view.ask_open.return_value = str(tmp_path / "mine.ditto-examples")
    fake.act("load_examples")
    first, second = fake.state.rows
    assert second.example.name == first.example.name
    assert second.objects == 3
    fake.choose("remove_example", first.key)
    fake.act("like")
    assert fake.state.found.startswith("3 objects")


def test_a_foreign_file_is_one_line(fake, tmp_path):
    (tmp_path / "x.ditto-examples").write_bytes(b"no examples")
    fake.view.ask_open.return_value = str(tmp_path / "x.ditto-examples")
    fake.act("load_examples")
    assert fake.session.error
    assert not fake.state.rows


def test_a_drawing_is_outlined_shown_and_then_used(fake):
    rough = np.zeros(SHAPE, np.int32)
    rough[10:34, 8:32] = 1
    fake.stage.drawing.return_value = rough
    fake.scene.prompts.return_value = CollectedPrompts(PromptSet((PointPrompt(22.0, 20.0),)))
    fake.scene.prompts_changed.emit()
    fake.act("draw_example")
    assert "1 object outlined" in fake.drawn.sharpened
    shown = fake.scene.show_preview.call_args.args[1]
    assert shown.masks.sum() == (fake.truth[2] == 1).sum()
    assert not fake.state.rows
    fake.choose("use_drawing", True)
    assert fake.drawn.sharpened == ""
    assert fake.state.rows[0].objects == 1
    fake.scene.clear_prompts.assert_called()


# --- more like this -------------------------------------------------------------------------------


def test_one_press_is_enough(fake):
    """What is labelled on the plane becomes the example by itself."""
    fake.layers["lab"].data[2][fake.truth[2] > 1] = 0
    fake.act("like")
    assert len(fake.state.rows) == 1
    store = fake.layers["like1"]
    found = store.data[2]
    assert not store.data[[0, 1, 3, 4, 5]].any()
    np.testing.assert_array_equal(found > 0, fake.truth[2] > 0)
    assert len(np.unique(found)) == 4
    layer, ids, scores, model = fake.stage.describe_labels.call_args.args
    assert (layer, tuple(ids), model) == ("like1", (1, 2, 3), fake.model.spec.key)
    assert all(0 < score <= 1 for score in scores)
    assert fake.state.rows[0].similarity == 1.0


def test_the_slider_asks_no_model(fake):
    fake.act("like")
    decoded, encoded = fake.model.decoded, fake.model.encoded
    fake.choose("threshold", 1.0)
    assert not fake.layers["like1"].data.any()
    assert fake.state.found.startswith("0 objects")
    fake.choose("threshold", 0.1)
    assert fake.layers["like1"].data.any()
    assert (fake.model.decoded, fake.model.encoded) == (decoded, encoded)


def test_the_slider_leaves_edits_by_hand(fake):
    fake.act("like")
    fake.layers["like1"].data[2, 0, 0] = 99
    fake.choose("threshold", 1.0)
    assert fake.layers["like1"].data[2].sum() == 99


def test_the_newest_threshold_wins(fake):
    fake.act("like")
    fake.runner.hold = True
    for value in (0.2, 0.4, 1.0):
        fake.choose("threshold", value)
    fake.runner.release()
    assert not fake.layers["like1"].data.any()


def test_a_second_search_of_the_same_plane_takes_the_place_of_the_first(fake):
    fake.act("like", "like")
    assert list(fake.layers) == ["lab", "like1"]


def test_classes_keep_their_ids(fake):
    data = fake.layers["lab"].data
    data[2][data[2] > 0] = 70_000
    fake.choose("one_kind", False)
    fake.act("like")
    assert set(np.unique(fake.layers["like1"].data[2])) == {0, 70_000}
    assert fake.state.found == "1 class"


def test_other_images_each_get_a_layer(fake):
    fake.scene.image_choices.return_value = (Choice("im", "image"), Choice("im2", "other"))
    fake.scene.layers_changed.emit()
    fake.choose("where", "images")
    fake.act("add_example", "like")
    assert "no other image is chosen" in fake.session.error
    fake.choose("other_images", ("im", "im2"))
    fake.act("like")
    assert list(fake.layers) == ["lab", "like1", "like2"]


def test_a_long_run_is_asked_about_first(fake, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.examples.bench.ASK_SECONDS", -1.0)
    fake.view.confirm.return_value = False
    fake.act("add_example", "like")
    assert list(fake.layers) == ["lab"]
    assert fake.session.hint == "Nothing was run"


def test_nothing_switched_on_is_one_line(fake):
    fake.act("add_example")
    fake.choose("example", (fake.state.rows[0].key, "enabled", False))
    fake.act("like")
    assert "no example is switched on" in fake.session.error


# --- follow ---------------------------------------------------------------------------------------


def test_a_key_follows_before_the_dock_was_ever_opened():
    fake = Fake(open_dock=False)
    fake.controller.act("follow")
    assert fake.state.axis == "z"
    labels = np.asarray(fake.layers["lab"].data)
    assert all(labels[z].any() for z in range(6))


def test_axis_is_chosen_by_itself(fake):
    assert [choice.key for choice in fake.state.axis_choices] == ["z"]
    assert (fake.state.axis, fake.state.first, fake.state.last) == ("z", 0, 5)
    assert fake.state.kind == "objects"


def test_follow_writes_every_plane_and_is_one_step(fake):
    fake.act("follow")
    assert fake.session.error == ""
    np.testing.assert_array_equal(fake.layers["lab"].data, fake.truth)
    assert [mark.anchor for mark in fake.state.marks] == [False, False, True, False, False, False]
    drawn = [call.args[2].index["z"] for call in fake.stage.redraw.call_args_list]
    assert sorted(drawn) == [0, 1, 2, 3, 4, 5]
    assert fake.state.followed.startswith("6 planes")
    assert fake.session.undo_text == "5 followed planes"
    fake.act("undo")
    left = fake.layers["lab"].data
    assert left[2].any()
    assert not left[[0, 1, 3, 4, 5]].any()
    fake.act("redo")
    np.testing.assert_array_equal(fake.layers["lab"].data, fake.truth)


def test_follow_again_after_undo_does_the_same(fake):
    fake.act("follow", "undo", "follow")
    assert fake.session.error == ""
    np.testing.assert_array_equal(fake.layers["lab"].data, fake.truth)


def test_bounds(fake):
    fake.choose("first", 2)
    fake.choose("last", 3)
    fake.act("follow")
    data = fake.layers["lab"].data
    assert [bool(plane.any()) for plane in data] == [False, False, True, True, False, False]


def test_an_example_outside_the_bounds_is_one_line(fake):
    fake.choose("first", 4)
    fake.act("follow")
    assert "no example lies in the range" in fake.session.error


def test_planes_of_the_user_are_never_written(fake):
    data = fake.layers["lab"].data
    data[4][40:44, 40:44] = 2
    before = data[4].copy()
    fake.act("follow")
    np.testing.assert_array_equal(data[4], before)
    assert fake.state.marks[4].anchor


def test_a_corrected_plane_is_an_anchor_and_the_rest_is_reused(fake):
    fake.act("follow")
    data = fake.layers["lab"].data
    data[4][data[4] == 1] = 0
    fake.act("follow")
    assert fake.session.error == ""
    assert not (data[4] == 1).any()
    assert not (data[5] == 1).any(), "an object that the user ended is not carried past"
    assert (data[1] == 1).any()
    assert fake.state.marks[4].anchor
    assert "as before" in fake.state.followed
    fake.act("follow")
    assert fake.state.marks[4].anchor, "it stays the user's"


def test_into_a_new_layer(fake):
    fake.choose("into", "new")
    before = fake.layers["lab"].data.copy()
    fake.act("follow")
    np.testing.assert_array_equal(fake.layers["lab"].data, before)
    np.testing.assert_array_equal(fake.layers["follow1"].data, fake.truth)
    fake.act("follow")
    assert list(fake.layers) == ["lab", "follow1"]


def test_everything_labelled_is_one_line(fake):
    fake.layers["lab"].data[:] = fake.truth
    fake.act("follow")
    assert "labelled already" in fake.session.error


def test_cancel_keeps_what_is_done(fake):
    redraw = fake.stage.redraw

    def after_three(*_):
        if redraw.call_count == 3:
            fake.act("cancel")

    redraw.side_effect = after_three
    fake.act("follow")
    filled = [plane.any() for plane in fake.layers["lab"].data]
    assert 3 <= sum(filled) < 6
    assert fake.state.followed == "Cancelled after 3 of 6 planes"
    fake.act("undo")
    assert sum(plane.any() for plane in fake.layers["lab"].data) == 1
    redraw.side_effect = None
    fake.act("follow")
    np.testing.assert_array_equal(fake.layers["lab"].data, fake.truth)


def test_the_layer_is_deleted_while_it_runs(fake):
    redraw = fake.stage.redraw

    def after_two(*_):
        if redraw.call_count == 2:
            del fake.layers["lab"]
            fake.scene.layers_changed.emit()

    redraw.side_effect = after_two
    fake.act("follow")
    assert fake.state.followed == "Stopped: the Labels layer was deleted"
    assert fake.session.working == ""
    assert fake.session.undo_text == ""
    assert fake.state.marks == ()


def test_one_plane_is_a_reason_on_the_button(fake):
    fake = Fake(planes=1)
    assert fake.state.axis == ""
    assert "only one plane" in fake.drawn.buttons["follow"].why


# --- review ---------------------------------------------------------------------------------------


@pytest.fixture
def doubtful(fake):
    """Follow a stack in which one disc is away from plane 4 on."""
    gone = fake.truth.copy()
    gone[4:][gone[4:] == 3] = 0
    fake.truth = gone
    pixels = np.where(gone > 0, 200, 10).astype(np.uint8)
    fake.source = open_source(pixels, axes="zyx", window=(0, 255))
    fake.controller._proposing.start_over()
    fake.act("follow")
    assert fake.state.doubts
    return fake


def test_next_goes_to_the_plane_and_selects(doubtful):
    doubtful.act("next_doubt")
    doubt = doubtful.state.current
    assert doubtful.shown == doubt.address.index["z"]
    layer, label, _, _ = doubtful.stage.select_label.call_args.args
    assert (layer, label) == ("lab", doubt.label)
    assert doubtful.state.shown == (doubtful.shown,)
    frame = doubtful.scene.show_preview.call_args.args[1]
    assert frame.address == doubt.address
    planes = doubtful.layers["lab"].data[doubtful.shown - 1 : doubtful.shown + 2]
    rows, columns = np.nonzero((planes == doubt.label).any(axis=0))
    assert frame.box.contains(rows.mean(), columns.mean())


def test_accept_takes_it_off_for_good(doubtful):
    count = len(doubtful.state.doubts)
    doubtful.act("next_doubt")
    taken = doubtful.state.current
    doubtful.act("accept_doubt")
    assert len(doubtful.state.doubts) == count - 1
    doubtful.act("follow")
    assert (taken.address, taken.label) not in {(d.address, d.label) for d in doubtful.state.doubts}


def test_delete_empties_the_plane_of_it(doubtful):
    data = doubtful.layers["lab"].data
    data[4, 70:75, 40:45] = 3
    doubtful.act("next_doubt")
    doubt = doubtful.state.current
    plane = doubt.address.index["z"]
    count = len(doubtful.state.doubts)
    doubtful.act("delete_doubt")
    assert not (data[plane] == doubt.label).any()
    assert len(doubtful.state.doubts) == count - 1
    doubtful.act("undo")
    assert doubtful.session.error == ""


def test_fix_by_prompts_replaces_the_mask_and_anchors_the_plane(doubtful):
    doubtful.act("next_doubt")
    doubt = doubtful.state.current
    plane = doubt.address.index["z"]
    doubtful.choose("keep_fixed", True)
    doubtful.act("fix_doubt")
    assert doubtful.session.fixing.label == doubt.label
    assert f"Fixing label {doubt.label}" in doubtful.session.hint
    click = CollectedPrompts(PromptSet((PointPrompt(20.0 + plane, 70.0),)))
    doubtful.scene.prompts.return_value = click
    doubtful.choose("overlap", "replace")
    doubtful.scene.prompts_changed.emit()
    assert doubtful.session.has_object
    doubtful.act("accept")
    data = doubtful.layers["lab"].data
    assert (data[plane] == doubt.label).sum() == (doubtful.truth[plane] == 2).sum()
    assert doubtful.session.fixing is None
    assert doubt not in doubtful.state.doubts
    assert next(m for m in doubtful.state.marks if m.position == (plane,)).anchor
    assert [row.address.index["z"] for row in doubtful.state.rows] == [2, plane]


def test_fix_by_brush(doubtful):
    doubtful.act("next_doubt")
    doubt = doubtful.state.current
    doubtful.act("fix_doubt")
    doubtful.stage.labels_edited.emit("lab")
    assert doubt not in doubtful.state.doubts
    assert doubtful.session.fixing is None


def test_the_curve_leads_to_its_planes(doubtful):
    doubtful.choose("position", (5,))
    assert doubtful.shown == 5


# --- tuned prompts --------------------------------------------------------------------------------


def test_without_a_name_nothing_is_tuned(fake):
    fake.view.ask_text.return_value = ""
    fake.act("add_example", "tune")
    assert fake.state.tuning == ""
    assert fake.session.error == ""


def test_a_tuned_prompt_is_saved_listed_and_used(fake):
    fake.act("add_example", "tune")
    assert fake.session.error == ""
    assert fake.state.tuning
    assert [choice.text for choice in fake.drawn.tuned_choices] == ["none", "mine"]
    assert fake.state.tuned == "mine"
    fake.choose("remove_example", fake.state.rows[0].key)
    fake.choose("one_kind", False)
    fake.act("like")
    assert fake.session.error == ""
    assert fake.state.one_kind, "it was tuned for objects of one kind"
    assert fake.state.found.startswith("3 objects")


def test_a_bad_name_is_refused_before_the_minute(fake):
    fake.view.ask_text.return_value = "../x"
    fake.act("add_example", "tune")
    assert "cannot be a name" in fake.session.error
    assert fake.model.encoded == 0


def test_a_tuned_prompt_of_another_model_is_refused(fake):
    fake.act("add_example", "tune")
    fake.model.spec = replace(fake.model.spec, version="2")
    fake.act("like")
    assert "was tuned for" in fake.session.error


def test_controller_closes_with_its_last_dock(fake):
    other = MagicMock()
    fake.controller.attach(other)
    fake.controller.detach(fake.view)
    assert not fake.controller.is_closed
    fake.controller.detach(other)
    assert fake.controller.is_closed


def test_large_planes_are_taken_as_far_as_they_are_in_view(fake, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.examples.bench.LARGE_PLANE", 100)
    fake.stage.view_box.return_value = Box(0, 0, 50, 96)
    fake.act("add_example")
    (row,) = fake.state.rows
    assert row.example.box == Box(0, 0, 50, 96)
    assert row.objects == 2


# --- cells that move and divide -------------------------------------------------------------------


def test_cells_become_tracks_and_are_exported(fake, tmp_path):
    pytest.importorskip("laptrack")
    fake.choose("kind", "cells")
    assert not fake.drawn.buttons["export_tracks"].enabled
    fake.act("follow")
    assert fake.session.error == ""
    np.testing.assert_array_equal(fake.layers["cells1"].data > 0, fake.truth > 0)
    lineage = fake.stage.add_tracks.call_args.args[2]
    assert len(lineage.tracks) == 3
    assert fake.state.followed == "3 tracks, 0 divisions"
    assert len(fake.state.marks) == 6
    for name in ("a.geff", "ctc"):
        fake.view.ask_save.return_value = str(tmp_path / name)
        fake.act("export_tracks")
        assert fake.session.error == ""
        assert (tmp_path / name).is_dir()
    assert (tmp_path / "ctc" / "res_track.txt").exists()
    del fake.layers["cells1"]
    fake.scene.layers_changed.emit()
    assert not fake.drawn.buttons["export_tracks"].enabled
