"""The table of objects behind the docks: the viewer is faked, jobs run in line."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock, create_autospec

import numpy as np
import psygnal
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.arrays import wrap
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.measured import Subject
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.errors import LabelsError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.history import LabelEdit, PromptEdit
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.objects_table.colouring import rgba
from napari_ditto.ui.objects_table.part import ObjectsPart
from napari_ditto.ui.objects_table.rows import Filter
from napari_ditto.ui.objects_table.state import (
    NO_LABELS,
    NO_OBJECTS,
    NOTHING_FITS,
    RUNNING,
    ObjectsState,
)
from napari_ditto.ui.session import Session
from napari_ditto.ui.views import Scene
from tests.ui.inline import InlineRunner

CELL, DEBRIS = ObjectClass(1, "cell", "#e69f00"), ObjectClass(2, "debris", "#56b4e9")


class FakeStage:
    """Labels layers by name, without napari."""

    selected = psygnal.Signal()
    edited = psygnal.Signal(str, object)

    def __init__(self, **layers: np.ndarray) -> None:
        self.layers, self.active = dict(layers), ""
        self.running: set[str] = set()
        self.label, self.followed = 0, ""
        self.went: list[tuple[object, ...]] = []
        self.painted: list[tuple[str, object]] = []
        self._subjects: dict[str, Subject] = {}

    def labels(self, target: str) -> str:
        wanted = [key for key in (self.active, target) if key in self.layers]
        return (*wanted, *self.layers, "")[0]

    def all_labels(self) -> tuple[str, ...]:
        return tuple(self.layers)

    def name(self, layer: str) -> str:
        return layer if layer in self.layers else ""

    def is_unfinished(self, layer: str) -> bool:
        return layer in self.running

    def subject(self, layer: str) -> Subject:
        data, known = self.layers[layer], self._subjects.get(layer)
        if known is None or known.labels.where != str(id(data)):
            axes = tuple("tzyx"[-data.ndim :])
            units = ("µm",) * data.ndim
            raw = wrap(data, str(id(data)))
            self._subjects[layer] = Subject(raw, axes, (0.5,) * data.ndim, units)
        return self._subjects[layer]

    def dtype(self, layer: str) -> np.dtype:
        return self.layers[layer].dtype

    def selected_label(self, layer: str) -> int:
        return self.label

    def follow(self, layer: str) -> None:
        self.followed = layer

    def go_to(self, *where: object, zoom: bool) -> None:
        assert where[0] in self.layers
        self.went.append((*where, zoom))

    def paint(self, layer: str, colors: object) -> None:
        self.painted.append((layer, colors))

    def close(self) -> None:
        self.followed = ""


def blocks(*ids: int) -> np.ndarray:
    """Return labels with a block of 4 x 4 for each id."""
    labels = np.zeros((40, 40), dtype=np.uint16)
    for number, label in enumerate(ids):
        y, x = divmod(number, 8)
        labels[5 * y : 5 * y + 4, 5 * x : 5 * x + 4] = label
    return labels


class Bench:
    def __init__(self, **layers: np.ndarray) -> None:
        scene = create_autospec(Scene, instance=True, spec_set=False)
        scene.viewer_for_parts = None
        self.session, self.stage = Session(), FakeStage(**layers)
        self.desk = Desk(self.session, scene, InlineRunner(), MagicMock())
        self.labelling = Labelling(self.desk, MagicMock(), MagicMock())
        self.runner = InlineRunner()
        self.part = ObjectsPart(
            self.desk, self.labelling, self.stage, self.runner, open_dock=lambda: None
        )
        self.part.refresh()

    @property
    def shown(self) -> ObjectsState:
        return self.part.shown()

    @property
    def ids(self) -> list[int]:
        return self.shown.rows.shown.tolist()

    @property
    def table(self) -> ObjectTable:
        return self.labelling.tables.of(self.shown.layer)

    def choose(self, field: str, value: object) -> None:
        self.desk.guarded(lambda: self.part.choose(f"objects.{field}", value))

    def write(self, layer: str, label: int, box: Box) -> None:
        """Accept an object as the session does it."""
        store = ArrayLabels(self.stage.layers[layer], "yx")
        mask = np.ones(box.shape, dtype=bool)
        delta = store.write(PlaneAddress(), box, mask, label, "replace")
        note = {"label": label, "model": "ditto", "prompts": "1f", "score": 0.7}
        classes = self.labelling.classes
        also = self.labelling.tables.note(layer, [note], classes.current, classes.offered)
        self.labelling.record(LabelEdit(layer, store, (delta,), PromptEdit.nothing(), also))


@pytest.fixture
def bench() -> Bench:
    return Bench(one=blocks(1, 2, 3))


def test_without_labels_it_says_what_to_do() -> None:
    bench = Bench()
    assert bench.shown.message == NO_LABELS
    for field, value in (
        ("jump", (1, True)), ("class_of", ((1,), 1)), ("note", (1, "x")), ("filter", Filter("a")),
        ("sort", ("area", True)), ("layer", ""),
    ):  # fmt: skip
        bench.choose(field, value)
    assert bench.session.error == ""


def test_labels_that_are_not_ours_are_listed_with_their_areas(bench: Bench) -> None:
    assert bench.ids == [1, 2, 3]
    assert bench.shown.rows.places.sizes.tolist() == [4.0] * 3
    assert bench.shown.rows.places.unit == "µm²"
    assert bench.shown.note == "3 objects"
    assert bench.shown.message == ""
    assert bench.table == ObjectTable()


def test_empty_labels_and_a_filter_that_nothing_fits() -> None:
    bench = Bench(one=blocks())
    assert bench.shown.message == NO_OBJECTS
    bench.write("one", 7, Box(0, 0, 2, 2))
    assert bench.ids == [7]
    bench.choose("filter", Filter("zebra"))
    assert bench.shown.message == NOTHING_FITS
    assert bench.shown.note == "0 of 1 object"


def test_a_run_that_writes_is_left_alone() -> None:
    bench = Bench(one=blocks(1))
    bench.stage.running.add("two")
    bench.stage.layers["two"] = blocks(1, 2)
    bench.stage.active = "two"
    bench.stage.selected.emit()
    assert bench.shown.message == RUNNING
    bench.stage.running.clear()
    bench.part.refresh()
    assert bench.ids == [1, 2]


def test_an_accepted_object_has_a_row_and_loses_it_by_undo(bench: Bench) -> None:
    bench.choose("classes", (CELL, DEBRIS))
    bench.part.actions["next_class"]()
    assert bench.session.hint == "Next object: cell"
    bench.write("one", 4, Box(30, 30, 33, 34))
    assert bench.ids == [1, 2, 3, 4]
    assert bench.table.class_of(4) == CELL
    assert bench.shown.counts == {0: 3, 1: 1}
    bench.labelling.undo()
    assert bench.ids == [1, 2, 3]
    assert bench.table.records == {}
    bench.labelling.redo()
    assert bench.table.class_of(4) == CELL
    assert bench.ids == [1, 2, 3, 4]


def test_taking_pixels_of_another_object_measures_both(bench: Bench) -> None:
    bench.write("one", 9, Box(0, 0, 4, 2))
    sizes = dict(zip(bench.ids, bench.shown.rows.places.sizes.tolist(), strict=True))
    assert sizes == {1: 2.0, 2: 4.0, 3: 4.0, 9: 2.0}


def test_painting_by_hand_and_other_data_are_noticed(bench: Bench) -> None:
    bench.stage.layers["one"][30:32, 30:32] = 8
    bench.stage.layers["one"][0:4, 0:4] = 0
    bench.stage.edited.emit("one", [(slice(30, 32), slice(30, 32)), (slice(0, 4), slice(0, 4))])
    assert bench.ids == [2, 3, 8]
    bench.stage.layers["one"] = blocks(5, 6)
    bench.stage.edited.emit("one", None)
    assert bench.ids == [5, 6]


def test_jumping_goes_to_the_middle_of_the_object(bench: Bench) -> None:
    bench.choose("jump", (2, True))
    (layer, label, at, size, zoom) = bench.stage.went[0]
    assert (layer, label, zoom) == ("one", 2, True)
    assert np.allclose(at, (2, 6), atol=0.51)
    assert list(size) == [4, 4]
    bench.choose("jump", (77, True))
    assert len(bench.stage.went) == 1


def test_the_table_follows_the_active_layer_and_the_target(bench: Bench) -> None:
    bench.stage.layers["two"] = blocks(6)
    bench.part.refresh()
    assert bench.shown.layer == "one"
    bench.stage.active = "two"
    bench.stage.selected.emit()
    assert (bench.shown.layer, bench.ids, bench.stage.followed) == ("two", [6], "two")
    bench.stage.active = ""
    bench.session.target = "one"
    assert bench.shown.layer == "one"


def test_a_deleted_layer_leaves_a_table_that_works(bench: Bench) -> None:
    bench.choose("by_class", True)
    bench.write("one", 4, Box(30, 30, 33, 34))
    del bench.stage.layers["one"]
    bench.choose("jump", (2, True))  # before anybody has told
    bench.stage.edited.emit("one", None)
    assert bench.session.error == ""
    bench.stage.layers["two"] = blocks(6)
    bench.part.refresh()
    assert (bench.shown.layer, bench.ids) == ("two", [6])
    assert not bench.shown.by_class
    bench.session.error = ""
    del bench.stage.layers["two"]
    bench.part.refresh()
    assert bench.shown.message == NO_LABELS
    bench.labelling.undo()
    assert bench.session.error == ""


# --- classes ---------------------------------------------------------------------------------


def test_classes_of_many_objects_are_one_step(bench: Bench) -> None:
    bench.choose("classes", (CELL, DEBRIS))
    bench.choose("class_of", ((1, 3), 2))
    assert [bench.table.record(i).class_id for i in (1, 2, 3)] == [2, 0, 2]
    assert bench.session.undo_text == "class of 2 objects"
    bench.labelling.undo()
    assert bench.table.records == {}
    assert bench.table.classes == (CELL, DEBRIS)
    bench.labelling.undo()
    assert bench.table == ObjectTable()
    assert bench.shown.classes == ()
    bench.labelling.redo()
    bench.labelling.redo()
    assert [bench.table.record(i).class_id for i in (1, 2, 3)] == [2, 0, 2]


def test_a_class_that_goes_and_comes_back_has_its_objects_again(bench: Bench) -> None:
    bench.choose("classes", (CELL, DEBRIS))
    bench.choose("class_of", ((1, 2), 2))
    before = bench.table
    bench.choose("classes", (CELL,))
    assert bench.shown.counts == {0: 3}
    bench.labelling.undo()
    assert bench.table == before


def test_names_and_colours_change_in_all_layers_with_the_same_classes(bench: Bench) -> None:
    bench.stage.layers |= {"two": blocks(6), "other": blocks(7)}
    tables = bench.labelling.tables
    tables.put("other", ObjectTable({}, (ObjectClass(1, "tree", "#000000"),)))
    for key in ("one", "two"):
        tables.put(key, ObjectTable({}, (CELL, DEBRIS)))
    renamed = (replace(CELL, name="nucleus", color="#123456"), DEBRIS)
    bench.choose("classes", renamed)
    assert tables.of("one").classes == tables.of("two").classes == renamed
    assert tables.of("other").classes[0].name == "tree"
    bench.labelling.undo()
    assert tables.of("one").classes == tables.of("two").classes == (CELL, DEBRIS)


def test_a_layer_without_classes_takes_none_by_accident(bench: Bench) -> None:
    bench.stage.layers |= {"two": blocks(6), "plain": blocks(7)}
    bench.choose("classes", (CELL,))
    bench.stage.active = "two"
    bench.stage.selected.emit()
    bench.choose("classes", (CELL, DEBRIS))
    tables = bench.labelling.tables
    assert tables.of("one").classes == tables.of("two").classes == (CELL, DEBRIS)
    assert tables.of("plain").classes == ()
    bench.labelling.undo()
    assert tables.of("one").classes == (CELL,)
    assert tables.of("two").classes == ()


def test_two_classes_of_one_name_are_refused(bench: Bench) -> None:
    bench.choose("classes", (CELL, replace(DEBRIS, name="cell")))
    assert "two classes have the name cell" in bench.session.error
    with pytest.raises(LabelsError):
        bench.part.choose("objects.class_of", ((1,), 9))


def test_classes_chosen_before_there_are_labels_are_kept() -> None:
    bench = Bench()
    bench.choose("classes", (CELL, DEBRIS))
    bench.choose("current", 2)
    bench.stage.layers["one"] = blocks()
    bench.part.refresh()
    assert bench.shown.classes == (CELL, DEBRIS)
    bench.write("one", 1, Box(0, 0, 2, 2))
    assert bench.table.classes == (CELL, DEBRIS)
    assert bench.table.class_of(1) == DEBRIS


def test_notes_are_kept_and_undone(bench: Bench) -> None:
    bench.choose("note", (2, " mitosis "))
    assert bench.table.record(2).note == "mitosis"
    bench.choose("filter", Filter("mito"))
    assert bench.ids == [2]
    bench.labelling.undo()
    assert bench.table.record(2).note == ""


def test_colours_follow_the_classes(bench: Bench) -> None:
    bench.choose("classes", (CELL, DEBRIS))
    bench.choose("class_of", ((2,), 2))
    bench.choose("by_class", True)
    layer, colors = bench.stage.painted[-1]
    assert layer == "one"
    assert np.allclose(colors.color_dict[2], rgba(DEBRIS.color))
    assert np.allclose(colors.color_dict[0], 0)
    drawn = len(bench.stage.painted)
    bench.write("one", 4, Box(30, 30, 33, 34))
    assert len(bench.stage.painted) == drawn, "an object like the others needs no new colours"
    bench.choose("class_of", ((1,), 1))
    assert len(bench.stage.painted) == drawn + 1
    bench.choose("by_class", False)
    assert bench.stage.painted[-1] == ("one", None)


def test_what_takes_long_is_told_and_done_in_the_background(bench: Bench) -> None:
    bench.runner.hold = True
    bench.stage.layers["big"] = blocks(*range(1, 60))
    bench.labelling.tables.put("big", ObjectTable({3: ObjectRecord(3, score=0.5)}))
    bench.stage.active = "big"
    bench.stage.selected.emit()
    assert bench.shown.note.startswith("Looking for objects")
    assert bench.ids == [3]
    bench.write("big", 70, Box(38, 38, 40, 40))
    bench.runner.release()
    assert len(bench.ids) == 60
    assert 70 in bench.ids


def test_labels_that_cannot_be_read_are_one_line(bench: Bench) -> None:
    class Broken:
        shape, dtype = (8, 8), np.dtype(np.uint8)

        def __getitem__(self, index: object) -> object:
            raise OSError("the drive is gone")

    bench.stage.layers["bad"] = SimpleNamespace(ndim=2, shape=(8, 8), dtype=np.dtype(np.uint8))
    bench.stage._subjects["bad"] = Subject(
        wrap(Broken(), str(id(bench.stage.layers["bad"]))), ("y", "x"), (1, 1), ("px", "px")
    )
    bench.stage.active = "bad"
    bench.stage.selected.emit()
    assert "the drive is gone" in bench.session.error
    bench.stage.active = "one"
    bench.stage.selected.emit()
    assert bench.ids == [1, 2, 3]


def test_two_sessions_share_nothing(bench: Bench) -> None:
    other = Bench(one=blocks(1, 2, 3))
    bench.choose("classes", (CELL,))
    bench.choose("class_of", ((1,), 1))
    bench.choose("filter", Filter("cell"))
    assert other.table == ObjectTable()
    assert other.ids == [1, 2, 3]
    assert other.shown.classes == ()
    other.stage.layers["new"] = blocks(4)
    other.part.refresh()
    assert bench.shown.layers[-1].key == "one"
