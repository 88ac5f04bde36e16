"""Entries of a session as layers; what makes no sense in an entry is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.image_file import ImageFile
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.session_layers import (
    SessionImage,
    SessionLabels,
    SessionPrompts,
    SessionView,
)
from napari_ditto.ui.label_layers import METADATA, STORE
from napari_ditto.ui.project.taking import FILE, OWNER
from napari_ditto.ui.prompt_layers import new_points_layer, new_shapes_layer, set_next_sign
from napari_ditto.ui.prompt_state import LayerState, put_back

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

BLENDINGS = (
    "opaque",
    "translucent",
    "translucent_no_depth",
    "additive",
    "minimum",
    "multiplicative",
)
FAR = 1e9
"""No number of a layer's place is larger, none of its scale smaller than one over it."""

Numbers = NDArray[np.float64]

_UNIT = re.compile(
    r"(femto|pico|nano|micro|milli|centi|deci|kilo)?(meter|second|pixel)"
    r"|angstrom|minute|hour|day|inch|foot|mile|degree|radian|dimensionless"
)
_LABEL = re.compile(r"[^\x00-\x1f]{1,40}")
_LIMITS = {"opacity": (0.0, 1.0), "gamma": (0.2, 2.0), "contour": (0, 1000)}


def make_image(entry: SessionImage, levels: tuple[Any, ...], path: str) -> Image:
    """Return the image layer of an entry."""
    from napari.layers import Image

    many, ndim = len(levels) > 1, len(entry.axes) - entry.rgb
    layer = Image(
        list(levels) if many else levels[0],
        name=entry.name,
        rgb=entry.rgb,
        multiscale=many,
        metadata={FILE: path} if path else {},
        **placed(entry.place, ndim),
    )
    _set_look(layer, entry.look)
    return layer


def make_file(file: ImageFile) -> Image:
    """Return the layer of an image file."""
    from napari.layers import Image

    many = len(file.levels) > 1
    return Image(
        list(file.levels) if many else file.levels[0],
        name=file.name,
        rgb=file.rgb,
        multiscale=many,
        scale=file.scale,
        axis_labels=file.axes,
        metadata={FILE: file.path},
    )


def make_labels(entry: SessionLabels, store: LabelStore) -> Labels:
    """Return the Labels layer of an entry."""
    from napari.layers import Labels

    levels = list(getattr(store, "levels", ()))
    many = len(levels) > 1
    layer = Labels(
        levels if many else store.data,
        multiscale=many,
        name=entry.name,
        metadata={METADATA: _notes(entry.provenance), STORE: store},
        **placed(entry.place, len(entry.shape)),
    )
    if many:
        layer.editable = False
    _set_look(layer, entry.look)
    return layer


def _notes(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return provenance as it was: labels are numbers again."""
    labels = provenance.get("labels", {})
    known = labels.items() if isinstance(labels, dict) else ()
    numbered = {int(key): value for key, value in known if str(key).isdecimal()}
    return {**provenance, **({"labels": numbered} if numbered else {})}


def make_prompts(entry: SessionPrompts, image: Image) -> Layer:
    """Return the Points or Shapes layer of an entry."""
    make: Any = new_points_layer if entry.kind == "points" else new_shapes_layer
    layer = make(image, entry.ndim)
    layer.name = entry.name
    for name, value in placed(entry.place, entry.ndim).items():
        setattr(layer, name, value)
    arrays = tuple(np.array(item, dtype=np.float64) for item in entry.arrays)
    if entry.kind == "points":
        arrays = tuple(array[0] for array in arrays)
    put_back(layer, LayerState(arrays, _columns(entry)))
    set_next_sign(layer, positive=entry.positive)
    layer.visible = entry.look.get("visible") is not False
    layer.mode = "pan_zoom"
    if entry.image:
        kind = "Points" if entry.kind == "points" else "Shapes"
        layer.metadata[OWNER] = (kind, str(image.unique_id))
    found: Layer = layer
    return found


def _columns(entry: SessionPrompts) -> dict[str, tuple[Any, ...]]:
    """Return the columns of a layer, with those that a Shapes layer cannot do without."""
    columns = dict(entry.columns)
    if entry.kind == "shapes":
        count = len(entry.arrays)
        columns.setdefault("shape_type", ("polygon",) * count)
        widths = columns.get("edge_width", ())
        if not all(isinstance(w, int | float) and w >= 0 for w in widths) or len(widths) != count:
            columns["edge_width"] = (1.0,) * count
    return columns


def show_view(viewer: Viewer, view: SessionView) -> None:
    """Let the viewer show what it did, as far as its axes are the same."""
    dims = viewer.dims
    if len(view.order) == dims.ndim and sorted(view.order) == list(range(dims.ndim)):
        dims.order = view.order
        dims.ndisplay = view.ndisplay
    if len(view.point) == dims.ndim:
        for axis, at in enumerate(view.point):
            dims.set_point(axis, at)
    if 1 / FAR < view.zoom < FAR and len(view.center) == 3:
        camera = viewer.scene.camera
        camera.center, camera.zoom = view.center, view.zoom


def placed(place: Mapping[str, Any], ndim: int) -> dict[str, Any]:
    """Return layer arguments out of an entry, as far as they make sense and napari can use them."""
    found: dict[str, Any] = {}
    for name, is_good in _PLACES.items():
        value = _numbers(place.get(name))
        if value is not None and is_good(value, ndim):
            found[name] = value
    for name, pattern in (("units", _UNIT), ("axis_labels", _LABEL)):
        words = place.get(name)
        if isinstance(words, list) and len(words) == ndim:
            fit = [isinstance(word, str) and pattern.fullmatch(word) for word in words]
            found.update({name: tuple(words)} if all(fit) else {})
    return found


def _is_scale(value: Numbers, ndim: int) -> bool:
    return value.shape == (ndim,) and bool((np.abs(value) > 1 / FAR).all())


def _is_matrix(value: Numbers, side: int) -> bool:
    return value.shape == (side, side) and bool(np.linalg.cond(value) < FAR)


_PLACES: Mapping[str, Callable[[Numbers, int], bool]] = {
    "scale": _is_scale,
    "translate": lambda value, ndim: value.shape == (ndim,),
    "rotate": _is_matrix,
    "shear": lambda value, ndim: value.shape == (ndim * (ndim - 1) // 2,),
    "affine": lambda value, ndim: _is_matrix(value, ndim + 1),
}


def _numbers(told: object) -> Numbers | None:
    """Return numbers that are none too large for a viewer's arithmetic."""
    try:
        value = np.asarray(told, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value).all() and (np.abs(value) < FAR).all() else None


def _set_look(layer: Any, look: Mapping[str, Any]) -> None:  # noqa: ANN401 - Image or Labels
    """Show a layer as it was shown."""
    layer.visible = look.get("visible") is not False
    for name, (low, high) in _LIMITS.items():
        value = look.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if low <= value <= high and hasattr(layer, name):
            setattr(layer, name, value)
    if look.get("blending") in BLENDINGS:
        layer.blending = look["blending"]
    limits = _numbers(look.get("contrast_limits"))
    good = limits is not None and limits.shape == (2,) and limits[0] < limits[1]
    if limits is not None and good and not getattr(layer, "rgb", True):
        layer.contrast_limits = limits.tolist()
    _set_colormap(layer, look.get("colormap"))


def _set_colormap(layer: Any, name: object) -> None:  # noqa: ANN401 - Image or Labels
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    if isinstance(name, str) and name in AVAILABLE_COLORMAPS and hasattr(layer, "gamma"):
        layer.colormap = name
