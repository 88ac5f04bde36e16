"""What the dock of objects draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_ditto.data.object_records import NO_CLASS, ObjectClass
from napari_ditto.ui.objects_table.rows import NO_ROWS, Rows
from napari_ditto.ui.session import Choice

NO_LABELS = (
    "No labels yet.\nClick on an object in the image and accept it in the dock Ditto, "
    "or open a Labels layer."
)
NO_OBJECTS = "No objects in these labels yet.\nClick on one in the image and accept it."
NOTHING_FITS = "No object fits the filter."
RUNNING = "A run writes to these labels.\nTheir objects are listed when it has ended."


@dataclass(frozen=True, eq=False)
class ObjectsState:
    """Everything that the dock shows.

    Attributes
    ----------
    layer : str
        Unique id of the Labels layer on show, ``""`` for none.
    layers : tuple of Choice
        Layers that could be shown.
    rows : Rows
        The table.
    message : str
        What to do where there is nothing to show, ``""`` otherwise.
    note : str
        What is going on, or how many objects there are.
    selected : int
        The label that is selected in the layer.
    classes : tuple of ObjectClass
        As offered.
    counts : mapping of int to int
        Objects by class.
    current : int
        Class of the next object.
    per_layer : bool
        Whether each class has a layer of its own.
    by_class : bool
        Whether the layer is drawn in the colours of its classes.
    """

    layer: str = ""
    layers: tuple[Choice, ...] = ()
    rows: Rows = NO_ROWS
    message: str = NO_LABELS
    note: str = ""
    selected: int = 0
    classes: tuple[ObjectClass, ...] = ()
    counts: Mapping[int, int] = field(default_factory=dict)
    current: int = NO_CLASS
    per_layer: bool = False
    by_class: bool = False

    @property
    def class_choices(self) -> tuple[Choice, ...]:
        """What the class of the next object can be."""
        kinds = (Choice(str(c.id), c.name) for c in self.classes)
        return (Choice(str(NO_CLASS), "no class"), *kinds)
