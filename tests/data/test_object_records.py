"""Tables of objects: exact changes, JSON both ways, and beside labels on disk."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.data.object_json import GROUP, from_json, read_objects, to_json, write_objects
from napari_ditto.data.object_records import (
    NO_CLASS,
    ObjectClass,
    ObjectRecord,
    ObjectTable,
    TableChange,
    from_notes,
)
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError, StoreError

CLASSES = (ObjectClass(1, "nucleus", "#e69f00"), ObjectClass(2, "débris", "#56b4e9"))
PLANE = PlaneAddress("y", "x", (("t", 3), ("z", 0)))

texts = st.text(max_size=12)
records = st.builds(
    ObjectRecord,
    st.integers(1, 40),
    st.sampled_from([NO_CLASS, 1, 2]),
    st.none() | st.floats(0, 1),
    st.sampled_from(["", "ditto@1#ab", "sam:facebook/x@2#c"]),
    texts,
    st.sampled_from([None, PLANE, PlaneAddress("z", "x", (("y", 7),))]),
    st.booleans(),
    texts,
)
tables = st.lists(records, max_size=20).map(
    lambda found: ObjectTable({r.id: r for r in found}, CLASSES)
)


def small_table() -> ObjectTable:
    rows = (ObjectRecord(1, 1, 0.0, "ditto@1#a", "d", PLANE), ObjectRecord(9, note="?"))
    return ObjectTable({r.id: r for r in rows}, CLASSES, {"ditto@1#a": {"licence": "BSD"}})


@given(tables, st.lists(records, max_size=8), st.lists(st.integers(1, 40), max_size=8))
def test_every_change_can_be_taken_back_exactly(
    table: ObjectTable, new: list[ObjectRecord], ids: list[int]
) -> None:
    changes: list[Callable[[ObjectTable], TableChange]] = [
        lambda t: t.put(new),
        lambda t: t.drop(ids),
        lambda t: t.classify(ids, 2),
        lambda t: t.add_class("other"),
        lambda t: t.with_classes(CLASSES[1:]),
    ]
    seen, made = [table], []
    for change in changes:
        made.append(change(seen[-1]))
        seen.append(seen[-1].after(made[-1]))
    for change, before, after in zip(made[::-1], seen[-2::-1], seen[:0:-1], strict=True):
        assert after.after(change.reversed()) == before
        assert before.after(change) == after


def test_objects_of_a_class_that_goes_have_none() -> None:
    table = small_table()
    after = table.after(table.with_classes(CLASSES[1:]))
    assert after.record(1).class_id == NO_CLASS
    assert table.record(1).class_id == 1


def test_a_new_class_has_a_free_number_and_a_free_colour() -> None:
    table = small_table()
    added = table.after(table.add_class(" cell ")).classes[-1]
    assert (added.id, added.name) == (3, "cell")
    assert added.color not in {c.color for c in CLASSES}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ObjectClass(0, "a", "#000000"),
        lambda: ObjectClass(1, " ", "#000000"),
        lambda: ObjectClass(1, "a", "red"),
        lambda: small_table().add_class("nucleus"),
        lambda: small_table().classify([1], 7),
    ],
)
def test_classes_that_cannot_be_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(LabelsError):
        make()


def test_what_the_engine_says_becomes_a_record() -> None:
    note: dict[str, object] = {
        "label": 4,
        "model": "ditto",
        "model_key": "ditto@1#ab",
        "weights_sha256": "abcd",
        "licence": "BSD",
        "prompts": "digest",
        "plane": {"rows": "y", "columns": "x", "t": 3, "z": 0},
        "score": 0.5,
        "by_hand": True,
    }
    table = from_notes([note, {"label": 5, "model": "classic", "prompts": "fixed"}], 1)
    assert table.record(4) == ObjectRecord(4, 1, 0.5, "ditto@1#ab", "digest", PLANE, by_hand=True)
    assert table.record(4).model_name == "ditto"
    assert table.models["ditto@1#ab"]["weights_sha256"] == "abcd"
    assert table.record(5) == ObjectRecord(5, 1, None, "classic", "fixed")
    assert table.record(6) == ObjectRecord(6)


@given(tables)
def test_json_holds_everything(table: ObjectTable) -> None:
    assert from_json(json.loads(json.dumps(to_json(table), allow_nan=False))).records == (
        table.records
    )


def _with(**changes: object) -> dict[str, Any]:
    return {**to_json(small_table()), **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "None stands where"),
        ([], "stands where"),
        ({}, "none of ours"),
        (_with(version=2), "of version 2"),
        (_with(objects=None), "no list"),
        (_with(objects=[3]), "3 stands"),
        (_with(objects=[{"id": 0}]), "0 is no id"),
        (_with(objects=[{"id": True}]), "True is no id"),
        (_with(objects=[{"id": 2**70}]), "is no id"),
        (_with(objects=[{"id": 1}, {"id": 1}]), "two objects have the id 1"),
        (_with(objects=[{"id": 1, "class": 7}]), "no class 7"),
        (_with(objects=[{"id": 1, "score": float("nan")}]), "score of object 1"),
        (_with(objects=[{"id": 1, "plane": 9}]), "no plane 9"),
        (_with(objects=[{"id": 1, "note": "x" * 2000}]), "no text"),
        (_with(classes=[{"id": 1, "name": "a", "color": "url(x)"}]), "no colour"),
        (_with(classes=[{"id": i, "name": "a", "color": "#000000"} for i in (1, 2)]), "the name a"),
        (_with(planes=[{"rows": "y", "columns": "x", "fixed": [1]}]), "no list of axes"),
        (_with(models=[{"licence": "BSD"}]), "None is no text"),
    ],
)
def test_foreign_json_gives_one_clear_line(content: object, message: str) -> None:
    with pytest.raises(LabelsError, match=message) as caught:
        from_json(content, "file.json")
    assert "file.json" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


@pytest.fixture(params=["0.4", "0.5"])
def labels(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "labels.zarr"
    PyramidLabels.create(path, (64, 64), "yx", ngff=request.param)
    return path


def test_a_table_lies_with_its_labels_on_disk(labels: Path) -> None:
    assert read_objects(labels) is None
    write_objects(labels, small_table())
    assert read_objects(labels) == small_table()
    write_objects(labels, ObjectTable())
    assert read_objects(labels) == ObjectTable()
    assert not list(labels.rglob("*.partial"))


def test_other_readers_of_zarr_are_not_bothered(labels: Path) -> None:
    write_objects(labels, small_table())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        members = dict(zarr.open_group(str(labels), mode="r").members(max_depth=None))
    assert set(members) == {"0", GROUP}
    assert PyramidLabels.open(labels).shape == (64, 64)


def test_a_damaged_file_gives_one_clear_line(labels: Path) -> None:
    write_objects(labels, small_table())
    file = next(f for f in (labels / GROUP).iterdir() if f.name != ".zgroup")
    file.write_text(file.read_text()[:-20])
    with pytest.raises(LabelsError, match="damaged"):
        read_objects(labels)
    file.write_text("[" * 100_000)
    with pytest.raises(LabelsError, match="damaged"):
        read_objects(labels)


def test_labels_that_are_gone_are_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        write_objects(tmp_path / "gone.zarr", small_table())
