"""Tables of objects in the metadata of Labels layers, and beside labels on disk; no window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Labels

from napari_ditto.data.object_json import GROUP, read_objects, write_objects
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.ui.label_layers import METADATA, STORE
from napari_ditto.ui.objects_table.layer_tables import KEY, LayerTables, table_of

TABLE = ObjectTable({3: ObjectRecord(3, 1, 0.5)}, (ObjectClass(1, "cell", "#e69f00"),))


def tables_for(*layers):
    told = []
    return LayerTables(SimpleNamespace(layers=layers), told.append), told


@pytest.fixture
def on_disk(tmp_path):
    store = PyramidLabels.create(tmp_path / "l.zarr", (600, 600), "yx")
    layer = Labels(store.levels, multiscale=True, metadata={STORE: store})
    return layer, tmp_path / "l.zarr"


def test_what_earlier_versions_have_noted_is_read():
    notes = {"labels": {3: {"label": 3, "model": "classic@1", "prompts": "ab", "by_hand": True}}}
    layer = Labels(np.zeros((4, 4), int), metadata={METADATA: notes})
    assert table_of(layer).record(3) == ObjectRecord(3, 0, None, "classic@1", "ab", by_hand=True)
    assert table_of(Labels(np.zeros((4, 4), int))) == ObjectTable()


def test_a_copy_of_a_layer_has_a_table_of_its_own():
    layer = Labels(np.zeros((4, 4), int))
    tables, _ = tables_for(layer)
    tables.put(str(layer.unique_id), TABLE)
    copy = Labels(layer.data.copy(), metadata=layer.metadata)
    both, _ = tables_for(layer, copy)
    both.put(str(copy.unique_id), ObjectTable())
    assert both.get(str(layer.unique_id)) == TABLE


def test_labels_on_disk_are_read_beforehand_and_written_soon(on_disk):
    layer, folder = on_disk
    key = str(layer.unique_id)
    write_objects(folder, TABLE)
    tables, _ = tables_for(layer)
    assert tables.unread(key)() == TABLE
    (folder / GROUP / "zarr.json").unlink()  # it is not read twice
    assert tables.get(key) == TABLE
    assert tables.unread(key) is None
    tables.put(key, ObjectTable())
    tables._files[folder].flush()
    assert read_objects(folder) == ObjectTable()


@pytest.mark.parametrize("beforehand", [True, False])
def test_labels_that_are_opened_again_bring_what_is_not_written_yet(on_disk, beforehand):
    layer, folder = on_disk
    again = Labels(layer.data, multiscale=True, metadata={STORE: layer.metadata[STORE]})
    tables, _ = tables_for(layer, again)
    write_objects(folder, ObjectTable())
    tables.put(str(layer.unique_id), TABLE)
    key = str(again.unique_id)
    found = tables.unread(key)() if beforehand else tables.get(key)
    assert found == TABLE


def test_a_damaged_table_is_told_and_the_labels_are_used(on_disk):
    layer, folder = on_disk
    write_objects(folder, TABLE)
    (folder / GROUP / "zarr.json").write_text("{")
    tables, told = tables_for(layer)
    assert tables.get(str(layer.unique_id)) == ObjectTable()
    assert len(told) == 1


def test_temporary_labels_have_no_file():
    store = PyramidLabels.create(None, (600, 600), "yx")
    layer = Labels(store.levels, multiscale=True, metadata={STORE: store})
    tables, _ = tables_for(layer)
    tables.put(str(layer.unique_id), TABLE)
    assert layer.metadata[KEY] == TABLE
    assert tables._files == {}


def test_a_layer_that_is_gone_has_nothing():
    tables, _ = tables_for()
    tables.put("gone", TABLE)
    assert tables.get("gone") == ObjectTable()
    assert tables.unread("gone") is None
