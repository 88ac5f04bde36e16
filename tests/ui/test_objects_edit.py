"""Working on accepted objects without Qt and napari: the viewer is a mock, jobs run in line."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock, create_autospec

import numpy as np
import psygnal
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import PointPrompt, PromptSet, ScribblePrompt
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.object_records import ObjectRecord, ObjectTable
from napari_ditto.data.source import open_source
from napari_ditto.errors import LabelsError
from napari_ditto.testing.fakes import TRUTH_WINDOW, PerfectModel, paint_truth
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.objects.edit_part import EditPart
from napari_ditto.ui.objects.edit_stage import EditStage
from napari_ditto.ui.prompt_reading import CollectedPrompts
from napari_ditto.ui.prompt_state import LayerState
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.session import Choice
from napari_ditto.ui.views import DockView, Scene
from napari_ditto.ui.workshop import Workshop


class InlineRunner(Runner):
    def __init__(self):
        super().__init__(post=lambda call: call())

    def _start_next(self):
        while self._waiting and self._current is None:
            self._current = self._waiting.pop(0)
            self._work(self._current)


def truth(planes=3):
    """Return an image of three objects, the same on all planes; the third lies apart."""
    plane = np.zeros((60, 60), np.uint8)
    plane[10:30, 5:25], plane[10:30, 25:45], plane[45:55, 45:55] = 1, 2, 3
    return np.stack([plane] * planes)


class Bench:
    """A controller with the part, over labels in which the objects have the ids 4, 7 and 9."""

    def __init__(self, monkeypatch, planes=3):
        self.labels = np.array([0, 4, 7, 9], np.uint16)[truth(planes)]
        self.store = ArrayLabels(self.labels, "zyx")
        self.plane = PlaneAddress("y", "x", (("z", min(1, planes - 1)),))
        self.cursor, self.prompts = (0, 0), PromptSet()
        self.scene, self.stage, self.view = self._scene(), self._stage(), self._view()
        monkeypatch.setattr(
            "napari_ditto.ui.controller.make_parts", lambda tools: (EditPart(tools, self.stage),)
        )
        workshop = Workshop(lambda: None, load_model=lambda name, device: PerfectModel())
        self.controller = Controller(self.scene, InlineRunner(), workshop=workshop)
        self.controller.attach(self.view)
        self.session = self.controller.session
        self.session.target, self.session.prompt_layers = "lab", ("pts",)
        self.tables = self.controller._labelling.tables

    def _scene(self):
        scene = create_autospec(Scene, instance=True, spec_set=False)
        for name, args in (
            ("layers_changed", ()), ("image_edited", (str,)), ("prompts_changed", ()),
            ("plane_changed", ()), ("action_pressed", (str,)), ("stroked", (object,)),
        ):  # fmt: skip
            setattr(scene, name, psygnal.SignalInstance(args))
        scene.viewer_for_parts = None
        scene.image_choices.return_value = (Choice("im", "image"),)
        scene.target_choices.return_value = (Choice("lab", "labels"),)
        scene.prompt_choices.return_value = (Choice("pts", "points"),)
        source = open_source(paint_truth(truth(len(self.labels))), "zyxc", window=TRUTH_WINDOW)
        scene.open_source.return_value = source
        scene.address.side_effect = lambda images: self.plane
        scene.prompts.side_effect = lambda layers, images: CollectedPrompts(self.prompts)
        scene.prompt_state.side_effect = lambda layers: {"pts": self._state()}
        scene.restore_prompts.side_effect = self._restore
        scene.clear_prompts.side_effect = self._clear
        scene.pointed_at.side_effect = lambda images: self.cursor
        scene.label_store.side_effect = lambda *_: self.store
        scene.add_points.return_value = scene.add_boxes.return_value = "pts"
        scene.stage.labels_edited = psygnal.SignalInstance((str,))
        scene.stage.view_box.return_value = Box(0, 0, 60, 60)
        scene.stage.name.side_effect = {"lab": "cells", "pts": "points"}.get
        scene.stage.go_to.side_effect = lambda images, address: setattr(self, "plane", address)
        return scene

    def _stage(self):
        stage = create_autospec(EditStage, instance=True, spec_set=False)
        stage.clicked = psygnal.SignalInstance(())
        stage.take_up_line.side_effect = lambda add: add()
        return stage

    def _view(self):
        view = create_autospec(DockView, instance=True, spec_set=False)
        view.acted, view.chose = (psygnal.SignalInstance(x) for x in ((str,), (str, object)))
        return view

    def _state(self):
        said = [(p.y, p.x, p.positive) for p in self.prompts.points]
        said += [v for s in self.prompts.scribbles for v in s.path]
        return LayerState(tuple(np.array(s, dtype=float) for s in said), {"set": (self.prompts,)})

    def _restore(self, state):
        if "pts" in state:
            self.prompts = state["pts"].columns["set"][0]

    def _clear(self, layers, images):
        self.prompts = PromptSet()
        return tuple(layers)

    # --- what the user does ----------------------------------------------------------------------

    def act(self, action):
        self.controller.act(action)

    def pick(self, *positions):
        for self.cursor in positions:
            self.act("pick_object")

    def say(self, prompts):
        self.prompts = prompts
        self.scene.prompts_changed.emit()

    def line(self, *path):
        self.say(replace(self.prompts, scribbles=(ScribblePrompt(path),)))

    def clicks(self, *positions, positive=True):
        self.say(self.prompts.with_points(PointPrompt(y, x, positive) for y, x in positions))

    def choose(self, field, value):
        self.controller.choose(f"objects_edit.{field}", value)

    @property
    def shown(self):
        return self.controller.parts[0].shown()

    @property
    def ids(self):
        """The label of each of the three objects, in the middle of it."""
        return [self.labels[:, y, x].tolist() for y, x in (A, B, C)]


A, B, C = (20, 15), (20, 35), (50, 50)


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


@pytest.fixture
def flat(monkeypatch):
    return Bench(monkeypatch, planes=1)


class TestPicking:
    def test_one_after_the_other_and_back(self, bench):
        bench.pick(A, C)
        assert bench.shown.ids == (4, 9)
        assert bench.shown.text == "Picked: 4, 9"
        bench.pick(A)
        assert bench.shown.ids == (9,)
        outlined = bench.stage.outline.call_args.args[2]
        assert [mask.box for mask in outlined] == [Box(45, 45, 55, 55)]

    def test_beside_objects_all_are_let_go(self, bench):
        bench.pick(A, C, (58, 2))
        assert bench.shown.ids == ()
        bench.stage.hide.assert_called()

    def test_cancel_lets_go(self, bench):
        bench.pick(A)
        bench.act("cancel")
        assert (bench.shown.ids, bench.session.fixing) == ((), None)

    def test_another_plane_shows_them_there(self, bench):
        bench.pick(A)
        bench.labels[2, 10:20, 5:25] = 0
        bench.plane = bench.plane.with_index({"z": 2})
        bench.scene.plane_changed.emit()
        _, address, outlined = bench.stage.outline.call_args.args
        assert (address, outlined[0].box) == (bench.plane, Box(20, 5, 30, 25))

    def test_what_an_undo_removes_is_picked_no_more(self, flat):
        flat.labels[0, 45:55, 45:55] = 0
        flat.clicks(C)
        flat.act("accept")
        flat.pick(A, C)
        flat.act("undo")
        assert flat.shown.ids == (4,)

    def test_a_table_can_pick_too(self, bench):
        bench.choose("pick", ("lab", (7, 9)))
        assert bench.shown.ids == (7, 9)

    def test_many_at_once(self, flat):
        flat.labels[0, :4, ::3] = np.arange(100, 120)
        flat.choose("pick", ("lab", (4, *range(100, 120), 999)))
        assert flat.shown.ids == (4, *range(100, 120))
        assert flat.shown.text == "21 objects are picked"
        assert flat.stage.outline.call_args.args[2][1].box == Box(0, 0, 4, 1)

    def test_labels_of_another_image_are_let_go(self, bench):
        bench.pick(A)
        bench.scene.label_store.side_effect = LabelsError("the labels have another shape")
        bench.plane = bench.plane.with_index({"z": 2})
        bench.scene.plane_changed.emit()
        assert (bench.shown.ids, bench.session.error) == ((), "")

    def test_clicks_pick_while_the_tool_is_armed(self, bench):
        bench.act("pick_tool")
        bench.stage.take_up_picker.assert_called_once_with("lab")
        bench.cursor = B
        bench.stage.clicked.emit()
        assert (bench.shown.ids, bench.shown.picking) == ((7,), True)
        bench.act("pick_tool")
        bench.stage.put_down.assert_called_once()

    def test_says_when_there_are_no_labels(self, bench):
        bench.session.target, bench.scene.stage.likely_labels.return_value = "", ""
        bench.pick(A)
        assert "no labels yet" in bench.session.error


class TestRefining:
    def test_the_model_is_told_of_the_object_and_puts_it_back(self, bench):
        bench.labels[1, 10:30, 15:25] = 0
        bench.pick((20, 10))
        bench.clicks((20, 20))
        assert bench.session.prompts.mask.box == Box(10, 5, 30, 15)
        bench.stage.step_back.assert_called_with("lab")
        bench.act("accept")
        assert bench.ids[0] == [4, 4, 4]
        assert (bench.labels[1] == 4).sum() == 400
        assert (bench.shown.ids, bench.session.fixing) == ((), None)
        bench.act("undo")
        assert (bench.labels[1] == 4).sum() == 200

    @pytest.mark.parametrize(("overlap", "expected"), [("keep", 380), ("replace", 400)])
    def test_keep_existing_is_obeyed(self, bench, overlap, expected):
        bench.session.overlap = overlap
        bench.labels[1, 10:30, 24] = 7
        bench.pick(A)
        bench.clicks((20, 20))
        bench.act("accept")
        assert (bench.labels[1] == 4).sum() == expected

    def test_a_click_far_away_is_about_a_new_object(self, bench):
        bench.labels[:, 45:55, 45:55] = 0
        bench.pick(A)
        bench.clicks(C)
        assert (bench.session.prompts.mask, bench.session.fixing) == (None, None)
        bench.act("accept")
        assert bench.ids[2] == [0, 8, 0]
        assert bench.ids[0] == [4, 4, 4]

    def test_several_objects_are_not_refined(self, bench):
        bench.pick(A, B)
        bench.clicks((20, 20))
        assert (bench.session.prompts.mask, bench.session.fixing) == (None, None)


class TestMerging:
    def test_the_picked_ones_become_the_first_on_all_planes(self, bench):
        before = bench.labels.copy()
        bench.pick(B, A)
        bench.act("merge_objects")
        assert bench.ids == [[7] * 3, [7] * 3, [9] * 3]
        assert bench.session.hint == "Object 4 went into object 7"
        assert bench.session.undo_text == "merge"
        bench.act("undo")
        np.testing.assert_array_equal(bench.labels, before)
        bench.act("redo")
        assert bench.ids[0] == [7] * 3

    def test_those_under_a_line_and_the_line_comes_back(self, bench):
        bench.line(A, B)
        bench.act("merge_objects")
        assert (bench.ids[1], bench.prompts.is_empty) == ([4] * 3, True)
        bench.act("undo")
        assert (bench.ids[1], bench.prompts.scribbles[0].path) == ([7] * 3, (A, B))

    def test_records_follow_and_come_back(self, bench):
        before = ObjectTable({4: ObjectRecord(4, score=0.9), 7: ObjectRecord(7, score=0.5)})
        bench.tables.put("lab", before)
        bench.pick(A, B)
        bench.act("merge_objects")
        after = bench.tables.of("lab").records
        assert after == {4: ObjectRecord(4, score=0.5, by_hand=True)}
        bench.act("undo")
        assert bench.tables.of("lab").records == before.records

    @pytest.mark.parametrize(
        ("path", "trouble"),
        [((A, (20, 17)), "only over object 4"), (((1, 1), (1, 9)), "over no object")],
    )
    def test_says_what_makes_no_sense(self, bench, path, trouble):
        bench.act("merge_objects")
        assert "fewer than two objects are picked" in bench.session.error
        bench.line(*path)
        bench.act("merge_objects")
        assert trouble in bench.session.error
        assert not bench.prompts.is_empty


class TestSplitting:
    def test_waits_for_a_line_and_cuts_along_it(self, bench):
        bench.act("split_object")
        bench.stage.take_up_line.assert_called_once()
        assert bench.shown.cutting
        bench.line((5, 12), (35, 12))
        assert bench.session.hint == "Object 4 was split: 4, 10"
        assert bench.labels[:, 20, 8].tolist() == [4, 10, 4]
        assert (bench.shown.cutting, bench.prompts.is_empty) == (False, True)
        assert bench.session.proposals is None
        bench.act("undo")
        assert (bench.labels[1, 20, 8], len(bench.prompts.scribbles)) == (4, 1)
        bench.act("undo")
        assert bench.prompts.is_empty

    def test_the_key_again_or_cancel_puts_the_line_down(self, bench):
        for action in ("split_object", "cancel"):
            bench.act("split_object")
            bench.act(action)
            assert not bench.shown.cutting
        bench.line((5, 12), (35, 12))
        assert bench.labels[1, 20, 8] == 4

    def test_between_two_clicks_on_all_planes(self, bench):
        bench.choose("everywhere", True)
        bench.clicks((20, 8), (20, 22))
        bench.act("split_object")
        assert bench.labels[:, 20, 22].tolist() != bench.labels[:, 20, 8].tolist()
        assert len(set(bench.labels[:, 20, 22].tolist())) == 1
        assert bench.prompts.is_empty

    def test_the_picked_one_is_meant(self, bench):
        bench.labels[:, 10:30, 5:45] = 7
        bench.pick(C)
        bench.line((5, 25), (35, 25))
        bench.act("split_object")
        assert "the line does not cross object 9" in bench.session.error
        assert len(bench.prompts.scribbles) == 1

    def test_between_planes(self, bench):
        bench.pick(A)
        bench.act("split_planes")
        assert bench.ids[0] == [4, 10, 10]

    def test_clicks_on_nothing(self, bench):
        bench.clicks((58, 2), (58, 5))
        bench.act("split_object")
        assert "the first click lies on no object" in bench.session.error


class TestDeleting:
    def test_on_this_plane_or_on_all(self, bench):
        bench.pick(A)
        bench.act("delete_objects")
        assert (bench.ids[0], bench.shown.ids) == ([4, 0, 4], ())
        bench.choose("everywhere", True)
        bench.cursor = B
        bench.act("delete_objects")
        assert bench.ids == [[4, 0, 4], [0] * 3, [9] * 3]
        bench.act("undo")
        bench.act("undo")
        assert bench.ids == [[4] * 3, [7] * 3, [9] * 3]

    def test_says_what_is_missing(self, bench):
        bench.act("delete_objects")
        assert "none is under the cursor" in bench.session.error


class TestIds:
    def test_all_after_a_question(self, bench):
        bench.view.confirm.return_value = False
        bench.act("renumber_objects")
        assert bench.ids == [[4] * 3, [7] * 3, [9] * 3]
        bench.view.confirm.return_value = True
        bench.act("renumber_objects")
        assert bench.ids == [[1] * 3, [2] * 3, [3] * 3]
        assert "'cells'" in bench.view.confirm.call_args.args[0]

    def test_one_as_the_user_says(self, bench):
        bench.pick(A)
        for answer, trouble in (("9", "another object has the id 9"), ("x", "'x' is no id")):
            bench.view.ask_text.return_value = answer
            bench.act("renumber_objects")
            assert trouble in bench.session.error
        bench.view.ask_text.return_value = "40"
        bench.act("renumber_objects")
        assert (bench.ids[0], bench.shown.ids) == ([40] * 3, (40,))


class TestDoubts:
    def test_the_worst_first_and_each_once(self, flat):
        flat.tables.put("lab", ObjectTable({7: ObjectRecord(7, score=0.4), 4: ObjectRecord(4)}))
        flat.labels[0, 0, 0] = 5
        seen = []
        for _ in range(4):
            flat.act("next_doubt")
            seen.append((flat.shown.ids, flat.session.hint))
        assert [ids for ids, _ in seen] == [(7,), (5,), (), (7,)]
        assert seen[0][1] == "Object 7: score 0.40 (1 more)"
        assert seen[1][1] == "Object 5: at the border, small (the last one)"
        assert seen[2][1] == "Nothing more is doubtful"

    def test_pieces_are_a_doubt_and_deleting_goes_on(self, flat):
        flat.labels[0, 10:30, 34:36] = 0
        flat.act("next_doubt")
        assert (flat.shown.ids, flat.session.hint) == ((7,), "Object 7: in 2 pieces (the last one)")
        flat.act("delete_doubt")
        assert not (flat.labels == 7).any()
        assert flat.session.hint == "Nothing more is doubtful"

    def test_goes_to_the_plane_that_shows_it(self, bench):
        bench.labels[0, 10:30, 5:25] = 0
        bench.labels[1:, 10:30, 5:25] = 0
        bench.labels[2, 10:12, 5:7] = 4
        bench.act("next_doubt")
        assert (bench.shown.ids, bench.plane.index) == ((4,), {"z": 2})
        bench.scene.runs.go_to_tile.assert_not_called()

    def test_large_labels_are_looked_through_once_a_round(self, flat, monkeypatch):
        monkeypatch.setattr("napari_ditto.ui.objects.doubting.QUICK_PIXELS", 0)
        scores = {4: 0.3, 7: 0.4, 9: 0.5}
        flat.tables.put(
            "lab", ObjectTable({i: ObjectRecord(i, score=s) for i, s in scores.items()})
        )
        flat.act("next_doubt")
        flat.pick(B)
        flat.act("delete_objects")
        flat.labels[0, 0, 0] = 1
        flat.act("next_doubt")
        assert flat.shown.ids == (9,)
        flat.act("next_doubt")
        assert flat.session.hint == "Nothing more is doubtful"
        flat.act("next_doubt")
        assert flat.shown.ids == (9,)

    def test_what_was_followed_comes_first(self, flat):
        flat.controller.examples.state.doubts = (MagicMock(),)
        flat.act("next_doubt")
        assert flat.shown.ids == ()
