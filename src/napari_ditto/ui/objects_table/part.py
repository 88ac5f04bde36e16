"""The table of objects and their classes, as a capability of the docks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from napari_ditto.core.progress import Progress
from napari_ditto.data.arrays import Index
from napari_ditto.data.measuring import pixel_size
from napari_ditto.data.object_extents import Extents
from napari_ditto.data.object_records import NO_CLASS, ObjectClass, ObjectTable
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.history import LabelEdit
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.objects_table.class_editing import ClassEditing
from napari_ditto.ui.objects_table.colouring import ClassColors, Colors, make_colors
from napari_ditto.ui.objects_table.measurer import Edited, Measurer
from napari_ditto.ui.objects_table.rows import NO_ROWS, Filter, Places
from napari_ditto.ui.objects_table.stage import ObjectsStage
from napari_ditto.ui.objects_table.state import (
    NO_LABELS,
    NO_OBJECTS,
    NOTHING_FITS,
    RUNNING,
    ObjectsState,
)
from napari_ditto.ui.part import Part
from napari_ditto.ui.runner import Job, Runner
from napari_ditto.ui.session import Choice


class ObjectsPart(Part):
    """Lists the objects of the Labels layer in use, goes to them, classifies and colours them.

    Settings: ``objects.layer`` (id), ``objects.jump`` (label, whether to zoom), ``objects.filter``
    (Filter), ``objects.sort`` (column, whether it falls), ``objects.class_of`` (labels, class),
    ``objects.note`` (label, text), ``objects.classes`` (tuple of ObjectClass), ``objects.current``
    (class), ``objects.per_layer`` (bool), ``objects.by_class`` (bool).

    Parameters
    ----------
    desk, labelling
        Of the session.
    stage : ObjectsStage
        The viewer.
    runner : Runner
        A background thread of its own.
    open_dock : callable
        Shows the dock.
    """

    name = "objects"

    def __init__(
        self,
        desk: Desk,
        labelling: Labelling,
        stage: ObjectsStage,
        runner: Runner,
        open_dock: Callable[[], object],
    ) -> None:
        self._desk, self._stage, self._runner = desk, stage, runner
        self._open_dock = open_dock
        self._tables, self._classes = labelling.tables, labelling.classes
        self._editing = ClassEditing(labelling, stage.all_labels)
        self._measurer = Measurer(runner, self._on_found, self._on_progress, desk.fail)
        self._layer = self._reading = ""
        self._rows, self._extents = NO_ROWS, _NOT_MEASURED
        self._coloured: dict[str, ClassColors] = {}
        self._by_class: set[str] = set()
        labelling.stepped.connect(self._on_stepped)
        self._tables.changed.connect(self._on_records)
        self._classes.changed.connect(self.changed.emit)
        stage.selected.connect(self._on_selected)
        stage.edited.connect(self._on_edited)
        desk.session.events.target.connect(self._on_target)

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What keys and buttons do."""
        return {"open_objects": self._open, "next_class": self._next_class}

    def choose(self, field: str, value: Any) -> None:  # noqa: ANN401  # as the dock gives it
        """Take over a setting from the dock."""
        take: Mapping[str, Callable[[Any], object]] = {
            "layer": self._show,
            "jump": self._jump,
            "filter": self._filter,
            "sort": self._sort,
            "class_of": self._classify,
            "note": self._note,
            "classes": self._edit_classes,
            "current": self._classes.choose,
            "per_layer": self._set_per_layer,
            "by_class": self._set_by_class,
        }
        take[field.partition(".")[2]](value)

    def known_extents(self, layer: str) -> Extents | None:
        """Return where the objects of a layer are, if that has been found out and still holds."""
        return None if self._measurer.is_working(layer) else self._measurer.found(layer)

    def _open(self) -> None:
        self._open_dock()

    # --- which layer -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Notice that layers came or went."""
        keys = self._stage.all_labels()
        self._measurer.keep(keys)
        self._by_class &= set(keys)
        if self._layer not in keys or not self._layer:
            self._show(self._stage.labels(self._desk.session.target))
        else:
            self._measure()
        self.changed.emit()

    def _on_selected(self) -> None:
        """Show the layer that has become active, if it is one of labels."""
        wanted = self._stage.labels(self._layer)
        if wanted != self._layer:
            self._desk.guarded(lambda: self._show(wanted))
        self.changed.emit()

    def _on_target(self, target: str) -> None:
        if target and target != self._layer:
            self._desk.guarded(lambda: self._show(self._stage.labels(target)))

    def _show(self, layer: str) -> None:
        self._layer = layer
        self._stage.follow(layer)
        self._rows = replace(NO_ROWS, sort=self._rows.sort, filter=self._rows.filter)
        self._extents = _NOT_MEASURED
        self._measure()
        unread = self._tables.unread(layer)
        if unread is None:
            self._take_table()
        else:
            self._read_first(layer, unread)

    def _read_first(self, layer: str, unread: Callable[[], ObjectTable]) -> None:
        """Read a table from the disk in the background; objects are listed with it."""

        def steps() -> Generator[Progress, None, ObjectTable]:
            yield Progress("read", text="reading the table of objects")
            return unread()

        def done(_: object) -> None:
            if self._layer == layer:
                self._desk.guarded(self._take_table)

        # What went wrong is told when the table is asked for.
        self._reading = layer
        self._runner.submit(Job("reading objects", steps, on_done=done, on_error=done))

    def _take_table(self) -> None:
        self._reading = ""
        if self._layer:
            table = self._tables.of(self._layer)
            if table.classes or not self._classes.offered:
                self._classes.offer(table.classes)
        self._make_rows()

    # --- rows ------------------------------------------------------------------------------------

    def _is_there(self) -> bool:
        """Whether there is a layer with objects; the user may just have deleted it."""
        stage, layer = self._stage, self._layer
        return bool(layer and stage.name(layer)) and not stage.is_unfinished(layer)

    def _measure(self) -> None:
        if self._is_there():
            self._measurer.look(self._layer, self._stage.subject(self._layer))

    def _on_found(self, layer: str) -> None:
        if layer == self._layer:
            self._desk.guarded(self._make_rows)

    def _on_progress(self, layer: str) -> None:
        if layer == self._layer:
            self.changed.emit()

    def _on_records(self, layer: str, ids: frozenset[int] | None) -> None:
        if layer == self._layer:
            if ids is None:
                self._classes.offer(self._tables.of(layer).classes or self._classes.offered)
            self._desk.guarded(lambda: self._make_rows(ids))

    def _make_rows(self, changed: frozenset[int] | None = frozenset()) -> None:
        """Bring the rows up to date; None for `changed` looks at every record."""
        if not self._is_there() or self._reading == self._layer:
            return self.changed.emit()
        old, table = self._rows, self._tables.of(self._layer)
        found = self._measurer.found(self._layer)
        if found is None:
            places = Places.unmeasured(table, self._stage.subject(self._layer).axes)
        elif found is not self._extents:
            subject = self._stage.subject(self._layer)
            places = Places.of(found, partial(pixel_size, subject))
        else:
            places = old.places
        self._extents = _NOT_MEASURED if found is None else found
        if old is NO_ROWS or not old.places.ids.size:
            changed = None
        facts = old.facts.updated(places.ids, table, changed)
        self._rows = replace(old, places=places, facts=facts, table=table)
        self._colour()
        return self.changed.emit()

    def _on_stepped(self, edit: LabelEdit, _: bool) -> None:
        """Look again where labels were written or taken back."""
        store: Any = edit.store
        self._measurer.edited(edit.target, [Edited((), tuple(edit.deltas), tuple(store.axes))])

    def _on_edited(self, layer: str, regions: Iterable[Index] | None) -> None:
        """Look again where the user has painted; everywhere if that is not known."""
        if regions is not None:
            self._measurer.edited(layer, [Edited(tuple(regions))])
            return
        self._measurer.look_again(layer)
        if layer == self._layer:
            self._desk.guarded(self._measure)
            # What is shown may have other records now, too.
            self._desk.guarded(lambda: self._make_rows(None))

    # --- what the user wants to see --------------------------------------------------------------

    def _filter(self, wanted: Filter) -> None:
        self._rows = replace(self._rows, filter=wanted)
        self.changed.emit()

    def _sort(self, by: tuple[str, bool]) -> None:
        self._rows = replace(self._rows, sort=by)
        self.changed.emit()

    def _jump(self, to: tuple[int, bool]) -> None:
        label, zoom = to
        places = self._rows.places
        row = places.row(label)
        if row < 0 or not self._is_there():
            return
        at, size = places.first[row], places.high[row] - places.low[row]
        if np.isnan(places.sizes[row]):
            record = self._rows.table.record(label)
            self._desk.session.hint = f"Object {record.id} is not measured yet"
            return
        # The centre of mass may lie on no plane; the plane nearest to it does.
        self._stage.go_to(self._layer, label, np.round(at), size, zoom=zoom)

    # --- classes ---------------------------------------------------------------------------------

    def _next_class(self) -> None:
        self._classes.cycle()
        chosen = self._classes.current
        if not self._classes.offered:
            hint = "There are no classes yet: add some in the dock Ditto objects"
        else:
            hint = f"Next object: {chosen.name}" if chosen else "Next object: no class"
        self._desk.session.hint = hint

    def _classify(self, wanted: tuple[Iterable[int], int]) -> None:
        if self._layer:
            self._editing.classify(self._layer, *wanted)

    def _note(self, wanted: tuple[int, str]) -> None:
        if self._layer:
            self._editing.note(self._layer, *wanted)

    def _edit_classes(self, classes: tuple[ObjectClass, ...]) -> None:
        self._editing.edit_classes(self._layer, classes)

    def _set_per_layer(self, on: bool) -> None:
        self._classes.per_layer = on

    # --- colours ---------------------------------------------------------------------------------

    def _set_by_class(self, on: bool) -> None:
        if not self._layer:
            return
        if on:
            self._by_class.add(self._layer)
            self._colour()
        else:
            self._by_class.discard(self._layer)
            self._coloured.pop(self._layer, None)
            self._stage.paint(self._layer, None)
        self.changed.emit()

    def _colour(self) -> None:
        """Colour the layer again if that is wanted and classes or objects have changed."""
        layer = self._layer
        if layer not in self._by_class:
            return
        facts = self._rows.facts
        palette = {c.id: c.color for c in self._rows.table.classes}
        current = self._classes.current
        others = current.id if current and current.id in palette else NO_CLASS
        wanted = ClassColors(facts.ids, facts.classes, palette, others)
        drawn = self._coloured.get(layer)
        if drawn is not None and drawn.shows(wanted):
            return
        self._coloured[layer] = wanted

        def done(colors: Colors) -> None:
            if self._coloured.get(layer) is wanted:
                self._stage.paint(layer, colors)

        dtype = self._stage.dtype(layer)
        self._runner.submit(
            Job(
                "colouring",
                lambda: make_colors(wanted, dtype),
                on_done=lambda colors: self._desk.guarded(lambda: done(colors)),
                on_error=self._desk.fail,
            )
        )

    # --- what is shown ---------------------------------------------------------------------------

    def shown(self) -> ObjectsState:
        """Return what the dock draws."""
        stage, layer = self._stage, self._layer
        classes = self._classes
        return ObjectsState(
            layer,
            tuple(Choice(key, stage.name(key)) for key in stage.all_labels()),
            self._rows,
            self._message(),
            self._told(),
            stage.selected_label(layer) if layer else 0,
            classes.offered,
            self._rows.counts,
            classes.current.id if classes.current else NO_CLASS,
            classes.per_layer,
            layer in self._by_class,
        )

    def _message(self) -> str:
        if not self._layer:
            return NO_LABELS
        if self._stage.is_unfinished(self._layer):
            return RUNNING
        if len(self._rows):
            return ""
        if self._rows.places.ids.size:
            return NOTHING_FITS
        return "" if self._measurer.is_working(self._layer) else NO_OBJECTS

    def _told(self) -> str:
        if not self._layer:
            return ""
        total, shown = self._rows.places.ids.size, len(self._rows)
        if self._measurer.found(self._layer) is None and self._measurer.is_working(self._layer):
            progress = self._measurer.progress
            share = 100 * progress.done // max(1, progress.total)
            return f"Looking for objects, {share} %"
        objects = "1 object" if total == 1 else f"{total:,} objects"
        return objects if shown == total else f"{shown:,} of {objects}"

    def close(self) -> None:
        """Let go of the viewer."""
        self._measurer.close()
        self._stage.close()


_NOT_MEASURED = Extents.empty("yx")
