"""The shapes of a layer as polygons on the planes of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.run_plan import Polygon
from napari_ditto.errors import PromptError
from napari_ditto.ui.plane_map import plane_map
from napari_ditto.ui.region import ellipse

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Shapes

_AREAS = ("rectangle", "ellipse", "polygon")


def drawn_areas(
    layer: Shapes, image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> tuple[Polygon, ...]:
    """Return the rectangles, ellipses and polygons of a layer, in pixels of the planes.

    A run goes over many planes, so it does not matter on which of them a shape was drawn.

    Parameters
    ----------
    layer : napari Shapes layer
        Of any transform.
    image : napari Image layer
        The image that is labelled.
    plane : PlaneAddress
        Any of its planes; says which axes are rows and columns.
    dims : napari.components.Dims, optional
        ``viewer.dims``.

    Raises
    ------
    PromptError
        If the layer holds no area, or none that has an extent on these planes.
    """
    place = plane_map(layer, image, plane, dims)
    found = []
    for vertices, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind not in _AREAS or place.repeats:
            continue
        yx, _ = place(np.asarray(vertices, dtype=np.float64))
        outline = ellipse(yx) if kind == "ellipse" else yx
        if np.ptp(outline, axis=0).min() > 0:
            found.append(tuple((float(y), float(x)) for y, x in outline))
    if not found:
        raise PromptError(
            "no area is drawn",
            where=f"layer '{layer.name}'",
            todo="Draw a rectangle, an ellipse or a polygon round the part that is to be labelled",
        )
    return tuple(found)


def corners(box: Box) -> Polygon:
    """Return a box of pixels as a polygon through the pixels' outer edges."""
    y0, x0, y1, x1 = box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5
    return ((y0, x0), (y0, x1), (y1, x1), (y1, x0))
