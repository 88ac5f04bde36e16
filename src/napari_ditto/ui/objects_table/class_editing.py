"""Changes to classes and records by the user, each one step of Undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from napari_ditto.data.object_records import MAX_TEXT, ObjectClass, check_classes
from napari_ditto.ui.history import ValueEdit
from napari_ditto.ui.labelling import Labelling


class ClassEditing:
    """Classifies objects and edits the list of classes.

    Parameters
    ----------
    labelling : Labelling
        Where tables and steps are kept.
    all_labels : callable
        Returns the Labels layers that there are.
    """

    def __init__(self, labelling: Labelling, all_labels: Callable[[], tuple[str, ...]]) -> None:
        self._labelling, self._all_labels = labelling, all_labels
        self._tables, self._classes = labelling.tables, labelling.classes

    def classify(self, layer: str, labels: Iterable[int], class_id: int) -> None:
        """Give objects a class."""
        table = self._tables.of(layer)
        kind = next((c for c in self._classes.offered if c.id == class_id), None)
        if kind is not None and table.find_class(class_id) is None:
            # Offered before there were labels, so that these do not know it yet.
            change = table.with_classes(self._classes.offered)
            table = table.after(change)
            changed = table.classify(labels, class_id)
            whole = replace(changed, classes=change.classes)
        else:
            whole = table.classify(labels, class_id)
        if not whole.is_empty:
            count = len(whole.ids)
            text = f"class of {'1 object' if count == 1 else f'{count:,} objects'}"
            self._labelling.note(self._tables.edit(layer, text, whole))

    def note(self, layer: str, label: int, text: str) -> None:
        """Give an object a note."""
        table = self._tables.of(layer)
        change = table.put([replace(table.record(label), note=text.strip()[:MAX_TEXT])])
        if not change.is_empty:
            self._labelling.note(self._tables.edit(layer, "note", change))

    def edit_classes(self, layer: str, classes: tuple[ObjectClass, ...]) -> None:
        """Change the list of classes, of a layer and of those that have the same list.

        Without a layer the list is kept for the first one.

        Raises
        ------
        LabelsError
            If two classes have the same name.
        """
        check_classes(classes)
        offered = self._classes.offered
        if classes == offered:
            return
        sharing = [key for key in self._all_labels() if key == layer or self._shares(key, offered)]
        edits = [
            self._tables.edit(key, "classes", self._tables.of(key).with_classes(classes))
            for key in sharing
        ]
        self._classes.offer(classes)
        self._labelling.note(
            ValueEdit(
                "classes",
                lambda: self._put(edits, classes, forward=True),
                lambda: self._put(edits, offered, forward=False),
                sum(edit.nbytes for edit in edits),
                frozenset().union(*(edit.targets for edit in edits)),
            )
        )

    def _shares(self, layer: str, classes: tuple[ObjectClass, ...]) -> bool:
        return bool(classes) and self._tables.of(layer).classes == classes

    def _put(
        self, edits: list[ValueEdit], offered: tuple[ObjectClass, ...], *, forward: bool
    ) -> None:
        for edit in edits:
            (edit.apply if forward else edit.revert)()
        self._classes.offer(offered)
