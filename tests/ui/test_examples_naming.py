"""What is found by example is named as the examples are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.data.object_records import NO_CLASS, ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.ui.examples.naming import classes_of, found_objects
from napari_ditto.ui.objects_table.tables import ObjectTables

CELL, DEBRIS = ObjectClass(3, "cell", "#e69f00"), ObjectClass(5, "debris", "#56b4e9")


def example(layer: str, *labels: int, enabled: bool = True) -> Any:
    return SimpleNamespace(
        layer=layer, example=SimpleNamespace(labels=np.array([[0, *labels]]), enabled=enabled)
    )


def liked(*ids: int, instances: bool) -> Any:
    return SimpleNamespace(
        result=SimpleNamespace(instances=instances), ids=ids, scores=(0.5,) * len(ids),
        model="ditto@1", address=PlaneAddress(),
    )  # fmt: skip


@pytest.fixture
def tables() -> ObjectTables:
    tables = ObjectTables()
    records = {1: ObjectRecord(1, 3), 2: ObjectRecord(2, 5), 4: ObjectRecord(4, 3)}
    tables.put("lab", ObjectTable(records, (CELL, DEBRIS)))
    return tables


def test_objects_have_the_one_class_of_their_examples(tables: ObjectTables) -> None:
    kinds = classes_of([example("lab", 1, 4, 9), example("", 7), example("gone", 2)], tables)
    found = found_objects(liked(1, 2, instances=True), kinds)
    assert found.classes == (ObjectClass(1, "cell", "#e69f00"),)
    assert found.record(2) == ObjectRecord(
        2, 1, 0.5, model="ditto@1", prompts="like", plane=PlaneAddress()
    )


def test_of_several_classes_none_is_guessed(tables: ObjectTables) -> None:
    kinds = classes_of([example("lab", 1, 2)], tables)
    found = found_objects(liked(1, 2, instances=True), kinds)
    assert [c.name for c in found.classes] == ["cell", "debris"]
    assert found.record(1).class_id == NO_CLASS


def test_where_each_label_is_a_class_it_has_the_class_of_that_label(tables: ObjectTables) -> None:
    kinds = classes_of([example("lab", 1, 2), example("lab", 4, enabled=False)], tables)
    found = found_objects(liked(1, 2, 7, instances=False), kinds)
    assert [c and c.name for c in map(found.class_of, (1, 2, 7))] == ["cell", "debris", None]
