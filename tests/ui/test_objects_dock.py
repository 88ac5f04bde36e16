"""The dock of objects: alone with many rows, and in a window with real layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.data.object_extents import Extents
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.dockstate import resolve
from napari_ditto.ui.objects_table.layer_tables import KEY, table_of
from napari_ditto.ui.objects_table.rows import Facts, Filter, Places, Rows
from napari_ditto.ui.objects_table.state import NO_LABELS, ObjectsState
from napari_ditto.ui.session import Session
from napari_ditto.ui.workshop import Workshop

pytestmark = pytest.mark.gui

CELL, DEBRIS = ObjectClass(1, "cell", "#e69f00"), ObjectClass(2, "debris", "#56b4e9")


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Keep settings in our own file, which lies in a temporary folder."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)


# --- the widget alone ------------------------------------------------------------------------


def many(count, table=None, **kwargs):
    ids = np.arange(1, count + 1)
    low = np.stack([ids, ids], axis=1)
    found = Extents(("y", "x"), (), ids, ids * 3, low, low + 2, low * 1.0)
    table = table or ObjectTable({}, (CELL, DEBRIS))
    facts = Facts.empty(np.zeros(0, np.int64)).updated(ids, table)
    rows = Rows(Places.of(found, lambda _: (1.0, "px²")), facts, table, **kwargs)
    return ObjectsState("lab", rows=rows, message="", classes=table.classes, counts=rows.counts)


@pytest.fixture
def dock(qtbot):
    from napari_ditto.ui.widgets.objects_dock import ObjectsWidget

    widget = ObjectsWidget()
    qtbot.addWidget(widget)
    widget.show_state(resolve(Session()))
    widget.told = []
    widget.chose.connect(lambda field, value: widget.told.append((field, value)))

    def show(state):
        widget.show_part("objects", state)
        widget.draw()

    widget.show_now = show
    widget.resize(360, 700)
    widget.show()
    return widget


def test_it_says_what_to_do_first(dock):
    dock.show_now(ObjectsState())
    assert dock.message.text() == NO_LABELS
    assert not dock.table.isVisible()
    assert dock.classes.empty.isVisibleTo(dock.classes)


def test_rows_come_and_go_without_a_new_table(dock):
    model, told = dock.table.objects, []
    dock.show_now(many(300))
    dock.table.selectRow(41)
    model.modelReset.connect(lambda: told.append("reset"))
    state = many(300)
    gone = replace(state.rows, filter=Filter("1"))
    dock.show_now(replace(state, rows=gone, selected=42))
    assert model.rowCount() == len(gone)
    assert model.index(0, 0).data() == "1"
    dock.show_now(replace(state, selected=42))
    assert [model.index(i, 0).data() for i in (0, 1, 299)] == ["1", "2", "300"]
    assert told == []
    dock.show_now(many(9000))
    dock.show_now(replace(many(300), selected=7))
    assert told == ["reset", "reset"]
    assert dock.table.labels() == (7,)


def test_what_the_user_does_is_told(dock, qtbot, monkeypatch):
    records = {2: ObjectRecord(2, 1, 0.5, "ditto@1#a", "1f"), 3: ObjectRecord(3, note="odd")}
    dock.show_now(many(5, ObjectTable(records, (CELL, DEBRIS))))
    table = dock.table
    row = [table.objects.index(1, i).data() for i in range(8)]
    assert row == ["2", "cell", "6", "0.50", "", "ditto", "prompted", ""]
    table.selectRow(1)
    assert dock.told.pop() == ("objects.jump", (2, False))
    dock.edit_fold.expand()
    table.selectRow(2)
    assert dock.told[-2:] == [("objects.jump", (3, False)), ("objects_edit.pick", ("lab", (3,)))]
    table.selectAll()
    assert dock.told.pop() == ("objects_edit.pick", ("lab", (1, 2, 3, 4, 5)))
    table._classify(2)
    assert dock.told.pop() == ("objects.class_of", ((1, 2, 3, 4, 5), 2))
    table.doubleClicked.emit(table.objects.index(3, 0))
    assert dock.told.pop() == ("objects.jump", (4, True))
    table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    assert dock.told.pop() == ("objects.sort", ("area", True))
    monkeypatch.setattr(dock, "ask_text", lambda question, known: f"{known}!")
    table.noted.emit(3)
    assert dock.told.pop() == ("objects.note", (3, "odd!"))
    dock.text.setText("odd")
    dock.below.click()
    qtbot.waitUntil(lambda: dock.told and dock.told[-1][0] == "objects.filter")
    assert dock.told.pop() == ("objects.filter", Filter("odd", None, 0.8))


def test_classes_are_named_coloured_added_and_removed(dock, monkeypatch):
    dock.show_now(many(5))
    panel = dock.classes
    first, second = panel.rows
    first.name.setText("nucleus")
    first.name.editingFinished.emit()
    assert dock.told.pop() == ("objects.classes", (replace(CELL, name="nucleus"), DEBRIS))
    monkeypatch.setattr(
        "napari_ditto.ui.widgets.classes_panel.QColorDialog.getColor",
        lambda color, *_: type(color)("#123456"),
    )
    second.color.click()
    assert dock.told.pop() == ("objects.classes", (CELL, replace(DEBRIS, color="#123456")))
    second.remove.click()
    assert dock.told.pop() == ("objects.classes", (CELL,))
    panel.add.click()
    ((_, classes),) = dock.told
    assert (classes[-1].id, classes[-1].name) == (3, "class 3")
    assert classes[-1].color not in {CELL.color, DEBRIS.color}


# --- in a window -----------------------------------------------------------------------------

DISCS = {1: (1, 40, 50), 2: (1, 90, 60), 3: (4, 45, 120)}


def stack():
    """Return bright discs in a stack of six planes."""
    image = np.full((6, 140, 180), 20, dtype=np.uint8)
    y, x = np.ogrid[:140, :180]
    for z, cy, cx in DISCS.values():
        image[z][(y - cy) ** 2 + (x - cx) ** 2 <= 12**2] = 200
    return image


class Bench:
    """A viewer with the dock of objects."""

    def __init__(self, viewer, qtbot):
        from napari_ditto.ui.widgets.objects_dock import ObjectsDock

        self.viewer, self.qtbot = viewer, qtbot
        workshop = Workshop(load_model=lambda name, device: BlobModel())
        self.controller = controller_for(viewer, workshop)
        self.dock = ObjectsDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="Ditto objects")
        self.session = self.controller.session

    def until(self, done, timeout=10000):
        self.qtbot.waitUntil(lambda: bool(done()), timeout=timeout)

    def accept(self, *at):
        self.viewer.dims.set_current_step(0, at[0])
        self.until(lambda: self.session.images)
        self.act("new_points")
        self.qtbot.wait(100)
        self.layer("Ditto points").add([at])
        self.until(lambda: self.session.has_object and not self.session.asked)
        self.act("accept")
        self.until(lambda: self.session.undo_text.startswith("label") or self.session.error)
        self.until(lambda: len(self.rows) == len(self.rows.table.records) > 0)
        assert not self.session.error

    def act(self, name):
        self.dock.acted.emit(name)

    def choose(self, field, value):
        self.dock.chose.emit(f"objects.{field}", value)

    @property
    def objects(self):
        self.qtbot.wait(30)
        return self.dock.parts["objects"]

    @property
    def rows(self):
        return self.objects.rows

    def layer(self, name):
        return next(layer for layer in self.viewer.layers if layer.name.startswith(name))


@pytest.fixture
def bench(make_napari_viewer_proxy, qtbot):
    return lambda: Bench(make_napari_viewer_proxy(), qtbot)


def test_objects_have_classes_rows_and_places(bench, tmp_path):
    b = bench()
    b.viewer.add_image(stack(), scale=(2, 0.5, 0.5), units=("um",) * 3)
    b.choose("classes", (CELL, DEBRIS))
    b.act("next_class")
    b.accept(*DISCS[1])
    b.act("next_class")
    b.accept(*DISCS[3])
    labels = b.layer("Ditto labels")
    assert [table_of(labels).class_of(i) for i in (1, 2)] == [CELL, DEBRIS]
    assert labels.metadata[KEY].record(2).plane == PlaneAddress("y", "x", (("z", 4),))
    places = b.rows.places
    assert (places.unit, places.slices(1)) == ("µm²", "z 4")
    np.testing.assert_allclose(places.sizes[0], (np.asarray(labels.data) == 1).sum() / 4)

    b.viewer.dims.set_current_step(0, 0)
    table = b.dock.table
    b.until(lambda: table.objects.rowCount() == 2)
    table.selectRow(1)
    b.until(lambda: b.viewer.dims.current_step[0] == 4)
    assert labels.selected_label == 2
    labels.selected_label = 1
    b.until(lambda: table.labels() == (1,))
    table.doubleClicked.emit(table.objects.index(0, 0))
    b.until(lambda: b.viewer.dims.current_step[0] == 1)
    np.testing.assert_allclose(b.viewer.scene.camera.center[-2:], np.array(DISCS[1][1:]) / 2)

    before = labels.colormap
    b.choose("by_class", True)
    b.until(lambda: labels.colormap is not before)
    np.testing.assert_allclose(labels.get_color(2), (0x56 / 255, 0xB4 / 255, 0xE9 / 255, 1))
    b.choose("by_class", False)
    assert labels.colormap is before

    b.act("undo")  # the class of the second object went with it
    b.until(lambda: len(b.rows.table.records) == 1)
    assert not (np.asarray(labels.data) == 2).any()
    labels.name = "renamed"
    b.until(lambda: b.objects.layers[0].text == "renamed")
    b.viewer.layers.remove(labels)
    b.until(lambda: b.objects.message == NO_LABELS)
    b.act("undo")
    b.choose("jump", (1, True))
    assert not b.session.error


def test_labels_on_disk_bring_their_classes_back(bench, tmp_path):
    path = tmp_path / "cells.zarr"
    store = PyramidLabels.create(path, (600, 600), "yx")
    b = bench()
    plane = np.full((600, 600), 20, np.uint8)
    plane[:140, :180] = stack()[1]
    b.viewer.add_image(plane)
    layer = b.viewer.add_labels(store.levels, multiscale=True, name="cells")
    layer.metadata["ditto_store"] = store
    b.until(lambda: b.objects.layer == str(layer.unique_id))
    b.choose("classes", (CELL, DEBRIS))
    b.choose("current", 2)
    b.dock.chose.emit("target", str(layer.unique_id))
    b.accept(*DISCS[1][1:])
    b.until(lambda: (path / "ditto-objects" / "zarr.json").exists())
    b.viewer.layers.remove(layer)
    b.until(lambda: b.objects.message == NO_LABELS)
    again = b.viewer.add_labels(PyramidLabels.open(path).levels, multiscale=True, name="again")
    b.until(lambda: b.objects.layer == str(again.unique_id) and len(b.rows) == 1)
    assert b.rows.table.class_of(1) == DEBRIS
    assert b.objects.classes == (CELL, DEBRIS)


def test_each_class_can_have_a_layer_and_viewers_share_nothing(bench):
    b, other = bench(), bench()
    for x in (b, other):
        x.viewer.add_image(stack(), name="cells")
    b.choose("classes", (CELL, DEBRIS))
    b.choose("per_layer", True)
    for disc, kind in ((1, 1), (3, 2), (2, 1)):
        b.choose("current", kind)
        b.accept(*DISCS[disc])
    names = [n.name for n in b.viewer.layers if type(n).__name__ == "Labels"]
    assert {"cells cell", "cells debris"} <= set(names)
    assert set(np.unique(b.layer("cells cell").data)) == {0, 1, 2}
    assert table_of(b.layer("cells debris")).class_of(1) == DEBRIS
    assert other.objects.classes == ()
    assert other.objects.message == NO_LABELS
