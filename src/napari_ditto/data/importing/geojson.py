"""Outlines from GeoJSON as QuPath, QGIS and we ourselves write it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_ditto.core.plain_file import read_plain
from napari_ditto.data.checked import Facts, Misfit, parse
from napari_ditto.data.exporting.features import PIXEL
from napari_ditto.data.exporting.geojson import OURS
from napari_ditto.data.importing.foreign import (
    LARGEST_FILE,
    MOST_SHAPES,
    Foreign,
    Grid,
    Part,
    Shape,
    index_from,
    label_from,
    ring_of,
    score_from,
)
from napari_ditto.errors import SourceError

DEEPEST = 8
_URN = re.compile(r"urn:ogc:def:crs:(?P<authority>[A-Z]+):[^:]*:(?P<code>\w+)", re.IGNORECASE)
_PLAIN = re.compile(r"(?P<authority>EPSG|OGC):(?P<code>\w+)", re.IGNORECASE)

Feature = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A geometry and the properties it has."""


def read(path: Path) -> Foreign:
    """Return the polygons of a file; other geometries are left out.

    Raises
    ------
    SourceError
        If it is no GeoJSON.
    """
    try:
        told = parse(read_plain(path, LARGEST_FILE))
        shapes, colors, others = [], {}, 0
        for geometry, properties in features(told.told):
            parts = _parts(geometry)
            if not parts:
                others += 1
                continue
            shape = _shape(parts, geometry, properties)
            shapes.append(shape)
            color = _color(properties)
            if shape.kind and color:
                colors[shape.kind] = color
        if len(shapes) > MOST_SHAPES:
            raise Misfit(f"it has more than {MOST_SHAPES:,} objects")
        crs = crs_of(told.told)
        notes = (f"{others} geometries that are no polygons were left out",) if others else ()
        return Foreign(shapes, crs, _grid(told), colors, notes)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise SourceError(
            f"this GeoJSON cannot be read: {getattr(error, 'strerror', None) or error}",
            where=str(path),
        ) from error


def features(told: Any, deep: int = 0) -> Iterator[Feature]:  # noqa: ANN401
    """Yield the simple geometries of a collection, a feature or a geometry.

    Raises
    ------
    Misfit
        If this is no GeoJSON.
    """
    if not isinstance(told, dict) or not isinstance(told.get("type"), str) or deep > DEEPEST:
        raise Misfit("it is no GeoJSON")
    kind = told["type"]
    if kind == "FeatureCollection":
        for feature in Facts(told).items("features", MOST_SHAPES):
            yield from features(feature, deep + 1)
    elif kind == "Feature":
        properties = told.get("properties")
        if told.get("geometry") is not None:
            for geometry, _ in features(told["geometry"], deep + 1):
                yield geometry, properties if isinstance(properties, dict) else {}
    elif kind == "GeometryCollection":
        for geometry in Facts(told).items("geometries", MOST_SHAPES):
            yield from features(geometry, deep + 1)
    else:
        yield told, {}


def crs_of(told: Mapping[str, Any]) -> str:
    """Return the reference system that the older GeoJSON names; pixels if there is none."""
    member = told.get("crs")
    if member is None:
        return PIXEL
    name = Facts(member, "crs").facts("properties").text("name")
    found = _URN.fullmatch(name) or _PLAIN.fullmatch(name)
    if not found:
        raise Misfit(f"its reference system is {name!r:.60}")
    return f"{found['authority'].upper()}:{found['code'].upper()}"


def _parts(geometry: Mapping[str, Any]) -> tuple[Part, ...]:
    kind, coordinates = geometry["type"], geometry.get("coordinates", ())
    if kind == "Polygon":
        return (tuple(ring_of(ring) for ring in coordinates),)
    if kind == "MultiPolygon":
        return tuple(tuple(ring_of(ring) for ring in rings) for rings in coordinates)
    return ()


def _shape(
    parts: tuple[Part, ...], geometry: Mapping[str, Any], properties: Mapping[str, Any]
) -> Shape:
    plane, kind = geometry.get("plane"), properties.get("classification")
    name = kind.get("name") if isinstance(kind, dict) else properties.get("class")
    index = index_from(properties)
    if not index and isinstance(plane, dict):
        index = index_from(plane)
    return Shape(
        parts,
        label=label_from(properties.get("label")),
        kind=name.strip()[:1000] if isinstance(name, str) else "",
        score=score_from(properties.get("score")),
        index=index,
    )


def _color(properties: Mapping[str, Any]) -> str:
    kind = properties.get("classification")
    rgb = kind.get("color") if isinstance(kind, dict) else None
    if not isinstance(rgb, list) or len(rgb) != 3:
        return ""
    fits = all(type(n) is int and 0 <= n < 256 for n in rgb)
    return f"#{bytes(rgb).hex()}" if fits else ""


def _grid(told: Facts) -> Grid | None:
    if OURS not in told:
        return None
    ours = told.facts(OURS)
    return grid_of(ours)


def grid_of(ours: Facts) -> Grid:
    """Return the grid that our own exports tell."""
    axes, shape = ours.texts("axes", 32), ours.wholes("shape", 32, 1)
    count = len(axes)
    units = ours.texts("units", count)
    if not len(shape) == len(units) == count >= 2:
        raise Misfit("its grid makes no sense")
    return Grid(axes, shape, ours.numbers("scale", count), ours.numbers("translate", count), units)
