"""Records follow their objects, and go back with them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.data.object_moves import records_after
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable

CLASSES = (ObjectClass(1, "nucleus", "#e69f00"), ObjectClass(2, "debris", "#56b4e9"))


def table(*records):
    return ObjectTable({record.id: record for record in records}, CLASSES)


NUCLEUS = ObjectRecord(3, 1, 0.9, "ditto@1", "abc")
DEBRIS = ObjectRecord(7, 2, 0.4, note="odd")
PLAIN = ObjectRecord(8, score=0.6)


def test_a_merged_object_keeps_the_first_class_and_the_least_score():
    before = table(NUCLEUS, DEBRIS)
    after = before.after(records_after(before, {3: (3,), 7: (3,)}))
    assert after.records == {3: replace(NUCLEUS, score=0.4, by_hand=True, note="odd")}


def test_a_merged_object_without_a_class_takes_that_of_the_other():
    before = table(DEBRIS, PLAIN)
    after = before.after(records_after(before, {8: (8,), 7: (8,)}))
    assert (after.records[8].class_id, after.records[8].score) == (2, 0.4)


def test_all_parts_of_an_object_inherit_from_it():
    before = table(NUCLEUS, DEBRIS)
    after = before.after(records_after(before, {3: (3, 11)}))
    part = replace(NUCLEUS, by_hand=True)
    assert after.records == {3: part, 11: replace(part, id=11), 7: DEBRIS}


def test_a_deleted_object_is_forgotten():
    before = table(NUCLEUS, DEBRIS)
    assert before.after(records_after(before, {3: ()})).records == {7: DEBRIS}


def test_renumbered_objects_stay_what_they_are():
    before = table(NUCLEUS, DEBRIS, PLAIN)
    after = before.after(records_after(before, {3: (1,), 7: (2,), 8: (3,)}))
    assert after.records == {
        1: replace(NUCLEUS, id=1),
        2: replace(DEBRIS, id=2),
        3: replace(PLAIN, id=3),
    }


@given(st.data())
def test_undo_is_exact(data):
    ids = data.draw(st.lists(st.integers(1, 9), unique=True, max_size=5))
    before = table(*(ObjectRecord(i, i % 3, i / 10) for i in ids))
    some = st.lists(st.integers(1, 12), max_size=3, unique=True).map(tuple)
    change = records_after(before, data.draw(st.dictionaries(st.integers(1, 9), some)))
    assert before.after(change).after(change.reversed()).records == before.records
