"""What is known of objects that were found by example: scores, and the classes of the examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_ditto.data.object_records import NO_CLASS, ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.ui.examples.jobs import Liked
from napari_ditto.ui.examples.session import Row
from napari_ditto.ui.objects_table.tables import ObjectTables

FOUND = "like"
"""How objects were found, as their records say it."""


def classes_of(rows: Sequence[Row], tables: ObjectTables) -> dict[int, ObjectClass]:
    """Return the classes of the objects in the examples that count, by label.

    Parameters
    ----------
    rows : sequence of Row
        The examples.
    tables : ObjectTables
        What is known of the objects in the layers they were taken from.
    """
    known: dict[int, ObjectClass] = {}
    for row in rows:
        table = tables.of(row.layer) if row.layer and row.example.enabled else ObjectTable()
        if table.classes:
            labels = np.unique(row.example.labels).tolist()
            known |= {label: kind for label in labels if (kind := table.class_of(label))}
    return known


def found_objects(liked: Liked, by_label: Mapping[int, ObjectClass]) -> ObjectTable:
    """Return the table of what was found.

    Objects get the class of the examples where these have only one. Where each label is a class, a
    label gets the class that the object of this label has in the examples.
    """
    kinds = {kind.name: kind for kind in by_label.values()}
    classes = tuple(
        ObjectClass(number, kind.name, kind.color) for number, kind in enumerate(kinds.values(), 1)
    )
    numbers = {kind.name: kind.id for kind in classes}
    if liked.result.instances:
        only = classes[0].id if len(classes) == 1 else NO_CLASS
        class_of = dict.fromkeys(liked.ids, only)
    else:
        class_of = {label: numbers[kind.name] for label, kind in by_label.items()}
    return ObjectTable(
        {
            label: ObjectRecord(
                label, class_of.get(label, NO_CLASS), score, liked.model, FOUND, liked.address
            )
            for label, score in zip(liked.ids, liked.scores, strict=True)
        },
        classes,
    )
