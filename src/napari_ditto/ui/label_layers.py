"""Labels layers: fit for an image or not, new ones, and reading one label of one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import place
from napari_ditto.data.zarrs import local_folder
from napari_ditto.errors import LabelsError, PromptError
from napari_ditto.ui.image_layers import axis_names, layer_shape, level_0
from napari_ditto.ui.transforms import data_to_world, inverse, same_place, transform_kwargs

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_ditto.data.protocols import LabelStore, Source

Values = TypeVar("Values", bound=np.generic)

METADATA = "ditto"
"""Key in ``layer.metadata`` under which provenance is kept."""

STORE = "ditto_store"
"""Key under which the store behind a layer is kept."""

UNFINISHED = "ditto_run"
"""Key that a layer has while a run writes what it shows."""

MAX_SEARCH_PIXELS = 64 * 2**20
"""Most pixels of a lazy label image that are read to find one label."""

_NEW = "Choose 'new layer' as the target"


def new_labels_layer(
    image: Image, source: Source, store: LabelStore | None = None, **metadata: object
) -> Labels:
    """Return a Labels layer that lies on an image; it is not added to a viewer.

    Parameters
    ----------
    image : napari Image layer
        The image that was annotated.
    source : Source
        Its source; the labels have its shape.
    store : LabelStore, optional
        What the layer shows; by default a new one. A pyramid is shown as read-only multiscale.
    **metadata
        Provenance, kept in ``layer.metadata["ditto"]``.
    """
    from napari.layers import Labels

    if store is None:
        from napari_ditto.data.labels import new_labels

        store = new_labels(source)
    levels = list(getattr(store, "levels", ()))
    many = len(levels) > 1
    layer = Labels(
        levels if many else store.data,
        multiscale=many,
        name=f"Ditto labels [{image.name}]",
        metadata={METADATA: dict(metadata), STORE: store},
        **transform_kwargs(image, ndim=len(source.shape)),
    )
    if many:
        layer.editable = False
    return layer


def label_store_for(layer: Labels, source: Source, image: Image) -> LabelStore:
    """Return the store behind a Labels layer.

    Raises
    ------
    LabelsError
        If the layer has another shape than the image, lies elsewhere, or cannot be written.
    """
    where = f"layer '{layer.name}' for image '{image.name}'"
    if layer.metadata.get(UNFINISHED):
        raise LabelsError("these labels belong to a run that has not ended", where=where, todo=_NEW)
    shape, expected = layer_shape(layer), tuple(source.shape)
    if shape != expected:
        raise LabelsError(
            f"the labels have shape {shape}, the image {expected}", where=where, todo=_NEW
        )
    kept = [*range(image.ndim - len(shape), image.ndim), image.ndim]
    on_image = data_to_world(image)[np.ix_(kept, kept)]
    if not same_place(data_to_world(layer), on_image, shape):
        raise LabelsError(
            "the labels have another scale, translation or affine than the image",
            where=where,
            todo=f"{_NEW}, or copy the image's transform to the labels",
        )
    own: LabelStore | None = layer.metadata.get(STORE)
    # A duplicate of a layer shares its metadata; the user may also have given it other data.
    if own is None or own.data is not level_0(layer):
        own = layer.metadata[STORE] = _store_over(layer, source, where)
    return own


def _store_over(layer: Labels, source: Source, where: str) -> LabelStore:
    from napari_ditto.data.labels import ArrayLabels

    if layer.multiscale:
        return _pyramid_under(layer, source, where)
    try:
        return ArrayLabels(layer.data, source.axes)
    except LabelsError as error:
        raise LabelsError(error.what, where=where, todo=error.todo) from error


def _pyramid_under(layer: Labels, source: Source, where: str) -> LabelStore:
    """Return the OME-Zarr label image that a multiscale layer shows, and let it show just that."""
    from napari_ditto.data.pyramid_labels import PyramidLabels

    path = folder_of(layer)
    if path is None:
        raise LabelsError(
            "multiscale labels are written only where they lie in one OME-Zarr folder",
            where=where,
            todo=_NEW,
        )
    try:
        labels = PyramidLabels.open(path, axes=source.axes)
    except LabelsError as error:
        raise LabelsError(error.what, where=f"{where}, {path}", todo=_NEW) from error
    if [level.shape for level in labels.levels] != [tuple(level.shape) for level in layer.data]:
        raise LabelsError("the layer shows other levels than the file has", where=where, todo=_NEW)
    # A reader's lazy arrays may keep what they have read; these never do.
    layer.data = labels.levels
    layer.editable = False
    return labels


def folder_of(layer: Labels) -> Path | None:
    """Return the group of the shown zarr arrays, or the folder that the layer was opened from."""
    path = local_folder(level_0(layer))
    if path is not None:
        return path.parent
    opened = layer.source.path
    return Path(opened) if opened is not None and Path(opened).is_dir() else None


def refresh_labels(layer: Labels) -> None:
    """Draw a layer again after its store was written; nothing is reread but the shown slice."""
    flush = getattr(layer.metadata.get(STORE), "flush", None)
    if flush is not None:
        flush()
    layer.refresh(extent=False)


def labels_on_plane(
    layer: Labels,
    image: Image,
    plane: PlaneAddress,
    label: int,
    dims: Dims | None = None,
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return where a label is on a plane of an image, whatever the layer's own transform.

    Returns
    -------
    mask : ndarray of bool, shape (h, w)
        True on the label, sampled at the image's pixel centres; empty if it is not on the plane.
    corner : (int, int)
        Row and column of ``mask[0, 0]`` in the plane.

    Raises
    ------
    PromptError
        If the layer is tilted against the plane, or too large to search.
    """
    here, linear, shift = _slice_under(layer, image, plane, dims)
    mask, corner = _crop(here == label)
    return _resample(mask, linear, shift - corner)


def label_image_on_plane(
    layer: Labels, image: Image, plane: PlaneAddress, box: Box, dims: Dims | None = None
) -> NDArray[np.integer]:
    """Return all labels in a box of a plane of an image, whatever the layer's own transform.

    Returns
    -------
    ndarray of int, shape ``box.shape``
        A copy; ids as in the layer, negative ones are background.

    Raises
    ------
    PromptError
        As :func:`labels_on_plane`.
    """
    here, linear, shift = _slice_under(layer, image, plane, dims)
    labels, corner = _crop(np.maximum(here, 0))
    found, (y, x) = _resample(labels, linear, shift - corner)
    return place(found, Box.of_shape(found.shape).shift(y, x), box).copy()


def _slice_under(
    layer: Labels, image: Image, plane: PlaneAddress, dims: Dims | None
) -> tuple[NDArray[np.integer], NDArray[np.float64], NDArray[np.float64]]:
    """Return the layer's slice under a plane, and the map from the plane's pixels to its own."""
    linear, shift = _plane_to_labels(layer, image, plane, dims)
    flat = np.abs(linear).max(axis=1) * max(layer_shape(image)) < 0.01
    kept = np.flatnonzero(~flat)
    if len(kept) != 2:
        raise PromptError(
            "the labels are tilted against the shown plane", where=f"layer '{layer.name}'"
        )
    index: list[Any] = [slice(None)] * layer.ndim
    for axis in np.flatnonzero(flat):
        index[axis] = math.floor(shift[axis] + 0.5)
        if not 0 <= index[axis] < layer_shape(layer)[axis]:
            return np.zeros((0, 0), dtype=np.uint8), linear[kept], shift[kept]
    return _slice_of(layer, tuple(index)), linear[kept], shift[kept]


def _plane_to_labels(
    layer: Labels, image: Image, plane: PlaneAddress, dims: Dims | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return A (n, 2) and b (n,) with ``labels index = A @ (row, column) + b``."""
    units = None if dims is None else dims.units
    names, n = axis_names(image), layer.ndim
    into_world = data_to_world(image, units)
    start = np.array([plane.index.get(name, 0) for name in names], dtype=np.float64)
    shown = [names.index(plane.rows), names.index(plane.columns)]
    world = into_world[:-1, :-1] @ start + into_world[:-1, -1]
    steps = into_world[:-1, shown]
    surplus = n - image.ndim
    if surplus > 0:
        lead = np.zeros(surplus) if dims is None else np.asarray(dims.point)[-n:][:surplus]
        world, steps = np.append(lead, world), np.vstack([np.zeros((surplus, 2)), steps])
    into = inverse(data_to_world(layer, units))
    return into[:-1, :-1] @ steps[-n:], into[:-1, :-1] @ world[-n:] + into[:-1, -1]


def _slice_of(layer: Labels, index: tuple[Any, ...]) -> NDArray[np.integer]:
    data = level_0(layer)
    pixels = math.prod(data.shape[i] for i, at in enumerate(index) if isinstance(at, slice))
    if not isinstance(data, np.ndarray) and pixels > MAX_SEARCH_PIXELS:
        raise PromptError(
            f"the label image is too large to be searched ({pixels / 1e6:.0f} Mpx)",
            where=f"layer '{layer.name}'",
            todo="Draw a rough mask in a Shapes layer instead",
        )
    return np.asarray(data[index])


def _crop(mask: NDArray[Values]) -> tuple[NDArray[Values], tuple[int, int]]:
    """Return what is not zero in its bounding box, and where that begins."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return mask[:0, :0], (0, 0)
    y, x = int(rows[0]), int(columns[0])
    return mask[y : rows[-1] + 1, x : columns[-1] + 1], (y, x)


def _resample(
    values: NDArray[Values], linear: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[NDArray[Values], tuple[int, int]]:
    """Sample labels or a mask at the pixels of the plane that fall on it (nearest)."""
    if values.size == 0:
        return values, (0, 0)
    first = np.round(shift).astype(int)
    if np.allclose(linear, np.eye(2)) and np.allclose(shift, first, atol=0.01):
        return values, (-int(first[0]), -int(first[1]))
    h, w = values.shape
    edges = np.array([(-0.5, -0.5), (-0.5, w - 0.5), (h - 0.5, w - 0.5), (h - 0.5, -0.5)])
    corners = (edges - shift) @ np.linalg.inv(linear).T
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    box = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    if box.area > MAX_SEARCH_PIXELS:
        raise PromptError(f"the label covers too much of the image ({box.area / 1e6:.0f} Mpx)")
    rows, columns = np.ogrid[box.y0 : box.y1, box.x0 : box.x1]
    at = [
        np.floor(a[0] * rows + a[1] * columns + b + 0.5).astype(np.intp)
        for a, b in zip(linear, shift, strict=True)
    ]
    inside = (at[0] >= 0) & (at[0] < h) & (at[1] >= 0) & (at[1] < w)
    sampled = values[np.clip(at[0], 0, h - 1), np.clip(at[1], 0, w - 1)]
    sampled[~inside] = 0
    return sampled, (box.y0, box.x0)
