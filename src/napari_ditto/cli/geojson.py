"""Polygons from GeoJSON as QuPath and others write it: x and y in pixels of the plane."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.run_plan import Polygon

MOST = 64 << 20
CENTRE = 0.5
"""There a pixel begins at its number; here its centre lies on it."""


def polygons(text: str) -> list[Polygon]:
    """Read the outlines of all polygons of a file; holes are filled."""
    try:
        told = json.loads(read_plain(Path(text).expanduser(), MOST))
        found = [_polygon(ring) for ring in _rings(told)]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no GeoJSON of polygons: {error}") from None
    if not found:
        raise argparse.ArgumentTypeError(f"{text} holds no polygon")
    return found


def _rings(told: Any) -> Iterator[Any]:  # noqa: ANN401  # whatever the file holds
    """Yield the outer ring of every polygon in a geometry, a feature or a collection."""
    if isinstance(told, list):
        for part in told:
            yield from _rings(part)
    elif told["type"] == "Polygon":
        yield told["coordinates"][0]
    elif told["type"] == "MultiPolygon":
        yield from (rings[0] for rings in told["coordinates"])
    else:
        inner = (told.get(name) for name in ("features", "geometries", "geometry"))
        yield from (ring for part in inner if part for ring in _rings(part))


def _polygon(ring: Any) -> Polygon:  # noqa: ANN401  # whatever the file holds
    points = tuple((float(y) - CENTRE, float(x) - CENTRE) for x, y, *_ in ring)
    if len(points) < 3:
        raise ValueError(f"a polygon of {len(points)} points")
    return points
