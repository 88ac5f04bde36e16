"""The content of the prompt layers at one moment, as values that can be compared and put back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.ui.adapters import next_is_positive, set_next_sign

if TYPE_CHECKING:
    from napari.layers import Layer

ARRAY_BYTES = 112
"""What a small array takes beside its numbers."""


@dataclass(frozen=True, eq=False)
class LayerState:
    """What one prompt layer holds.

    Attributes
    ----------
    arrays : tuple of ndarray
        One (d,) position per point, or one (vertices, d) array per shape.
    columns : mapping of str to tuple
        What else is kept per point or shape: its features, and of shapes type and width.
    """

    arrays: tuple[NDArray[np.float64], ...] = ()
    columns: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayerState):
            return NotImplemented
        return (
            len(self.arrays) == len(other.arrays)
            and self.columns == other.columns
            and all(map(np.array_equal, self.arrays, other.arrays))
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:
        """Memory that the coordinates take."""
        return sum(a.nbytes + ARRAY_BYTES for a in self.arrays)

    def only(self, keep: NDArray[np.bool_]) -> LayerState:
        """Return the state with some points or shapes left out."""
        chosen = np.flatnonzero(keep)
        columns = {name: tuple(col[i] for i in chosen) for name, col in self.columns.items()}
        return LayerState(tuple(self.arrays[i] for i in chosen), columns)


PromptState = dict[str, LayerState]
"""The state of each prompt layer by its unique id."""

_SHAPE_COLUMNS = ("shape_type", "edge_width")


def capture(layer: Layer) -> LayerState:
    """Return what a Points or Shapes layer holds; of other layers nothing is kept."""
    if not hasattr(layer, "feature_defaults") or not hasattr(layer, "selected_data"):
        return LayerState()
    arrays = tuple(np.array(item, dtype=np.float64) for item in layer.data)
    columns = {f"features.{name}": tuple(layer.features[name]) for name in layer.features}
    if hasattr(layer, "shape_type"):
        columns |= {name: tuple(getattr(layer, name)) for name in _SHAPE_COLUMNS}
    return LayerState(arrays, columns)


def put_back(layer: Layer, state: LayerState) -> None:
    """Make a Points or Shapes layer hold `state` again, signs and colours with it."""
    if capture(layer) == state:
        return
    layer.selected_data = set()
    if hasattr(layer, "shape_type"):
        layer.data = list(zip(state.arrays, state.columns["shape_type"], strict=True))
        layer.edge_width = list(state.columns["edge_width"])
    else:
        layer.data = np.reshape(state.arrays, (len(state.arrays), layer.ndim))
    prefix = "features."
    layer.features = {
        name.removeprefix(prefix): np.array(values, dtype=object)
        for name, values in state.columns.items()
        if name.startswith(prefix)
    }
    set_next_sign(layer, positive=next_is_positive(layer))
