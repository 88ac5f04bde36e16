"""GeoPackage (OGC 12-128): polygons with a reference system, written by GDAL through pyogrio."""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.features import (
    Projection,
    facts,
    found_objects,
    needed,
    outlines_of,
    projection,
)
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.errors import StoreError

LAYER = "labels"
BATCH = 500
"""Features that are handed to GDAL at once, which lets no other Python run meanwhile."""

PIXELS = (
    'ENGCRS["pixels of the image",EDATUM["image"],CS[Cartesian,2],AXIS["x",east],AXIS["y",south],'
    'LENGTHUNIT["pixel",1]]'
)
"""The system of an image that lies nowhere."""

_POLYGON, _MULTIPOLYGON = 3, 6

Row = tuple[bytes, dict[str, Any]]


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write one layer; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    needed("pyogrio", "geo", "a GeoPackage")
    way = projection(labels, options.crs)
    rows: list[Row] = []
    written = False
    for found in found_objects(labels):
        outlines = outlines_of(found.object, options.simplify)
        wkb = multipolygon([way.rings(outline) for outline in outlines])
        rows.append((wkb, facts(labels, found.object)))
        if len(rows) >= BATCH:
            _append(labels, path, way, rows, written)
            rows, written = [], True
        yield found.progress
    if rows or not written:
        _append(labels, path, way, rows, written)


def multipolygon(parts: Sequence[Sequence[np.ndarray[Any, Any]]]) -> bytes:
    """Return the well-known binary of polygons, each given as closed rings of ``(x, y)``."""
    pieces = [struct.pack("<BII", 1, _MULTIPOLYGON, len(parts))]
    for rings in parts:
        pieces.append(struct.pack("<BII", 1, _POLYGON, len(rings)))
        for ring in rings:
            pieces += [struct.pack("<I", len(ring)), np.ascontiguousarray(ring, "<f8").tobytes()]
    return b"".join(pieces)


def _append(
    labels: LabelImage, path: Path, way: Projection, rows: Sequence[Row], append: bool
) -> None:
    from pyogrio import raw
    from pyogrio.errors import CRSError, DataSourceError

    columns = _columns(labels, rows)
    try:
        raw.write(
            path,
            np.array([wkb for wkb, _ in rows], dtype=object),
            list(columns.values()),
            list(columns),
            layer=LAYER,
            driver="GPKG",
            geometry_type="MultiPolygon",
            crs=PIXELS if way.is_pixel or not way.crs else way.crs,
            append=append,
        )
    except CRSError as error:
        raise StoreError(
            "GDAL does not know the image's reference system", todo="Choose one with --crs"
        ) from error
    except (DataSourceError, RuntimeError) as error:
        raise OSError(str(error)) from error


def _columns(labels: LabelImage, rows: Sequence[Row]) -> dict[str, np.ndarray[Any, Any]]:
    """Return one array for each fact, the same ones for every batch."""
    told = [known for _, known in rows]
    columns: dict[str, np.ndarray[Any, Any]] = {
        "label": np.array([t["label"] for t in told], dtype=np.int64),
        "class": np.array([t["class"] or None for t in told], dtype=object),
        "score": np.array([t["score"] for t in told], dtype=np.float64),
        "area_px": np.array([t["area_px"] for t in told], dtype=np.int64),
    }
    for axis in labels.axes[:-2]:
        columns[axis] = np.array([t[axis] for t in told], dtype=np.int64)
    if labels.pixel_area[1]:
        columns["area"] = np.array([t["area"] for t in told], dtype=np.float64)
        columns["area_unit"] = np.array([t["area_unit"] for t in told], dtype=object)
    return columns
