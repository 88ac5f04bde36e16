"""Image layers as sources, and what the viewer shows of them as plane addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.data.axes import default_names
from napari_ditto.errors import PromptError, SourceError
from napari_ditto.ui.transforms import data_to_world, inverse, same_place

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels, Layer

    from napari_ditto.data.protocols import Source


class Array(Protocol):
    """What the data of an image or labels layer have in common."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, index: Any, /) -> Any: ...  # noqa: ANN401


WindowMode = Literal["sampled", "contrast"]

MAX_CHANNELS = 3
_CHANNEL_NAMES = frozenset({"c", "ch", "channel", "channels"})
# One-letter names that a source would read as channels; ours are ordinary axes with a slider.
_SPELT_OUT = {"c": "channel", "s": "series"}


def axis_names(layer: Layer) -> tuple[str, ...]:
    """Return one name per axis of a layer: its own labels if they say anything, else ``tzyx``."""
    labels = tuple(str(label).strip().lower() for label in layer.axis_labels)
    # napari's own labels are "-2", "-1", which say nothing.
    if not all(label.isidentifier() for label in labels) or len(set(labels)) < len(labels):
        return default_names(layer.ndim)
    first = 0 if channel_axis(layer) is None else 1
    return (*labels[:first], *(_SPELT_OUT.get(label, label) for label in labels[first:]))


def channel_axis(layer: Image) -> int | None:
    """Return 0 if the first axis is labelled as at most three channels, else None."""
    first = str(layer.axis_labels[0]).strip().lower()
    if layer.ndim < 3 or getattr(layer, "rgb", False) or first not in _CHANNEL_NAMES:
        return None
    return 0 if level_0(layer).shape[0] <= MAX_CHANNELS else None


def source_axes(layer: Image) -> tuple[str, ...]:
    """Return the axis names of the source of a layer: all but the channels."""
    names = axis_names(layer)
    return names if channel_axis(layer) is None else names[1:]


def level_0(layer: Image | Labels) -> Array:
    """Return the array of the finest level."""
    array: Array = layer.data[0] if layer.multiscale else layer.data
    return array


def layer_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Return a layer's level-0 size along its own axes (without RGB)."""
    return tuple(int(n) for n in level_0(layer).shape[: layer.ndim])


def source_from_layer(
    layers: Image | Sequence[Image], window: WindowMode | Window = "sampled"
) -> Source:
    """Return a lazy source over one image layer, or over up to three as its channels.

    Parameters
    ----------
    layers : napari Image layer, or sequence of them
        Numpy, dask, zarr or multiscale, grey or RGB(A), any number of axes. Several layers must
        have the same shape and lie on the same place.
    window : {"sampled", "contrast"} or Window
        ``"sampled"``: percentiles of a bounded sample; ``"contrast"``: the contrast limits that the
        layers have now (they are copied: later changes in the layer controls change nothing);
        or a given window.

    Returns
    -------
    Source
        Named after the layers.

    Raises
    ------
    SourceError
        If the layers do not fit together or the data cannot be read.
    """
    members = list(layers) if isinstance(layers, Sequence) else [layers]
    _check_members(members)
    sources = [_open(layer, window) for layer in members]
    whole = sources[0] if len(sources) == 1 else _composed(members, sources)
    return whole.with_window(window) if isinstance(window, Window) else whole


def _open(layer: Image, window: WindowMode | Window) -> Source:
    from napari_ditto.data.source import open_source

    data = list(layer.data) if layer.multiscale else layer.data
    axes, channels = axis_names(layer), channel_axis(layer)
    if layer.rgb:
        axes, channels = (*axes, "c"), layer.ndim
    source = open_source(data, axes=axes, channel_axis=channels, name=layer.name)
    if window == "contrast":
        return source.with_window(layer_window(layer, source.channels))
    return source


def _composed(layers: Sequence[Image], sources: Sequence[Source]) -> Source:
    from napari_ditto.data.source import compose_sources

    return compose_sources(sources, name=" + ".join(layer.name for layer in layers))


def layer_window(layer: Image, channels: int) -> Window:
    """Return the contrast limits as they are now; RGB is shown from 0 to its type's end."""
    if not layer.rgb:
        return Window.from_pairs([layer.contrast_limits] * channels)
    kind = np.dtype(layer.dtype)
    high = float(np.iinfo(kind).max) if kind.kind in "iu" else 1.0
    return Window.from_pairs([(0.0, high)] * channels)


def describe_window(window: Window, mode: WindowMode | Window) -> str:
    """Return a line for the dock that says which limits are used, and where they come from."""
    origin = {"sampled": "from a sample", "contrast": "copied from the layer"}
    pairs = ", ".join(
        f"{lo:.4g} to {hi:.4g}" for lo, hi in zip(window.low, window.high, strict=True)
    )
    return f"{pairs} ({origin.get(mode, 'given') if isinstance(mode, str) else 'given'})"


def _check_members(layers: Sequence[Image]) -> None:
    if not 1 <= len(layers) <= MAX_CHANNELS:
        raise SourceError(
            f"{len(layers)} image layers were chosen", todo="Choose one to three image layers"
        )
    first, names = layers[0], ", ".join(f"'{layer.name}'" for layer in layers)
    if len(layers) > 1 and any(layer.rgb for layer in layers):
        raise SourceError(
            "an RGB layer cannot be one channel of several",
            where=names,
            todo="Choose it alone, or split it into channels",
        )
    for other in layers[1:]:
        if layer_shape(other) != layer_shape(first):
            raise SourceError(
                f"channels of different shape, {layer_shape(first)} and {layer_shape(other)}",
                where=names,
                todo="Choose layers of one shape",
            )
        if not same_place(data_to_world(first), data_to_world(other), layer_shape(first)):
            raise SourceError(
                "the layers do not lie on each other",
                where=names,
                todo="Give them the same scale, translation and affine",
            )


def plane_from_viewer(dims: Dims, layer: Image) -> PlaneAddress:
    """Return the plane of a layer that the viewer shows.

    Parameters
    ----------
    dims : napari.components.Dims
        ``viewer.dims``.
    layer : napari Image layer
        May have fewer axes than the viewer, and any scale and translation.

    Returns
    -------
    PlaneAddress
        Rows and columns in the order shown, the other axes at the index that napari draws.

    Raises
    ------
    PromptError
        In 3D view, when a shown axis is none of the layer's, or when the current slice lies
        outside the layer.
    """
    where = f"layer '{layer.name}'"
    if dims.ndisplay != 2:
        raise PromptError("prompts need a plane", where=where, todo="Switch to 2D view (Ctrl+Y)")
    missing = dims.ndim - layer.ndim
    shown = [axis - missing for axis in dims.displayed]
    names, wanted = axis_names(layer), source_axes(layer)
    if any(axis < 0 or names[axis] not in wanted for axis in shown):
        raise PromptError(
            "the shown axes are not axes of the image",
            where=where,
            todo="Change the order of the axes (Ctrl+E, Ctrl+T), or choose another image",
        )
    index = _shown_index(dims, layer, shown)
    extent = layer_shape(layer)
    for axis, i in index.items():
        if not 0 <= i < extent[axis]:
            raise PromptError(
                f"the shown slice {names[axis]}={i} is outside the image, which has "
                f"{names[axis]} from 0 to {extent[axis] - 1}",
                where=where,
                todo="Move the slider",
            )
    fixed = tuple((names[axis], i) for axis, i in index.items() if names[axis] in wanted)
    return PlaneAddress(names[shown[0]], names[shown[1]], fixed)


def _shown_index(dims: Dims, layer: Image, shown: Sequence[int]) -> dict[int, int]:
    """Return the index on each axis that is not shown, by the same rule as napari's slicing."""
    hidden = [axis for axis in range(layer.ndim) if axis not in shown]
    from_world = inverse(data_to_world(layer, dims.units))
    point = np.asarray(dims.point, dtype=np.float64)[-layer.ndim :]
    position = from_world[np.ix_(hidden, hidden)] @ point[hidden] + from_world[hidden, -1]
    return {axis: int(np.round(p)) for axis, p in zip(hidden, position, strict=True)}


def is_orthogonal(layer: Image, plane: PlaneAddress) -> bool:
    """Whether the plane is not tilted: moving along a fixed axis moves nothing in the picture."""
    names = axis_names(layer)
    shown = [names.index(plane.rows), names.index(plane.columns)]
    hidden = [axis for axis in range(layer.ndim) if axis not in shown]
    matrix = data_to_world(layer)
    return bool(np.allclose(matrix[np.ix_(shown, hidden)], 0, atol=1e-8))
