"""Prompts from GeoJSON, as geospatial tools hand them over: points, and boxes round objects.

A point is on the object unless a property says otherwise: ``label``, ``positive`` or ``foreground``
0 or false, or ``type`` "background" or "negative". A polygon or a line stands for the box round it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.prompts import BoxPrompt, PointPrompt
from napari_ditto.data.checked import parse
from napari_ditto.data.importing.foreign import LARGEST_FILE, MOST_SHAPES, Foreign, Shape, ring_of
from napari_ditto.data.importing.geojson import crs_of, features
from napari_ditto.data.importing.labels import placed
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    from napari_ditto.data.georeference import Georeference

Prompt = PointPrompt | BoxPrompt
SIGNS = ("positive", "foreground", "label")
NEGATIVE = ("background", "negative", "exclude", "0", "false")
CENTRE = 0.5
"""There a pixel begins at its number; here its centre lies on it."""

_NESTED = {"Point": 0, "MultiPoint": 1, "LineString": 1, "Polygon": 2, "MultiPolygon": 3}


def read_prompts(
    path: Path | str, place: Georeference | None = None, crs: str = ""
) -> list[Prompt]:
    """Return the prompts of a file, in pixels of an image.

    Parameters
    ----------
    path : Path or str
        GeoJSON of points and polygons.
    place : Georeference, optional
        Where the image lies, for prompts on the earth.
    crs : str
        What the coordinates mean, if the file tells wrongly or not.

    Raises
    ------
    SourceError
        If it is no such file.
    """
    path = Path(path).expanduser()
    try:
        told = parse(read_plain(path, LARGEST_FILE)).told
        found = list(_geometries(told))
        system = crs or crs_of(told)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise SourceError(
            f"these prompts cannot be read: {getattr(error, 'strerror', None) or error}",
            where=str(path),
        ) from error
    shapes = [Shape(((ring,),)) for ring, _, _ in found]
    on_image = placed(Foreign(shapes, system), place, str(path)).shapes
    return [
        prompt
        for shape, (_, is_point, positive) in zip(on_image, found, strict=True)
        for prompt in _prompts(shape, is_point=is_point, positive=positive)
    ]


def _geometries(told: Any) -> Iterator[tuple[Any, bool, bool]]:  # noqa: ANN401
    """Yield the vertices of each geometry, whether they are points, and their sign."""
    for number, (geometry, properties) in enumerate(features(told)):
        depth = _NESTED.get(geometry["type"])
        if depth is None or number >= MOST_SHAPES:
            raise ValueError(f"{geometry['type']!r:.40} is no prompt")
        points = [geometry["coordinates"]] if depth == 0 else geometry["coordinates"]
        for _ in range(depth - 1):
            points = [point for part in points for point in part]
        yield ring_of(points), geometry["type"].endswith("Point"), is_positive(properties)


def is_positive(properties: Mapping[str, Any]) -> bool:
    """Return whether a point is on the object, by its properties."""
    for name in SIGNS:
        if name in properties:
            return str(properties[name]).lower() not in NEGATIVE
    return str(properties.get("type", "")).lower() not in NEGATIVE


def _prompts(shape: Shape, *, is_point: bool, positive: bool) -> Iterator[Prompt]:
    vertices = np.concatenate(shape.rings) - CENTRE
    if is_point:
        for y, x in vertices.tolist():
            yield PointPrompt(y, x, positive)
    elif len(vertices):
        (y0, x0), (y1, x1) = vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()
        if y0 < y1 and x0 < x1:
            yield BoxPrompt(y0, x0, y1, x1)
