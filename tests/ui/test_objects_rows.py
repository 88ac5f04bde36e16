"""Rows of the table of objects, classes and records, without Qt and without a viewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.data.object_extents import Extents
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.ui.objects_table.classes import Classes
from napari_ditto.ui.objects_table.colouring import ClassColors
from napari_ditto.ui.objects_table.rows import COLUMNS, Facts, Filter, Places, Rows
from napari_ditto.ui.objects_table.tables import ObjectTables

CELL, DEBRIS = ObjectClass(1, "cell", "#e69f00"), ObjectClass(2, "Debris", "#56b4e9")
TABLE = ObjectTable(
    {
        2: ObjectRecord(2, 1, 0.9, "ditto@1#a", "0a1b"),
        3: ObjectRecord(3, 2, 0.2, "classic@1#b", "everything", note="near the edge"),
        5: ObjectRecord(5, by_hand=True),
        12: ObjectRecord(12, 2, 0.5, "ditto@1#a", "0a1b"),
    },
    (CELL, DEBRIS),
)


def places(*ids: int, axes: str = "yx") -> Places:
    n = len(ids)
    low = np.arange(n * len(axes)).reshape(n, len(axes)) % 7
    found = Extents(
        tuple(axes), ("t",) if "t" in axes else (), np.array(ids), np.array(ids) * 10, low,
        low + 1, low * 1.0,
    )  # fmt: skip
    return Places.of(found, lambda along: (0.25 ** (len(along) / 2), "µm²"))


def rows(**kwargs: object) -> Rows:
    at = places(2, 3, 5, 12, 40)
    facts = Facts.empty(np.zeros(0, np.int64)).updated(at.ids, TABLE)
    return replace(Rows(at, facts, TABLE), **kwargs)  # type: ignore[arg-type]


def shown(**kwargs: object) -> list[int]:
    return rows(**kwargs).shown.tolist()


@pytest.mark.parametrize(
    ("by", "ids"),
    [
        (("id", False), [2, 3, 5, 12, 40]),
        (("id", True), [40, 12, 5, 3, 2]),
        (("area", True), [40, 12, 5, 3, 2]),
        (("score", False), [3, 12, 2, 5, 40]),
        (("score", True), [2, 12, 3, 40, 5]),
        (("class", False), [2, 3, 12, 5, 40]),
        (("model", False), [3, 2, 12, 5, 40]),
        (("by_hand", False), [5, 2, 3, 12, 40]),
    ],
)
def test_sorting_leaves_what_is_not_known_at_the_end(by: tuple[str, bool], ids: list[int]) -> None:
    found = shown(sort=by)
    assert found[:3] == ids[:3]
    assert set(found) == set(ids)


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_can_be_sorted(column: str) -> None:
    assert set(shown(sort=(column, False))) == {2, 3, 5, 12, 40}


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter("deb"), [3, 12]),
        (Filter("ditto"), [2, 12]),
        (Filter("1"), [12]),
        (Filter("EDGE"), [3]),
        (Filter("debris ditto"), [12]),
        (Filter("hand"), [5]),
        (Filter(class_id=0), [5, 40]),
        (Filter(class_id=1), [2]),
        (Filter(below=0.6), [3, 12]),
        (Filter("zebra"), []),
    ],
)
def test_filters(wanted: Filter, ids: list[int]) -> None:
    assert shown(filter=wanted) == ids


def test_objects_in_many_frames_have_one_row() -> None:
    found = Extents(
        ("t", "y", "x"), ("t",), np.array([4, 4, 9]), np.array([10, 20, 5]),
        np.array([[0, 1, 1], [3, 2, 2], [1, 0, 0]]), np.array([[1, 5, 5], [4, 6, 6], [2, 1, 1]]),
        np.ones((3, 3)),
    )  # fmt: skip
    at = Places.of(found, lambda along: (2.0, f"{len(along)}"))
    assert at.ids.tolist() == [4, 9]
    assert at.sizes.tolist() == [30.0, 10.0]
    assert (at.slices(0), at.slices(1), at.kind, at.unit) == ("t 0–3", "t 1", "Area", "2")
    deep = replace(found, frame_axes=(), high=np.add(found.high, [2, 0, 0]))
    assert Places.of(deep, lambda along: (2.0, f"{len(along)}")).kind == "Volume"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_columns_after_a_change_are_those_made_anew(data: st.DataObject) -> None:
    ids = st.lists(st.integers(1, 15), unique=True, max_size=8).map(sorted)
    record = st.builds(
        ObjectRecord, st.integers(1, 15), st.integers(0, 2), st.none() | st.floats(0, 1),
        st.sampled_from(["", "ditto@1", "sam@2"]), st.sampled_from(["", "everything", "1f"]),
        by_hand=st.booleans(), note=st.sampled_from(["", "Odd"]),
    )  # fmt: skip
    table = TABLE
    present = np.array(data.draw(ids), dtype=np.int64)
    facts = Facts.empty(np.zeros(0, np.int64)).updated(present, table)
    for new in data.draw(st.lists(record, max_size=6)):
        table = table.after(table.put([new]))
        present = np.array(data.draw(ids), dtype=np.int64)
        facts = facts.updated(present, table, frozenset((new.id,)))
    fresh = Facts.empty(np.zeros(0, np.int64)).updated(present, table)
    for name in ("ids", "classes", "scores", "by_hand"):
        np.testing.assert_array_equal(getattr(facts, name), getattr(fresh, name))
    assert [facts.words[i] for i in facts.models] == [fresh.words[i] for i in fresh.models]
    assert [facts.words[i] for i in facts.origins] == [fresh.words[i] for i in fresh.origins]
    listed = {i: n for i, n in facts.noted.items() if n and i in present}
    assert listed == {i: n for i, n in fresh.noted.items() if n}


# --- classes ---------------------------------------------------------------------------------


def test_the_key_goes_round_the_classes_and_through_none() -> None:
    classes = Classes()
    classes.cycle()
    assert classes.current is None
    classes.offer((CELL, DEBRIS))
    names = []
    for _ in range(4):
        classes.cycle()
        names.append(classes.current.name if classes.current else "")
    assert names == ["cell", "Debris", "", "cell"]


def test_a_chosen_class_stays_chosen_under_another_name_or_number() -> None:
    classes = Classes()
    classes.offer((CELL, DEBRIS))
    classes.choose(2)
    classes.offer((replace(DEBRIS, name="dirt"),))
    assert classes.current is not None
    assert classes.current.name == "dirt"
    classes.offer((ObjectClass(7, "dirt", "#000000"),))
    assert classes.current.id == 7
    classes.offer((CELL,))
    assert classes.current is None


def test_an_accepted_object_gets_the_class_and_undo_takes_both_back() -> None:
    tables = ObjectTables()
    note = {"label": 4, "model": "ditto", "prompts": "1f", "score": 0.5}
    (step,) = tables.note("layer", [note], DEBRIS, (CELL, DEBRIS))
    assert tables.of("layer").class_of(4) == DEBRIS
    assert tables.of("layer").classes == (CELL, DEBRIS)
    made = tables.of("layer")
    step.revert()
    assert tables.of("layer").records == {}
    assert tables.of("layer").classes == ()
    step.apply()
    assert tables.of("layer") == made


def test_a_layer_with_other_classes_gets_the_one_that_is_missing() -> None:
    tables = ObjectTables()
    tables.put("layer", ObjectTable({}, (ObjectClass(1, "tree", "#000000"),)))
    tables.note("layer", [{"label": 1}], DEBRIS, (CELL, DEBRIS))
    assert [c.name for c in tables.of("layer").classes] == ["tree", "Debris"]
    assert tables.of("layer").class_of(1).name == "Debris"  # type: ignore[union-attr]


def test_a_fixed_object_keeps_its_class_and_its_note() -> None:
    tables = ObjectTables()
    tables.put("layer", TABLE)
    tables.note("layer", [{"label": 3, "model": "sam", "prompts": "fixed"}])
    assert tables.of("layer").record(3) == ObjectRecord(
        3, 2, model="sam", prompts="fixed", note="near the edge"
    )


# --- colours ---------------------------------------------------------------------------------


def test_colours_are_made_anew_only_where_they_would_be_wrong() -> None:
    ids, kinds = np.array([1, 2, 3]), np.array([1, 2, 0])
    palette = {1: "#ff0000", 2: "#00ff00"}
    drawn = ClassColors(ids, kinds, palette, others=1)
    more = ClassColors(np.array([1, 2, 3, 9]), np.array([1, 2, 0, 1]), palette)
    assert drawn.shows(more), "a new object of the class of the next one is drawn right already"
    assert drawn.shows(ClassColors(ids[:1], kinds[:1], palette))
    assert not drawn.shows(replace(more, classes=np.array([1, 2, 0, 2])))
    assert not drawn.shows(replace(more, classes=np.array([2, 2, 0, 1])))
    assert not drawn.shows(replace(more, palette={1: "#ff0000", 2: "#0000ff"}))
    nothing = np.zeros(0, np.int64)
    assert ClassColors(nothing, nothing, palette, 1).shows(ClassColors(ids, ids * 0 + 1, palette))
