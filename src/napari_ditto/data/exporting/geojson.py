"""GeoJSON: one feature for each object and plane, streamed, with what QuPath reads besides.

Coordinates are pixel corners, or those of the image's reference system, which the member ``crs``
of the older GeoJSON names: GDAL, QGIS and geopandas read it. ``crs="EPSG:4326"`` gives what RFC
7946 asks for.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.outlines import Outline
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.features import (
    Projection,
    class_of,
    facts,
    found_objects,
    outlines_of,
    projection,
)
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.data.exporting.objects import PlaneObject
from napari_ditto.errors import StoreError

OURS = "napari-ditto"
"""Member of the collection that tells the grid of pixels."""

_NAMESPACE = uuid.UUID("5d1b4a5e-6f5e-5c9b-9f57-0f7a4f5f1d10")
_DIGITS = {True: 9, False: 4}
"""Of degrees and of metres: a tenth of a millimetre."""


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write a feature collection; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    way = projection(labels, options.crs)
    head = {"type": "FeatureCollection", **_crs(way), OURS: grid_facts(labels, way)}
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps(head)[:-1]}, "features": [')
        for number, found in enumerate(found_objects(labels)):
            outlines = outlines_of(found.object, options.simplify)
            feature = _feature(labels, found.object, _geometry(outlines, way))
            file.write((",\n" if number else "\n") + json.dumps(feature, separators=(",", ":")))
            yield found.progress
        file.write("\n]}\n")


def grid_facts(labels: LabelImage, way: Projection) -> dict[str, Any]:
    """Return what it takes to put shapes back on the pixels they came from."""
    return {
        "version": 1,
        "axes": labels.axes,
        "shape": labels.shape,
        "scale": labels.scale,
        "translate": labels.translate,
        "units": labels.units,
        "pixels": way.is_pixel,
    }


def _crs(way: Projection) -> dict[str, Any]:
    if way.is_pixel or not way.crs:
        return {}
    authority, _, code = way.crs.partition(":")
    if not code.isalnum():
        raise StoreError(
            "GeoJSON cannot hold the image's reference system, which has no EPSG code",
            todo="Write .gpkg, or choose another one, such as --crs EPSG:4326",
        )
    name = f"urn:ogc:def:crs:{authority.upper()}::{code}"
    return {"crs": {"type": "name", "properties": {"name": name}}}


def _geometry(outlines: list[Outline], way: Projection) -> dict[str, Any]:
    parts = [[_numbers(ring, way) for ring in way.rings(outline)] for outline in outlines]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _numbers(ring: NDArray[np.float64], way: Projection) -> list[list[float]]:
    # Degrees are at most 360, metres hardly ever.
    digits = _DIGITS[bool(np.abs(ring).max() <= 360)]
    exact = ring.astype(np.int64) if way.is_pixel else np.round(ring, digits)
    numbers: list[list[float]] = exact.tolist()
    return numbers


def _feature(labels: LabelImage, item: PlaneObject, geometry: dict[str, Any]) -> dict[str, Any]:
    known = facts(labels, item)
    kind = class_of(labels, item.label)
    if item.index:
        at = dict(item.index)
        geometry["plane"] = {"c": -1, "z": at.get("z", 0), "t": at.get("t", 0)}
    # QuPath's own names: an annotation with a class; its ids are UUIDs.
    told: dict[str, Any] = {"objectType": "annotation", "name": str(item.label)}
    if kind is not None:
        color = [int(kind.color[i : i + 2], 16) for i in (1, 3, 5)]
        told["classification"] = {"name": kind.name, "color": color}
    name = f"{labels.name} {item.index} {item.label}"
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, name)),
        "geometry": geometry,
        "properties": {**told, **known},
    }
