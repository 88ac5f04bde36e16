"""Which class the next object gets, and whether each class has a Labels layer of its own."""

from __future__ import annotations

from psygnal import Signal

from napari_ditto.data.object_records import ObjectClass

Place = tuple[str, str]


class Classes:
    """The choice of a class, for one session.

    Attributes
    ----------
    changed : Signal
        Something else is offered or chosen now.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._offered: tuple[ObjectClass, ...] = ()
        self._current: ObjectClass | None = None
        self._per_layer = False
        self._layers: dict[Place, str] = {}

    @property
    def offered(self) -> tuple[ObjectClass, ...]:
        """The classes that the user can choose from."""
        return self._offered

    @property
    def current(self) -> ObjectClass | None:
        """The class of the next object, None for none."""
        return self._current

    @property
    def per_layer(self) -> bool:
        """Whether objects go into the Labels layer of their class."""
        return self._per_layer

    @per_layer.setter
    def per_layer(self, value: bool) -> None:
        self._per_layer = value
        self.changed.emit()

    def offer(self, classes: tuple[ObjectClass, ...]) -> None:
        """Offer these from now on; what is chosen stays chosen under its number, or its name."""
        old = self._current
        if old is not None:
            same = [c for c in classes if c.id == old.id] or [
                c for c in classes if c.name == old.name
            ]
            self._current = same[0] if same else None
        if (classes, self._current) != (self._offered, old):
            self._offered = classes
            self.changed.emit()

    def choose(self, class_id: int) -> None:
        """Let the next object have a class; none for a number that is not offered."""
        self._current = next((c for c in self._offered if c.id == class_id), None)
        self.changed.emit()

    def cycle(self) -> None:
        """Let the next class be the one after this; after the last comes none."""
        ids = [0, *(c.id for c in self._offered)]
        at = ids.index(self._current.id) if self._current else 0
        self.choose(ids[(at + 1) % len(ids)])

    # --- one layer per class -------------------------------------------------------------------

    def has_layer(self, kind: ObjectClass | None) -> bool:
        """Whether objects of a class go into a layer of their own."""
        return self._per_layer and kind is not None

    def layer(self, images: tuple[str, ...], kind: ObjectClass | None) -> str:
        """Return the layer that a class was given on an image, ``""`` if it has none yet."""
        return self._layers.get((images[0], kind.name), "") if images and kind else ""

    def give_layer(self, images: tuple[str, ...], kind: ObjectClass | None, layer: str) -> None:
        """Let objects of a class on an image go into a layer."""
        if images and kind:
            self._layers[images[0], kind.name] = layer

    def forget_layers(self, present: frozenset[str]) -> None:
        """Forget the layers that are gone."""
        self._layers = {place: key for place, key in self._layers.items() if key in present}
