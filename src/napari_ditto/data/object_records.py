"""What is known of the objects of a label image besides their pixels: classes, scores, origins.

Pure values: a change makes a new table, and can be taken back exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.errors import LabelsError

NO_CLASS = 0
"""The class of an object that has none."""

MAX_OBJECTS = 1 << 20
MAX_CLASSES = 1000
MAX_TEXT = 1000

RECORD_BYTES = 300
"""About what a record takes in memory."""

# Okabe and Ito (2008), "Color Universal Design": told apart by most colour-blind people.
COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")

_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A class that objects can have.

    Attributes
    ----------
    id : int
        At least 1; what a classified label image would hold.
    name : str
        At most 1000 characters, not blank.
    color : str
        ``"#rrggbb"`` in lower case.
    """

    id: int
    name: str
    color: str

    def __post_init__(self) -> None:
        if self.id <= NO_CLASS:
            raise LabelsError(f"a class cannot have the number {self.id}", todo="Count from 1")
        if not self.name.strip() or len(self.name) > MAX_TEXT:
            raise LabelsError("a class needs a name", todo=f"At most {MAX_TEXT} characters")
        if not _COLOR.fullmatch(self.color):
            raise LabelsError(f"{self.color!r} is no colour", todo="Write it as #rrggbb")


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """What is known of one object.

    Attributes
    ----------
    id : int
        Its label, at least 1.
    class_id : int
        Its class, :data:`NO_CLASS` for none.
    score : float or None
        The model's estimate of the IoU when it was accepted, in [0, 1]; None if there is none.
    model : str
        Identity of the model, as ``ModelSpec.key``; ``""`` if no model made it.
    prompts : str
        Digest of the prompts, or how it was found ("everything"); ``""`` if unknown.
    plane : PlaneAddress or None
        Where it was accepted.
    by_hand : bool
        Whether someone painted on it.
    note : str
        The user's own words.
    """

    id: int
    class_id: int = NO_CLASS
    score: float | None = None
    model: str = ""
    prompts: str = ""
    plane: PlaneAddress | None = None
    by_hand: bool = False
    note: str = ""

    def of_class(self, class_id: int) -> ObjectRecord:
        """Return the record with another class; ``replace`` takes thrice as long."""
        return ObjectRecord(
            self.id, class_id, self.score, self.model, self.prompts, self.plane, self.by_hand,
            self.note,
        )  # fmt: skip

    @property
    def model_name(self) -> str:
        """The name of the model, without version and weights."""
        return self.model.partition("@")[0]


@dataclass(frozen=True)
class TableChange:
    """Records and classes before and after; what Undo needs.

    Attributes
    ----------
    before, after : mapping of int to ObjectRecord or None
        The same ids in both; None where there is no record.
    classes : (tuple of ObjectClass, tuple of ObjectClass) or None
        Before and after; None if they stay.
    models : mapping
        What is known of models that the table may not know yet; kept even if taken back.
    """

    before: Mapping[int, ObjectRecord | None] = field(default_factory=dict)
    after: Mapping[int, ObjectRecord | None] = field(default_factory=dict)
    classes: tuple[tuple[ObjectClass, ...], tuple[ObjectClass, ...]] | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[int, ...]:
        """The objects it is about."""
        return tuple(self.after)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self.before == self.after and (not self.classes or len(set(self.classes)) == 1)

    @property
    def nbytes(self) -> int:
        """About the memory it takes."""
        return RECORD_BYTES * (1 + len(self.before) + len(self.after))

    def reversed(self) -> TableChange:
        """Return the way back."""
        return TableChange(self.after, self.before, self.classes and self.classes[::-1])


@dataclass(frozen=True)
class ObjectTable:
    """Records by id, and the classes they can have.

    Attributes
    ----------
    records : mapping of int to ObjectRecord
        Objects without a record are fine: nothing is known of them.
    classes : tuple of ObjectClass
        In the order in which they are offered; ids and names are unique.
    models : mapping of str to mapping
        Provenance of each model that made an object (weights, licence), by ``record.model``.
    """

    records: Mapping[int, ObjectRecord] = field(default_factory=dict)
    classes: tuple[ObjectClass, ...] = ()
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def record(self, label: int) -> ObjectRecord:
        """Return what is known of an object, an empty record if nothing is."""
        return self.records.get(label) or ObjectRecord(label)

    def find_class(self, class_id: int) -> ObjectClass | None:
        """Return a class by its number, None for one that is not there."""
        return next((c for c in self.classes if c.id == class_id), None)

    def class_named(self, name: str) -> ObjectClass | None:
        """Return a class by its name, None for one that is not there."""
        return next((c for c in self.classes if c.name == name), None)

    def class_of(self, label: int) -> ObjectClass | None:
        """Return the class of an object, None if it has none."""
        return self.find_class(self.record(label).class_id)

    # --- changes: each is computed first, and made by `after` ----------------------------------

    def put(
        self,
        records: Iterable[ObjectRecord],
        models: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> TableChange:
        """Return the change that records these objects anew."""
        new: dict[int, ObjectRecord | None] = {record.id: record for record in records}
        return TableChange({i: self.records.get(i) for i in new}, new, models=models or {})

    def drop(self, labels: Iterable[int]) -> TableChange:
        """Return the change that forgets objects."""
        old = {label: self.records[label] for label in labels if label in self.records}
        return TableChange(old, dict.fromkeys(old))

    def classify(self, labels: Iterable[int], class_id: int) -> TableChange:
        """Return the change that gives objects a class.

        Raises
        ------
        LabelsError
            If there is no such class.
        """
        if class_id != NO_CLASS and self.find_class(class_id) is None:
            raise LabelsError(f"there is no class {class_id}")
        wanted = (self.record(label) for label in labels)
        return self.put(r.of_class(class_id) for r in wanted if r.class_id != class_id)

    def with_classes(self, classes: Sequence[ObjectClass]) -> TableChange:
        """Return the change to other classes; objects of a class that goes have none then.

        Raises
        ------
        LabelsError
            If two have the same number or name, or there are too many.
        """
        check_classes(classes)
        gone = {c.id for c in self.classes} - {c.id for c in classes}
        orphans = [r for r in self.records.values() if r.class_id in gone] if gone else []
        change = self.put(record.of_class(NO_CLASS) for record in orphans)
        return replace(change, classes=(self.classes, tuple(classes)))

    def add_class(self, name: str, color: str | None = None) -> TableChange:
        """Return the change that adds a class under a free number, in a colour of its own."""
        number = max((c.id for c in self.classes), default=NO_CLASS) + 1
        return self.with_classes(
            (*self.classes, ObjectClass(number, name.strip(), color or self._free_color()))
        )

    def after(self, change: TableChange) -> ObjectTable:
        """Return the table with a change made."""
        if change.is_empty and not change.models:
            return self
        records = dict(self.records)
        for label, record in change.after.items():
            if record is None:
                records.pop(label, None)
            else:
                records[label] = record
        classes = change.classes[1] if change.classes else self.classes
        return ObjectTable(records, classes, {**self.models, **change.models})

    def _free_color(self) -> str:
        taken = {c.color for c in self.classes}
        free = [color for color in COLORS if color not in taken]
        return free[0] if free else COLORS[len(self.classes) % len(COLORS)]


def check_classes(classes: Sequence[ObjectClass]) -> None:
    """Raise :class:`LabelsError` unless numbers and names are unique, and not too many."""
    if len(classes) > MAX_CLASSES:
        raise LabelsError(f"more than {MAX_CLASSES} classes")
    seen: set[int | str] = set()
    for c in classes:
        for what, value in (("number", c.id), ("name", c.name)):
            if value in seen:
                raise LabelsError(f"two classes have the {what} {value}", todo="Choose another")
            seen.add(value)


def from_notes(notes: Iterable[Mapping[str, object]], class_id: int = NO_CLASS) -> ObjectTable:
    """Return a table of what the engine says of labels that it wrote.

    Parameters
    ----------
    notes : iterable of mapping
        Each with ``label``, as :func:`napari_ditto.engine.annotator.provenance` returns them.
    class_id : int
        What class they get.
    """
    found = [(_record(note, class_id), note) for note in notes]
    facts = ("model", "weights_sha256", "licence")
    models = {r.model: {k: note[k] for k in facts if k in note} for r, note in found if r.model}
    return ObjectTable({record.id: record for record, _ in found}, models=models)


def _record(note: Mapping[str, object], class_id: int) -> ObjectRecord:
    score, plane = note.get("score"), note.get("plane")
    return ObjectRecord(
        int(str(note["label"])),
        class_id,
        float(score) if isinstance(score, int | float) else None,
        str(note.get("model_key") or note.get("model") or "")[:MAX_TEXT],
        str(note.get("prompts") or "")[:MAX_TEXT],
        _plane(plane) if isinstance(plane, Mapping) else None,
        bool(note.get("by_hand")),
    )


def _plane(note: Mapping[str, Any]) -> PlaneAddress:
    fixed = tuple((str(k), int(v)) for k, v in note.items() if k not in ("rows", "columns"))
    return PlaneAddress(str(note.get("rows", "y")), str(note.get("columns", "x")), fixed)
