"""What napari tells of a stroke of its brush, as a step that can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ditto.data.regions import Region
from napari_ditto.ui.history import ValueEdit
from napari_ditto.ui.image_layers import level_0

if TYPE_CHECKING:
    from napari.layers import Labels


def stroke_edit(layer: Labels, atoms: Sequence[Any]) -> ValueEdit:
    """Return one stroke, that is on the layer already, as a step of undo.

    Parameters
    ----------
    layer : napari.layers.Labels
        What was painted in.
    atoms : sequence
        The items of napari's paint event, in order: each a named tuple of bounding box, mask, old
        values and new value, or a tuple of indices, old and new values.
    """
    kept = tuple(atoms)
    return ValueEdit(
        "stroke",
        partial(_play, layer, kept, back=False),
        partial(_play, layer, kept, back=True),
        nbytes=sum(_size(atom) for atom in kept),
        targets=frozenset((str(layer.unique_id),)),
    )


def _play(layer: Labels, atoms: tuple[Any, ...], *, back: bool) -> None:
    """Write the values before or after a stroke; basic indices only, as stores have no others."""
    data: Any = level_0(layer)
    for atom in reversed(atoms) if back else atoms:
        index, mask, old, new = _read(atom)
        values = old if back else new
        if mask is None:
            data[index] = values
        else:
            region = np.array(data[index])
            region[mask] = values
            data[index] = region
    layer.refresh()


def _read(atom: Any) -> tuple[Any, Any, Any, Any]:  # noqa: ANN401 - napari's own
    """Return index, mask in it or None, old values, new values."""
    if hasattr(atom, "slice_key"):
        return atom.slice_key, atom.mask, atom.old_values, atom.new_value
    index, old, new = atom
    return index, None, old, new


def _size(atom: Any) -> int:  # noqa: ANN401 - napari's own
    _, mask, old, _ = _read(atom)
    return int(np.asarray(old).nbytes) + (0 if mask is None else int(mask.nbytes))


def touched(atom: Any, shape: Sequence[int]) -> Region | None:  # noqa: ANN401 - napari's own
    """Return the region that one item of napari's paint history is about; None if unknown."""
    index = getattr(atom, "slice_key", None)
    if index is None:
        index = atom[0]
    if not isinstance(index, tuple) or len(index) != len(shape):
        return None
    spans = [_span(part, size) for part, size in zip(index, shape, strict=True)]
    return tuple(spans) if all(s.start < s.stop for s in spans) else None


def _span(part: Any, size: int) -> slice:  # noqa: ANN401 - a slice, a number, or an array of them
    if isinstance(part, slice):
        start, stop, _ = part.indices(size)
        return slice(start, stop)
    at = np.asarray(part)
    if not at.size:
        return slice(0, 0)
    return slice(max(0, int(at.min())), min(size, int(at.max()) + 1))
