"""Keys on single layers: several may want keys on one layer, and the table may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari_ditto.ui.keys.spelling import canonical, native
from napari_ditto.ui.keys.table import KeyTable

if TYPE_CHECKING:
    from napari.layers import Layer

Handler = Callable[[], None]


class Bindings:
    """Binds the keys of a table, and binds them anew when it changes.

    A key that somebody else bound on the layer, or that napari binds on all layers of its kind,
    is left alone.
    """

    def __init__(self, table: KeyTable) -> None:
        self._table = table
        # Each one is held by the layer's own keymap: it lives as long as its layer.
        self._all: WeakSet[_Binding] = WeakSet()
        table.changed.connect(self._renew)

    def bind(self, layer: Layer, handlers: Mapping[str, Handler]) -> Callable[[], None]:
        """Bind the keys of some actions on one layer; the result takes exactly these back."""
        binding = _Binding(layer, handlers, self._table)
        self._all.add(binding)
        binding.bind()

        def unbind() -> None:
            binding.unbind()
            self._all.discard(binding)
            for other in self._all:
                if other.layer == layer:
                    other.bind()

        return unbind

    def _renew(self) -> None:
        for binding in list(self._all):
            binding.unbind()
        for binding in list(self._all):
            binding.bind()


class _Binding:
    """The keys of some actions on one layer."""

    def __init__(self, layer: Layer, handlers: Mapping[str, Handler], table: KeyTable) -> None:
        self.layer, self._handlers, self._table = layer, handlers, table
        self._bound: dict[str, Callable[[Layer], None]] = {}

    def bind(self) -> None:
        """Bind what is free and not bound yet."""
        taken = {str(key) for key in self.layer.keymap} | _of_the_class(self.layer)
        for action, handler in self._handlers.items():
            for key in self._table[action]:
                if canonical(key) not in taken:
                    self._bound[canonical(key)] = call = _on_layer(handler)
                    self.layer.bind_key(native(key), call)

    def unbind(self) -> None:
        """Take back what is still ours."""
        for key, call in self._bound.items():
            if next((f for k, f in self.layer.keymap.items() if str(k) == key), None) is call:
                self.layer.bind_key(key, None)
        self._bound.clear()


def _on_layer(handler: Handler) -> Callable[[Layer], None]:
    # A function, not a partial: napari asks each bound key for its __name__.
    def call(_: Layer) -> None:
        handler()

    return call


def _of_the_class(layer: Layer) -> set[str]:
    classes = type(getattr(layer, "__wrapped__", layer)).__mro__
    return {str(key) for kind in classes for key in getattr(kind, "class_keymap", ())}
