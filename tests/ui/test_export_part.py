"""Export behind the docks, without Qt: what is asked, done, shown and stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_ditto.data.exporting.label_image import label_image
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.errors import LabelsError
from napari_ditto.ui.export.part import PATTERN, STOPPED, ExportPart, ExportState
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.session import Session
from tests.data.exporting.test_georeferenced import NORTH_UP, write_image
from tests.ui.inline import InlineRunner


class Layers:
    """One Labels layer."""

    def __init__(self):
        self.data, self.there = np.eye(9, dtype=np.uint8), True

    def labels(self, target):
        return "key" if self.there else ""

    def name(self, layer):
        return "cells"

    def taken(self, layer, image):
        return lambda: label_image(self.data)


class User:
    """Answers with a file, and notes what was asked."""

    def __init__(self, path):
        self.path, self.agrees, self.asked = path, True, []

    def ask_save(self, title, suggestion, pattern):
        self.asked.append((suggestion, pattern))
        return str(self.path) if self.path else ""

    def confirm(self, question):
        self.asked.append(question)
        return self.agrees


@pytest.fixture
def user(tmp_path):
    return User(tmp_path / "a.geojson")


@pytest.fixture
def layers():
    return Layers()


@pytest.fixture
def part(user, layers):
    return ExportPart(Session(), layers, InlineRunner(), user)


def test_the_labels_are_written_where_the_user_says(part, user, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.runner.REPORT_SECONDS", 0.0)
    shown = []
    part.changed.connect(lambda: shown.append(part.shown()))
    part.actions["export_labels"]()
    assert len(json.loads(user.path.read_text())["features"]) == 1
    assert user.asked == [("cells.geojson", PATTERN)]
    assert shown[0].busy
    assert any(state.busy and "object" in state.text for state in shown)
    assert not part.shown().busy
    assert str(user.path) in part.shown().text


def test_every_format_can_be_chosen():
    assert all(s in PATTERN for s in (".geojson", ".gpkg", ".json", ".zip", ".csv", ".ome.zarr"))


def test_no_answer_does_nothing(part, user, tmp_path):
    user.path = ""
    part.export()
    assert part.shown() == ExportState()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_a_name_that_tells_no_format_is_said(part, user, tmp_path, name):
    user.path = tmp_path / name
    part.export()
    assert part.shown().failed
    assert "format" in part.shown().text


def test_without_labels_it_is_said(part, layers):
    layers.there = False
    part.export()
    assert "Select a Labels layer" in part.shown().text


def test_what_a_format_cannot_hold_is_said(part, user, layers, tmp_path):
    user.path, layers.data = tmp_path / "a.png", np.full((9, 9), 70_000)
    part.export()
    assert part.shown().failed
    assert "65535" in part.shown().text
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_after_a_question(part, user, tmp_path):
    user.path = tmp_path / "a.zarr"
    part.export()
    before = (user.path / "zarr.json").stat().st_ino
    user.agrees = False
    part.export()
    assert user.asked[-1] == "Replace the folder a.zarr?"
    assert (user.path / "zarr.json").stat().st_ino == before
    user.agrees = True
    part.export()
    assert (user.path / "zarr.json").stat().st_ino != before


def test_a_running_export_can_be_stopped_and_leaves_nothing(user, layers, tmp_path):
    user.path = tmp_path / "a.geojson"
    layers.data = np.arange(90_000, dtype=np.uint32).reshape(300, 300)
    calls = []
    runner = Runner(post=calls.append)
    part = ExportPart(Session(), layers, runner, user)
    part.export()
    while not list(tmp_path.iterdir()):
        assert runner.current is not None
    part.choose("export.stop", None)
    assert part.shown() == ExportState(text=STOPPED)
    part.close()
    for call in calls:
        call()
    assert part.shown() == ExportState(text=STOPPED)
    assert not list(tmp_path.iterdir())


# --- the layers of napari ------------------------------------------------------------------------


@pytest.fixture
def viewer():
    from napari.components import ViewerModel

    return ViewerModel()


def test_a_layer_is_taken_with_what_its_image_tells(viewer, tmp_path):
    from napari.layers._source import layer_source

    from napari_ditto.ui.export.stage import ViewerExport

    path = write_image(tmp_path / "ortho.tif", NORTH_UP, shape=(9, 9))
    with layer_source(path=str(path)):
        image = viewer.add_image(np.full((9, 9), 5.0))
    table = ObjectTable({1: ObjectRecord(1, 1)}, (ObjectClass(1, "roof", "#e69f00"),))
    labels = viewer.add_labels(
        np.eye(9, dtype=np.uint8),
        name="roofs",
        scale=(2, 3),
        units=("um", "um"),
        metadata={"napari-ditto": table, "ditto": {"model": "m"}},
    )
    stage = ViewerExport(viewer)
    key = stage.labels("")
    assert stage.name(key) == "roofs"
    taken = stage.taken(key, str(image.unique_id))()
    assert (taken.scale, taken.units) == ((2, 3), ("micrometer", "micrometer"))
    assert (taken.image, taken.table, taken.provenance) == ("ortho.tif", table, {"model": "m"})
    assert taken.georeference.crs == "EPSG:32636"
    assert taken.pixels.shape == (9, 9)
    labels.data[:] = 0
    assert taken.raw.read((slice(0, 1), slice(0, 1))) == 1  # a copy


def test_the_active_labels_are_meant_then_the_target(viewer):
    from napari_ditto.ui.export.stage import ViewerExport

    stage = ViewerExport(viewer)
    assert stage.labels("") == ""
    first = viewer.add_labels(np.eye(9, dtype=np.uint8))
    second = viewer.add_labels(np.eye(9, dtype=np.uint8))
    viewer.layers.selection.active = first
    assert stage.labels(str(second.unique_id)) == str(first.unique_id)
    viewer.layers.selection.clear()
    assert stage.labels(str(first.unique_id)) == str(first.unique_id)
    assert stage.labels("") == str(second.unique_id)
    with pytest.raises(LabelsError, match="gone"):
        stage.name("nonsense")
