"""Regions from GeoJSON as QuPath and others write it: x and y in pixels of the plane."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_ditto.core.run_plan import Polygon
from napari_ditto.errors import SourceError

CENTRE = 0.5
"""There a pixel begins at its number; here its centre lies on it."""


def polygons(text: str) -> list[Polygon]:
    """Read the outlines of all polygons of a file; holes are filled."""
    from napari_ditto.data.importing.geojson import read

    try:
        shapes = read(Path(text).expanduser()).shapes
    except SourceError as error:
        raise argparse.ArgumentTypeError(f"{text} is no GeoJSON of polygons: {error}") from None
    shells = [part[0] for shape in shapes for part in shape.parts if part and len(part[0]) > 2]
    if not shells:
        raise argparse.ArgumentTypeError(f"{text} holds no polygon")
    return [tuple((float(y), float(x)) for y, x in shell - CENTRE) for shell in shells]
