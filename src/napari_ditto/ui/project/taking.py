"""Layers of a viewer as entries of a session; nothing is read from a disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.session_layers import (
    SessionImage,
    SessionLabels,
    SessionPrompts,
    SessionView,
)
from napari_ditto.errors import LabelsError
from napari_ditto.ui.image_layers import axis_names, channel_axis, level_0
from napari_ditto.ui.label_layers import METADATA, STORE, UNFINISHED
from napari_ditto.ui.prompt_layers import next_is_positive
from napari_ditto.ui.prompt_state import capture

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

FILE = "ditto_file"
"""Key in ``layer.metadata`` of the path that we have read an image from ourselves."""

OWNER = "ditto_prompts"
"""Key of the kind and the image of a prompt layer of ours."""


def image_path(layer: Layer) -> str:
    """Return the file or folder that an image was read from, ``""`` if it is on no disk."""
    path = layer.metadata.get(FILE) or layer.source.path
    return str(Path(path).absolute()) if path and Path(path).exists() else ""


def take_image(layer: Image) -> tuple[SessionImage, tuple[Any, ...]]:
    """Return an image layer as an entry without a fingerprint, and its levels."""
    levels = tuple(layer.data) if layer.multiscale else (layer.data,)
    axes, channels = axis_names(layer), channel_axis(layer)
    if layer.rgb:
        axes, channels = (*axes, "c"), layer.ndim
    entry = SessionImage(
        str(layer.unique_id),
        layer.name,
        image_path(layer),
        "",
        layer.source.reader_plugin or "",
        axes=axes,
        channel_axis=channels,
        rgb=bool(layer.rgb),
        shapes=tuple(tuple(int(n) for n in level.shape) for level in levels),
        dtype=np.dtype(layer.dtype).name,
        place=place_of(layer),
        look=_image_look(layer),
    )
    return entry, levels


def take_labels(layer: Labels, objects: Mapping[str, Any]) -> tuple[SessionLabels, LabelStore]:
    """Return a Labels layer as an entry, and the store behind it.

    Raises
    ------
    LabelsError
        If these labels cannot be saved.
    """
    store = store_of(layer)
    notes = layer.metadata.get(METADATA, {})
    path = getattr(store, "path", None)
    kept = path is None or getattr(store, "is_temporary", False)
    entry = SessionLabels(
        str(layer.unique_id),
        layer.name,
        path="" if kept else str(path),
        axes=tuple(store.axes),  # type: ignore[attr-defined]
        shape=tuple(store.shape),
        dtype=np.dtype(store.dtype).name,
        place=place_of(layer),
        look={"visible": bool(layer.visible), "opacity": float(layer.opacity),
              "contour": int(layer.contour)},
        provenance=plain(notes) if isinstance(notes, dict) else {},
        objects=objects,
    )  # fmt: skip
    return entry, store


def store_of(layer: Labels) -> LabelStore:
    """Return the store behind a Labels layer, whatever image it lies on."""
    from napari_ditto.data.labels import ArrayLabels

    if layer.metadata.get(UNFINISHED):
        raise LabelsError("a run still writes to these labels", where=layer.name)
    own: LabelStore | None = layer.metadata.get(STORE)
    if own is not None and own.data is level_0(layer):
        return own
    if layer.multiscale or not isinstance(layer.data, np.ndarray):
        raise LabelsError(
            "these labels are in no array of ours",
            where=layer.name,
            todo="Choose them as target once, or save them with napari",
        )
    return ArrayLabels(layer.data, axis_names(layer))


def take_prompts(layer: Any, key: str) -> SessionPrompts:  # noqa: ANN401 - Points or Shapes
    """Return a prompt layer as an entry."""
    state = capture(layer)
    owner = layer.metadata.get(OWNER)
    return SessionPrompts(
        key,
        layer.name,
        "shapes" if hasattr(layer, "shape_type") else "points",
        owner[1] if isinstance(owner, tuple) else "",
        layer.ndim,
        tuple(tuple(map(tuple, np.atleast_2d(a).tolist())) for a in state.arrays),
        {name: tuple(map(_scalar, column)) for name, column in state.columns.items()},
        next_is_positive(layer),
        place_of(layer),
        {"visible": bool(layer.visible)},
    )


def take_view(viewer: Viewer) -> SessionView:
    """Return what the viewer shows."""
    dims, camera = viewer.dims, viewer.scene.camera
    return SessionView(
        int(dims.ndisplay),
        tuple(int(axis) for axis in dims.order),
        tuple(float(at) for at in dims.point),
        tuple(float(at) for at in camera.center),
        float(camera.zoom),
    )


def place_of(layer: Layer) -> dict[str, Any]:
    """Return where a layer lies, as JSON types."""
    return {
        "scale": np.asarray(layer.scale, float).tolist(),
        "translate": np.asarray(layer.translate, float).tolist(),
        "rotate": np.asarray(layer.rotate, float).tolist(),
        "shear": np.asarray(layer.shear, float).tolist(),
        "affine": np.asarray(layer.affine.affine_matrix, float).tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": [str(label) for label in layer.axis_labels],
    }


def _image_look(layer: Image) -> dict[str, Any]:
    look = {
        "visible": bool(layer.visible), "opacity": float(layer.opacity),
        "gamma": float(layer.gamma), "blending": str(layer.blending),
        "colormap": str(layer.colormap.name),
    }  # fmt: skip
    if not layer.rgb:
        look["contrast_limits"] = [float(limit) for limit in layer.contrast_limits]
    return plain(look)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON types; what is none becomes text."""
    told: dict[str, Any] = json.loads(json.dumps(dict(values), default=_scalar), parse_constant=str)
    return told


def _scalar(value: object) -> object:
    found = value.item() if isinstance(value, np.generic) else value
    if isinstance(found, float) and not np.isfinite(found):
        return None
    return found if isinstance(found, bool | int | float | str | None) else str(found)
