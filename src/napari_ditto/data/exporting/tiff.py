"""TIFF: ids in 16 or 32 bits with pixel sizes, as ImageJ, OME or GeoTIFF readers expect them.

Small enough for ImageJ: a hyperstack with its units. On the earth: a tiled GeoTIFF with the tags
of the image. Anything else, and every ``.ome.tif``: tiled OME-TIFF.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.feeding import feed
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import Index, LabelImage
from napari_ditto.data.georeference import NODATA
from napari_ditto.errors import StoreError

Kind = Literal["imagej", "geo", "ome"]
Dtype = np.dtype[np.integer]

TILE = 512
STRIP = 2048
"""Rows of tiles are read in pieces of so many columns."""

LARGEST_PLANE = 1 << 26
"""Pixels of a plane that is held in memory to be written for ImageJ."""

LARGEST_CLASSIC = (1 << 32) - (1 << 24)
"""Bytes that a TIFF holds which is no BigTIFF; ImageJ's own format has no other."""

_ORDER = "tzyx"
_ASCII = 2
_SYMBOLS = {
    "micrometer": "µm",
    "nanometer": "nm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "angstrom": "Å",
    "inch": "in",
    "pixel": "pixel",
    "second": "s",
    "millisecond": "ms",
    "minute": "min",
    "hour": "h",
}
"""Units as OME-XML writes them."""


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write all planes; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    import tifffile

    _check_axes(labels)
    yield Progress("write", 0, 0, "looking for the largest id")
    dtype = _dtype(labels)
    nbytes = int(np.prod(labels.shape, dtype=object)) * dtype.itemsize
    kind = _kind(labels, path, dtype, nbytes)
    told = {"imagej": _imagej, "geo": _geotiff, "ome": _ome}[kind](labels)
    pieces = _planes(labels, dtype) if kind == "imagej" else _tiles(labels, dtype)
    total = labels.plane_count * (1 if kind == "imagej" else _tiles_per_plane(labels))
    big = nbytes > LARGEST_CLASSIC

    def take(given: Iterator[NDArray[np.integer]]) -> None:
        with tifffile.TiffWriter(
            path, bigtiff=big, imagej=kind == "imagej", ome=kind == "ome"
        ) as file:
            file.write(given, shape=labels.shape, dtype=dtype, compression="zlib", **told)

    for done in feed(take, pieces):
        yield Progress("write", done, total, "writing pixels")


def _kind(labels: LabelImage, path: Path, dtype: Dtype, nbytes: int) -> Kind:
    if path.name.lower().endswith((".ome.tif", ".ome.tiff")):
        return "ome"
    if labels.georeference and labels.plane_count == 1:
        return "geo"
    height, width = labels.plane_shape
    small = height * width <= LARGEST_PLANE and nbytes < LARGEST_CLASSIC
    return "imagej" if small and dtype.itemsize <= 2 else "ome"


def _dtype(labels: LabelImage) -> Dtype:
    highest = labels.highest()
    for dtype in (np.uint16, np.uint32):
        if highest <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise StoreError(
        f"id {highest} does not fit a TIFF of 32 bits",
        where=labels.name,
        todo="Renumber the objects, or write OME-Zarr",
    )


def _check_axes(labels: LabelImage) -> None:
    if tuple(labels.axes) != tuple(axis for axis in _ORDER if axis in labels.axes):
        raise StoreError(
            f"a TIFF has axes in the order t, z, y, x, these labels {', '.join(labels.axes)}",
            where=labels.name,
            todo="Write OME-Zarr",
        )


# --- what is told --------------------------------------------------------------------------------


def _imagej(labels: LabelImage) -> dict[str, Any]:
    sizes, units = dict(zip(labels.axes, labels.scale, strict=True)), _units(labels)
    told: dict[str, Any] = {"axes": "".join(labels.axes).upper(), "Info": _info(labels)}
    if units.get("x"):
        told["unit"] = "micron" if units["x"] == "micrometer" else _SYMBOLS.get(units["x"], "")
    if "z" in sizes:
        told["spacing"] = sizes["z"]
    if "t" in sizes:
        told["finterval"] = sizes["t"]
    return {"resolution": (1 / sizes["x"], 1 / sizes["y"]), "metadata": told}


def _ome(labels: LabelImage) -> dict[str, Any]:
    units = _units(labels)
    told: dict[str, Any] = {"axes": "".join(labels.axes).upper(), "Name": labels.name}
    for axis, size in zip(labels.axes, labels.scale, strict=True):
        key = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
        symbol = _SYMBOLS.get(units[axis], "s" if axis == "t" else "pixel")
        told |= {key: size, f"{key}Unit": symbol}
    return {"tile": (TILE, TILE), "metadata": told}


def _geotiff(labels: LabelImage) -> dict[str, Any]:
    tags = labels.georeference.tags if labels.georeference else ()
    nodata = (NODATA, _ASCII, 2, "0", True)
    return {"tile": (TILE, TILE), "metadata": None, "extratags": [*tags, nodata]}


def _units(labels: LabelImage) -> dict[str, str]:
    return dict(zip(labels.axes, labels.units, strict=True))


def _info(labels: LabelImage) -> str:
    """Return what made the labels, and their classes, as ImageJ's Image > Show Info shows it."""
    classes = {c.id: c.name for c in labels.table.classes}
    return json.dumps({"napari-ditto": {**labels.provenance, "classes": classes}}, default=str)


# --- pixels --------------------------------------------------------------------------------------


def _planes(labels: LabelImage, dtype: Dtype) -> Iterator[NDArray[np.integer]]:
    whole = Box.of_shape(labels.plane_shape)
    for index in labels.planes:
        yield labels.read(index, whole).astype(dtype)


def _tiles(labels: LabelImage, dtype: Dtype) -> Iterator[NDArray[np.integer]]:
    """Yield tiles row by row, each read but once."""
    for index in labels.planes:
        for row in range(0, labels.plane_shape[0], TILE):
            yield from _row_of_tiles(labels, index, row, dtype)


def _row_of_tiles(
    labels: LabelImage, index: Index, row: int, dtype: Dtype
) -> Iterator[NDArray[np.integer]]:
    height, width = labels.plane_shape
    for left in range(0, width, STRIP):
        box = Box(row, left, min(row + TILE, height), min(left + STRIP, width))
        strip = labels.read(index, box)
        for x in range(0, box.width, TILE):
            part = strip[:, x : x + TILE].astype(dtype)
            yield np.pad(part, [(0, TILE - n) for n in part.shape])


def _tiles_per_plane(labels: LabelImage) -> int:
    height, width = labels.plane_shape
    return -(-height // TILE) * -(-width // TILE)
