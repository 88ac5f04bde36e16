"""What becomes of the records of objects that are merged, split, deleted or renumbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from napari_ditto.data.object_records import NO_CLASS, ObjectRecord, ObjectTable, TableChange

Became = Mapping[int, tuple[int, ...]]


def records_after(table: ObjectTable, became: Became) -> TableChange:
    """Return the change to a table once objects have become others.

    An object that takes in others keeps its class, or takes the first class that one of them
    has; its score is the least of them, and it counts as made by hand, since no model has seen
    it as one. All parts of an object inherit its class and its origin, and count as made by hand.
    An object that only has another id keeps all that is known of it.

    Parameters
    ----------
    table : ObjectTable
        What is known now.
    became : mapping of int to tuple of int
        The ids under which each object that changed can be found now; none if it is gone.
    """
    origins: dict[int, list[int]] = {}
    for old, new in became.items():
        for label in new:
            origins.setdefault(label, []).append(old)
    after: dict[int, ObjectRecord | None] = dict.fromkeys(became)
    for label, olds in origins.items():
        known = [table.records[old] for old in _own_first(label, olds) if old in table.records]
        if known:
            remade = len(olds) > 1 or len(became[olds[0]]) > 1
            after[label] = _joined(label, known, remade=remade)
    return TableChange({label: table.records.get(label) for label in after}, after)


def _own_first(label: int, olds: list[int]) -> list[int]:
    return sorted(olds, key=lambda old: old != label)


def _joined(label: int, known: list[ObjectRecord], *, remade: bool) -> ObjectRecord:
    record = replace(known[0], id=label)
    if not remade:
        return record
    scores = [r.score for r in known if r.score is not None]
    return replace(
        record,
        class_id=next((r.class_id for r in known if r.class_id != NO_CLASS), NO_CLASS),
        score=min(scores, default=None),
        note="; ".join(dict.fromkeys(r.note for r in known if r.note)),
        by_hand=True,
    )
