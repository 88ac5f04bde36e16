"""Physical pixel sizes, their units and the first pixel's place, as a file's metadata tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

from napari_ditto.data.zarr_attributes import read_attributes
from napari_ditto.errors import LabelsError, SourceError

if TYPE_CHECKING:
    import tifffile

UNITS = {
    "nanometer": ("nm", "nanometre", "nanometers"),
    "micrometer": ("um", "µm", "μm", "micron", "microns", "micrometre", "micrometers", "\\u00B5m"),
    "millimeter": ("mm", "millimetre", "millimeters"),
    "centimeter": ("cm", "centimetre"),
    "meter": ("m", "metre", "meters"),
    "angstrom": ("å", "Å"),
    "inch": ("in",),
    "pixel": ("pixels", "px"),
    "second": ("s", "sec", "seconds"),
    "millisecond": ("ms",),
    "minute": ("min",),
    "hour": ("h",),
}
"""OME-Zarr's names, and what others write for them."""

_NAMES = {other.lower(): name for name, others in UNITS.items() for other in (name, *others)}
_LONGEST = 40


@dataclass(frozen=True)
class PixelGrid:
    """What is known along some axes.

    Attributes
    ----------
    scale, translate : mapping of str to float
        Size of a pixel, and the place of the centre of the first one.
    units : mapping of str to str
        Of both, as OME-Zarr names them.
    """

    scale: Mapping[str, float] = field(default_factory=dict)
    translate: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def on(self, axes: Sequence[str]) -> dict[str, Any]:
        """Return one value of each for each axis: 1, 0 and ``""`` where nothing is known."""
        return {
            "scale": tuple(self.scale.get(axis, 1.0) for axis in axes),
            "translate": tuple(self.translate.get(axis, 0.0) for axis in axes),
            "units": tuple(self.units.get(axis, "") for axis in axes),
        }


def unit_name(text: object) -> str:
    """Return OME-Zarr's name of a unit; an unknown one stays if it is a plain word."""
    word = str(text).strip()
    known = _NAMES.get(word.lower())
    return known or (word if len(word) <= _LONGEST and word.isalpha() else "")


def read_grid(path: Path) -> PixelGrid:
    """Return what a zarr folder or a TIFF tells; nothing for other files."""
    if path.is_dir():
        try:
            return _of_zarr(read_attributes(path) or {})
        except LabelsError as error:
            raise SourceError(error.what, where=error.where, todo=error.todo) from error
    return _of_tiff(path)


def _of_zarr(attributes: Mapping[str, Any]) -> PixelGrid:
    inner = attributes.get("ome")
    holder = inner if isinstance(inner, Mapping) else attributes
    try:
        image = holder["multiscales"][0]
        axes = [(str(a["name"]).lower(), unit_name(a.get("unit", ""))) for a in image["axes"]]
        lists = [image["datasets"][0].get("coordinateTransformations", ())]
        lists.append(image.get("coordinateTransformations", ()))
        names = [name for name, _ in axes]
        scale, shift = dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.0)
        for transform in (t for transforms in lists for t in transforms):
            for name, value in zip(names, transform.get("scale", ()), strict=False):
                scale[name] *= float(value)
                shift[name] *= float(value)
            for name, value in zip(names, transform.get("translation", ()), strict=False):
                shift[name] += float(value)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return PixelGrid()
    return PixelGrid(_positive(scale), _finite(shift), {n: u for n, u in axes if u})


def _of_tiff(path: Path) -> PixelGrid:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            if file.ome_metadata:
                return _of_ome(file.ome_metadata)
            if file.imagej_metadata is not None:
                return _of_imagej(file)
    except (tifffile.TiffFileError, ElementTree.ParseError, OSError, ValueError, KeyError):
        return PixelGrid()
    return PixelGrid()


def _of_ome(text: str) -> PixelGrid:
    # Expat itself ends entities that grow without end.
    root = ElementTree.fromstring(text)  # noqa: S314
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return PixelGrid()
    keys = {axis: f"PhysicalSize{axis.upper()}" for axis in "xyz"} | {"t": "TimeIncrement"}
    found = {axis: pixels.get(key) for axis, key in keys.items()}
    scale = {axis: float(value) for axis, value in found.items() if value is not None}
    default = {axis: "s" if axis == "t" else "µm" for axis in scale}
    units = {a: unit_name(pixels.get(f"{keys[a]}Unit", default[a])) for a in scale}
    plane = next((e for e in pixels if e.tag.rpartition("}")[2] == "Plane"), None)
    places = {} if plane is None else {a: plane.get(f"Position{a.upper()}") for a in "xyz"}
    shift = {axis: float(value) for axis, value in places.items() if value is not None}
    return PixelGrid(_positive(scale), _finite(shift), {a: u for a, u in units.items() if u})


def _of_imagej(file: tifffile.TiffFile) -> PixelGrid:
    told: Mapping[str, Any] = file.imagej_metadata or {}
    scale: dict[str, float] = {}
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        entry = cast("Any", file.pages[0]).tags.get(tag)
        if entry is not None and entry.value[0]:
            scale[axis] = entry.value[1] / entry.value[0]
    if "spacing" in told:
        scale["z"] = float(told["spacing"])
    if "finterval" in told:
        scale["t"] = float(told["finterval"])
    unit = unit_name(told.get("unit", ""))
    units = {axis: "second" if axis == "t" else unit for axis in scale}
    return PixelGrid(_positive(scale), {}, {axis: u for axis, u in units.items() if u})


def _positive(values: Mapping[str, float]) -> dict[str, float]:
    return {axis: v for axis, v in values.items() if math.isfinite(v) and v > 0}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {axis: v for axis, v in values.items() if math.isfinite(v)}
