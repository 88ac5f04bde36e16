"""A table that is written beside its labels when it has been calm a moment."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from napari_ditto.data import object_file
from napari_ditto.data.object_file import TableFile
from napari_ditto.data.object_json import read_objects
from napari_ditto.data.object_records import ObjectRecord, ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    PyramidLabels.create(tmp_path / "labels.zarr", (64, 64), "yx")
    return tmp_path / "labels.zarr"


def table(label: int) -> ObjectTable:
    return ObjectTable({label: ObjectRecord(label)})


def test_of_many_tables_the_last_is_written_once(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    real = object_file.write_objects
    monkeypatch.setattr(
        object_file, "write_objects", lambda *args: (written.append(args), real(*args))
    )
    file = TableFile(labels)
    for label in range(1, 100):
        file.put(table(label))
    file.flush()
    assert read_objects(labels) == table(99)
    assert len(written) <= 2
    file.put(table(5))
    file.flush()
    assert read_objects(labels) == table(5)


def test_trouble_is_told_and_the_next_table_is_tried(labels: Path) -> None:
    told: list[str] = []
    file = TableFile(labels, lambda error: told.append(str(error)))
    shutil.rmtree(labels)
    file.put(table(1))
    file.flush()
    assert "cannot be written" in told[0]
    assert not [t for t in threading.enumerate() if t.name == "ditto objects"]
