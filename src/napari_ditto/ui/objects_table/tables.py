"""The tables of objects of a viewer's Labels layers, and the one way to change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from psygnal import Signal

from napari_ditto.data.object_moves import records_after
from napari_ditto.data.object_records import (
    NO_CLASS,
    ObjectClass,
    ObjectRecord,
    ObjectTable,
    TableChange,
    from_notes,
)
from napari_ditto.ui.history import ValueEdit

Note = Mapping[str, object]


class TableHolder(Protocol):
    """Where tables are kept, by the unique id of their layer."""

    def get(self, layer: str) -> ObjectTable:
        """Return the table of a layer, an empty one if nothing is known."""
        ...

    def put(self, layer: str, table: ObjectTable) -> None:
        """Keep a table; nothing happens if the layer is gone."""
        ...

    def unread(self, layer: str) -> Callable[[], ObjectTable] | None:
        """Return what reads the table of a layer from the disk, on any thread; None if it is here.

        The table is kept as soon as :meth:`get` is asked for it.
        """
        ...


class MemoryTables:
    """A :class:`TableHolder` without a viewer."""

    def __init__(self) -> None:
        self._tables: dict[str, ObjectTable] = {}

    def get(self, layer: str) -> ObjectTable:
        """Return the table of a layer."""
        return self._tables.get(layer, ObjectTable())

    def put(self, layer: str, table: ObjectTable) -> None:
        """Keep a table."""
        self._tables[layer] = table

    def unread(self, layer: str) -> None:
        """Return None: all tables are here."""


class ObjectTables:
    """Reads and changes tables of objects, and tells who shows them.

    Parameters
    ----------
    holder : TableHolder
        Where they are kept.
    """

    changed = Signal(str, object)
    """The table of a layer is another one; carries the layer's id and the ids of the objects,
    None for all of them (other classes, or another table)."""

    def __init__(self, holder: TableHolder | None = None) -> None:
        self._holder = holder or MemoryTables()

    def of(self, layer: str) -> ObjectTable:
        """Return the table of a Labels layer, an empty one if nothing is known."""
        return self._holder.get(layer)

    def unread(self, layer: str) -> Callable[[], ObjectTable] | None:
        """Return what reads the table of a layer beforehand, on any thread; None if it is here."""
        return self._holder.unread(layer)

    def put(self, layer: str, table: ObjectTable) -> None:
        """Give a layer another table, without a way back."""
        self._holder.put(layer, table)
        self.changed.emit(layer, None)

    def make(self, layer: str, change: TableChange) -> None:
        """Make a change now, without a step for Undo."""
        self._holder.put(layer, self.of(layer).after(change))
        self.changed.emit(layer, None if change.classes else frozenset(change.ids))

    def edit(self, layer: str, text: str, change: TableChange) -> ValueEdit:
        """Make a change now; return the step that takes it back and makes it again."""
        self.make(layer, change)
        return ValueEdit(
            text,
            partial(self.make, layer, change),
            partial(self.make, layer, change.reversed()),
            change.nbytes,
            frozenset((layer,)),
        )

    def note(
        self,
        layer: str,
        notes: Iterable[Note],
        kind: ObjectClass | None = None,
        offered: tuple[ObjectClass, ...] = (),
    ) -> tuple[ValueEdit, ...]:
        """Record where labels that were just written come from, under a class.

        Parameters
        ----------
        layer : str
            Unique id of the Labels layer.
        notes : iterable of mapping
            Each with ``label``; see :func:`napari_ditto.data.object_records.from_notes`.
        kind : ObjectClass or None
            Objects that have no class yet get the layer's class of this name, which is added if
            there is none.
        offered : tuple of ObjectClass
            What a layer without classes gets together with the first.

        Returns
        -------
        tuple of ValueEdit
            What belongs to the step that wrote the labels; empty without notes.
        """
        notes = tuple(notes)
        if not notes:
            return ()
        change = _recorded(self.of(layer), notes, kind, offered)
        return (self.edit(layer, "records", change),)

    def follow(self, layer: str, became: Mapping[int, tuple[int, ...]]) -> tuple[ValueEdit, ...]:
        """Let the records go with objects that were merged, split, deleted or renumbered.

        Parameters
        ----------
        layer : str
            Unique id of the Labels layer.
        became : mapping of int to tuple of int
            See :func:`napari_ditto.data.object_moves.records_after`.
        """
        change = records_after(self.of(layer), became)
        return () if change.is_empty else (self.edit(layer, "records", change),)


def _recorded(
    table: ObjectTable,
    notes: Iterable[Note],
    kind: ObjectClass | None,
    offered: tuple[ObjectClass, ...],
) -> TableChange:
    """Return the change that records notes; an object that has a class keeps it."""
    known = table
    if kind is not None and not table.classes and kind in offered:
        known = table.after(table.with_classes(offered))
    if kind is not None and known.class_named(kind.name) is None:
        known = known.after(known.add_class(kind.name, kind.color))
    own = known.class_named(kind.name) if kind else None
    new = from_notes(notes, own.id if own else NO_CLASS)
    records = (_kept(record, table.records.get(record.id)) for record in new.records.values())
    classes = (table.classes, known.classes) if known is not table else None
    return replace(table.put(records, new.models), classes=classes)


def _kept(new: ObjectRecord, old: ObjectRecord | None) -> ObjectRecord:
    if old is None or old.class_id == NO_CLASS:
        return new
    return replace(new, class_id=old.class_id, note=old.note)
