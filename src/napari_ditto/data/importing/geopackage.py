"""Polygons from GeoPackage, read by GDAL through pyogrio."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.plain_file import open_plain
from napari_ditto.data.exporting.features import PIXEL, needed
from napari_ditto.data.importing.foreign import (
    FARTHEST,
    MOST_SHAPES,
    Foreign,
    Part,
    Shape,
    index_from,
    label_from,
    score_from,
)
from napari_ditto.errors import SourceError

LARGEST = 1 << 32
_MAGIC = b"SQLite format 3\0"
_POLYGON, _MULTIPOLYGON = 3, 6


def read(path: Path, layer: str | None = None) -> Foreign:
    """Return the polygons of a layer, by default the first one.

    Raises
    ------
    SourceError
        If it is no GeoPackage, or its layer holds no polygons.
    StoreError
        If pyogrio is missing.
    """
    _check(path)
    needed("pyogrio", "geo", "a GeoPackage")
    from pyogrio import raw
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError

    try:
        meta, _, geometry, fields = raw.read(
            path, layer=layer, force_2d=True, max_features=MOST_SHAPES + 1
        )
    except (DataSourceError, DataLayerError, FieldError, RuntimeError, ValueError) as error:
        raise SourceError(
            f"this GeoPackage cannot be read: {str(error).splitlines()[0]:.200}", where=str(path)
        ) from error
    if geometry is None or len(geometry) > MOST_SHAPES:
        raise SourceError("it holds no polygons, or too many", where=str(path))
    told = dict(zip(meta["fields"], fields, strict=True))
    try:
        shapes = [_shape(wkb, _row(told, i)) for i, wkb in enumerate(geometry) if wkb is not None]
    except (struct.error, ValueError) as error:
        raise SourceError("its layer holds other things than polygons", where=str(path)) from error
    crs = str(meta["crs"] or "")
    return Foreign(shapes, PIXEL if not crs or "pixels of the image" in crs else crs)


def _check(path: Path) -> None:
    """Let nothing but SQLite through: GDAL opens many things, and some of them lead elsewhere."""
    try:
        with open_plain(path) as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise SourceError(f"cannot open the file: {error.strerror}", where=str(path)) from error
    if magic != _MAGIC or path.stat().st_size > LARGEST:
        raise SourceError("this is no GeoPackage", where=str(path))


def _row(told: dict[str, Any], number: int) -> dict[str, Any]:
    return {name: column[number] for name, column in told.items()}


def _shape(wkb: bytes, told: dict[str, Any]) -> Shape:
    kind, score = told.get("class"), told.get("score")
    label = told.get("label")
    return Shape(
        polygons(bytes(wkb)),
        label=label_from(label.item() if isinstance(label, np.generic) else label),
        kind=kind.strip()[:1000] if isinstance(kind, str) else "",
        score=score_from(float(score)) if isinstance(score, float | np.floating) else None,
        index=index_from(told),
    )


def polygons(wkb: bytes) -> tuple[Part, ...]:
    """Return the polygons of a well-known binary; raises ValueError for other geometries."""
    order = "<" if wkb[:1] == b"\1" else ">"
    (kind,) = struct.unpack_from(f"{order}I", wkb, 1)
    if kind == _POLYGON:
        part, _ = _polygon(wkb, 0)
        return (part,)
    if kind != _MULTIPOLYGON:
        raise ValueError(f"geometry {kind}")
    (count,) = struct.unpack_from(f"{order}I", wkb, 5)
    parts, at = [], 9
    for _ in range(count):
        part, at = _polygon(wkb, at)
        parts.append(part)
    return tuple(parts)


def _polygon(wkb: bytes, at: int) -> tuple[Part, int]:
    order = "<" if wkb[at : at + 1] == b"\1" else ">"
    kind, count = struct.unpack_from(f"{order}II", wkb, at + 1)
    if kind != _POLYGON:
        raise ValueError(f"geometry {kind}")
    at += 9
    rings = []
    for _ in range(count):
        (points,) = struct.unpack_from(f"{order}I", wkb, at)
        flat = np.frombuffer(wkb, f"{order}f8", 2 * points, at + 4).reshape(-1, 2)
        if not (np.abs(flat) <= FARTHEST).all():
            raise ValueError("a vertex lies nowhere")
        rings.append(flat[:, ::-1].astype(np.float64))
        at += 4 + 16 * points
    return tuple(rings), at
