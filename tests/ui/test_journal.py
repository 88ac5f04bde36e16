"""The journal in a real viewer: annotate, crash, start again, and all is as it was."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_ditto.data import journal as journal_module
from napari_ditto.data.journal_replay import read_journal, restore
from napari_ditto.data.journal_shelf import Shelf
from napari_ditto.data.scratch import scratch_name
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.workshop import Workshop

pytestmark = [pytest.mark.gui, pytest.mark.once]

DISCS = {1: (40, 50), 2: (90, 60), 3: (45, 120)}


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Keep settings in our own file, which lies in a temporary folder."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)


@pytest.fixture
def image(tmp_path):
    """Write bright discs on a dark plane to a file."""
    y, x = np.ogrid[:140, :180]
    found = np.full((140, 180), 20, np.uint8)
    for cy, cx in DISCS.values():
        found[(y - cy) ** 2 + (x - cx) ** 2 <= 144] = 200
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, found)
    return path


class Bench:
    """A viewer with one dock, and short words for what a user does."""

    def __init__(self, viewer, qtbot):
        from napari_ditto.ui.widgets.dock import DittoDock

        self.viewer, self.qtbot = viewer, qtbot
        workshop = Workshop(load_model=lambda name, device: BlobModel())
        self.controller = controller_for(viewer, workshop)
        self.session = self.controller.session
        self.dock = DittoDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="Ditto")

    def settled(self):
        self.qtbot.wait(80)
        self.qtbot.waitUntil(lambda: not (self.session.asked or self.session.working))
        self.qtbot.wait(20)

    def act(self, name):
        self.controller.act(name)
        self.settled()

    def click(self, *position):
        self.act("new_points")
        self.layer("Ditto points").add([position])
        self.settled()

    def accept(self, *position):
        self.click(*position)
        self.act("accept")

    def answer(self, name):
        self.qtbot.mouseClick(self.dock.unsaved.buttons[name], Qt.MouseButton.LeftButton)
        self.settled()

    def layer(self, name):
        return next(layer for layer in self.viewer.layers if layer.name.startswith(name))

    @property
    def labels(self):
        return np.array(self.layer("Ditto labels").data)


@pytest.fixture
def start(make_napari_viewer, qtbot):
    """Return what opens a window with a dock; the dock looks for what was left at once."""

    def make(path=None):
        viewer = make_napari_viewer()
        if path:
            viewer.open(path, plugin="napari")
        bench = Bench(viewer, qtbot)
        bench.controller.look_back()
        bench.settled()
        return bench

    return make


def crash() -> None:
    """Leave the journals as they are, as if this process had died now."""
    host = scratch_name().partition("-")[0]
    for entry in Shelf().entries():
        name = entry.path.name.split("-")[-1]
        shutil.copy2(entry.path, entry.path.with_name(f"{host}-999999999-{name}"))


def test_after_a_crash_labels_and_prompts_are_offered_and_come_back(start, image):
    bench = start(image)
    assert not bench.dock.unsaved.isVisible()
    bench.accept(*DISCS[1])
    bench.accept(*DISCS[2])
    bench.act("undo")
    bench.act("undo")  # the prompt that came back with the labels
    bench.click(*DISCS[3])
    points = bench.layer("Ditto points")
    bench.act("toggle_sign")
    points.add([(5.0, 6.0)])
    bench.settled()
    labels, said, signs = bench.labels, np.array(points.data), list(points.features["ditto"])
    assert set(np.unique(labels)) == {0, 1}
    crash()

    again = start()
    assert "napari ended unexpectedly: 3 edits and 2 prompts on 'cells'" in again.session.unsaved
    assert again.dock.unsaved.isVisibleTo(again.dock)
    again.answer("restore")
    assert not again.session.unsaved
    np.testing.assert_array_equal(again.labels, labels)
    points = again.layer("Ditto points")
    np.testing.assert_array_equal(points.data, said)
    assert list(points.features["ditto"]) == signs == ["positive", "negative"]
    assert again.session.has_object

    assert [layer.name for layer in again.viewer.layers].count("cells") == 1
    again.act("accept")
    assert set(np.unique(again.labels)) == {0, 1, 2}
    journal = again.layer("Ditto labels").metadata["ditto_store"].recorder.journal
    np.testing.assert_array_equal(restore(journal.path)[0].data, again.labels)


def test_strokes_and_undo_of_the_brush_are_kept_with_what_was_there(start, image, qtbot):
    bench = start(image)
    mine = np.zeros((140, 180), np.uint16)
    mine[100:120, 100:140] = 7
    layer = bench.viewer.add_labels(mine, name="Ditto labels of mine")
    bench.settled()
    bench.session.target = str(layer.unique_id)
    bench.accept(*DISCS[1])
    layer.brush_size = 9
    for place in ((10, 10), (12, 30), (110, 120)):
        layer.paint(place, 5)
    layer.fill((110, 102), 9)
    layer.data_setitem((np.array([130, 131]), np.array([170, 171])), 4)
    layer.undo()
    layer.undo()
    qtbot.wait(400)  # what napari undoes is noted once things are calm
    bench.controller._desk.settle()
    (entry,) = [e for e in Shelf().entries() if restored(e.path) is not None]
    store = restored(entry.path)
    np.testing.assert_array_equal(store.data, layer.data)
    assert store.data.dtype == np.uint16
    edits = read_journal(entry.path).edits
    layer.refresh()
    qtbot.wait(400)
    bench.controller._desk.settle()
    assert read_journal(entry.path).edits == edits  # nothing has changed
    assert {1, 5, 7} <= set(np.unique(store.data)) | {1}


def restored(path: Path):
    try:
        return restore(path)[0]
    except Exception:  # noqa: BLE001 - a journal of prompts
        return None


def test_everything_large_planes_and_undo_are_kept_until_the_layer_is_deleted(
    start, image, monkeypatch
):
    monkeypatch.setattr("napari_ditto.data.labels.PLANE_LIMIT", 1000)
    bench = start(image)
    bench.act("segment_all")
    bench.settled()
    bench.act("undo")
    bench.act("redo")
    bench.accept(*DISCS[1])
    layer = bench.layer("Ditto labels")
    labels = np.array(layer.data[0] if layer.multiscale else layer.data)
    assert len(np.unique(labels)) == 4
    journal = layer.metadata["ditto_store"].recorder.journal
    store, story = restore(journal.path)
    np.testing.assert_array_equal(store.data, labels)
    assert story.head.base == "empty"
    bench.viewer.layers.remove(layer)
    bench.settled()
    assert journal.path.with_suffix(".aside").exists()


def test_a_disk_that_refuses_is_told_once_and_stops_nothing(start, image, monkeypatch):
    bench = start(image)
    real = journal_module._write_all

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module, "_write_all", refuse)
    bench.click(*DISCS[1])
    assert "crash safety is off" in bench.session.error
    bench.act("accept")
    bench.accept(*DISCS[2])
    assert not bench.session.error
    monkeypatch.setattr(journal_module, "_write_all", real)
    bench.accept(*DISCS[3])
    store = bench.layer("Ditto labels").metadata["ditto_store"]
    assert store.recorder.journal.trouble is None
    np.testing.assert_array_equal(restore(store.recorder.journal.path)[0].data, bench.labels)
