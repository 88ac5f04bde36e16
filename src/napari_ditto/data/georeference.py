"""Where an image lies on the earth: GeoTIFF tags and world files, read without GDAL.

Tags: OGC GeoTIFF 1.1 (docs.ogc.org/is/19-008r4); world files: one number a line, for centres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.plain_file import read_plain
from napari_ditto.errors import SourceError

Affine = tuple[float, float, float, float, float, float]
Tag = tuple[int, int, int, Any, bool]
"""Number, type, count and value of a TIFF tag, and whether only the first page has it."""

SCALE, TIE, MATRIX, KEYS, DOUBLES, TEXTS = 33550, 33922, 34264, 34735, 34736, 34737
NODATA = 42113
_DOUBLE, _SHORT, _ASCII = 12, 3, 2
_RASTER_TYPE, _MODEL_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 1024, 2048, 3072
_POINT, _USER_DEFINED = 2, 32767
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Georeference:
    """An affine map from pixel corners to the earth, and what its numbers mean.

    Attributes
    ----------
    affine : tuple of six floats
        ``a, b, c, d, e, f``: the corner at column ``u`` and row ``v`` lies at
        ``x = a * u + b * v + c``, ``y = d * u + e * v + f``, as in rasterio.
    crs : str
        ``"EPSG:32636"``, or WKT; ``""`` where it is not known.
    keys : tuple of tags
        The GeoTIFF tags that say so, as they were read.
    """

    affine: Affine
    crs: str = ""
    keys: tuple[Tag, ...] = ()

    @property
    def linear(self) -> NDArray[np.float64]:
        """The matrix that takes ``(row, column)`` to ``(y, x)``, without the shift."""
        a, b, _, d, e, _ = self.affine
        return np.array([[e, d], [b, a]])

    @property
    def shift(self) -> NDArray[np.float64]:
        """``(y, x)`` of the first pixel's outer corner."""
        return np.array([self.affine[5], self.affine[2]])

    @property
    def unit(self) -> str:
        """What `affine` counts, if that is metres and pyproj is there to tell; else ``""``."""
        found = _crs_of_pyproj(self.crs)
        axes = [] if found is None else found.axis_info
        return "meter" if axes and axes[0].unit_name == "metre" else ""

    @property
    def tags(self) -> tuple[Tag, ...]:
        """GeoTIFF tags for an image on the same pixels."""
        a, b, c, d, e, f = self.affine
        matrix = (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        if b == d == 0 and a > 0 > e:
            place: tuple[Tag, ...] = (
                (SCALE, _DOUBLE, 3, (a, -e, 0.0), True),
                (TIE, _DOUBLE, 6, (0.0, 0.0, 0.0, c, f, 0.0), True),
            )
        else:
            place = ((MATRIX, _DOUBLE, 16, matrix, True),)
        return (*place, *(self.keys or _keys_of(self.crs)))


def read_georeference(path: Path | str) -> Georeference | None:
    """Return where an image lies, from its own tags or a world file beside it.

    Raises
    ------
    SourceError
        If a world file is there that is none.
    """
    path = Path(path)
    if path.is_dir():
        return None
    return _of_tiff(path) or _of_world_file(path)


# --- GeoTIFF -------------------------------------------------------------------------------------


def _of_tiff(path: Path) -> Georeference | None:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            tags = cast("Any", file.pages[0]).tags
            found = {n: tags[n] for n in (SCALE, TIE, MATRIX, KEYS, DOUBLES, TEXTS) if n in tags}
            values = {number: tag.value for number, tag in found.items()}
            affine = _affine(values)
            keys = _geokeys(values)
            crs = _crs(keys)
    except (tifffile.TiffFileError, OSError, ValueError, TypeError, LookupError):
        return None
    if affine is None or not all(map(math.isfinite, affine)):
        return None
    if keys.get(_RASTER_TYPE) == _POINT:
        affine = _from_centres(affine)
    if not crs and keys:
        crs = _crs_of_rasterio(path)
    kept = tuple(
        (n, kind, len(values[n]), _corners(n, values[n]), True)
        for n, kind in ((KEYS, _SHORT), (DOUBLES, _DOUBLE), (TEXTS, _ASCII))
        if n in values
    )
    return Georeference(affine, crs, kept)


def _affine(values: Mapping[int, Sequence[float]]) -> Affine | None:
    if MATRIX in values:
        m = [float(v) for v in values[MATRIX]]
        return m[0], m[1], m[3], m[4], m[5], m[7]
    if SCALE not in values or TIE not in values:
        return None
    sx, sy = (float(v) for v in values[SCALE][:2])
    u, v, _, x, y, _ = (float(n) for n in values[TIE][:6])
    return sx, 0.0, x - u * sx, 0.0, -sy, y + v * sy


def _geokeys(values: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Return the keys whose value is in the directory itself."""
    flat = list(values.get(KEYS, ()))
    entries = [flat[i : i + 4] for i in range(4, len(flat) - 3, 4)]
    return {int(e[0]): int(e[3]) for e in entries if e[1] == 0}


def _crs(keys: Mapping[int, int]) -> str:
    codes = (keys.get(_PROJECTED), keys.get(_GEOGRAPHIC))
    code = next((c for c in codes if c), 0)
    return f"EPSG:{code}" if 0 < code < _USER_DEFINED else ""


def _corners(number: int, value: Any) -> Any:  # noqa: ANN401
    """Return a tag's value with the raster type said to be areas, as our affine is for corners."""
    if number != KEYS:
        return value
    flat = list(value)
    for at in range(4, len(flat) - 3, 4):
        if flat[at] == _RASTER_TYPE:
            flat[at + 3] = 1
    return tuple(flat)


def _keys_of(crs: str) -> tuple[Tag, ...]:
    """Return the tags that name an EPSG code, nothing for other systems."""
    authority, _, code = crs.partition(":")
    if authority.upper() != "EPSG" or not code.isdecimal():
        return ()
    found = _crs_of_pyproj(crs)
    if found is None:
        return ()
    geographic = found.is_geographic
    flat = (1, 1, 0, 3, _MODEL_TYPE, 0, 1, 2 if geographic else 1, _RASTER_TYPE, 0, 1, 1)
    last = (_GEOGRAPHIC if geographic else _PROJECTED, 0, 1, int(code))
    return ((KEYS, _SHORT, 16, (*flat, *last), True),)


def _crs_of_pyproj(crs: str) -> Any:  # noqa: ANN401
    """Return a system as pyproj knows it; None if it does not, or is not there."""
    try:
        from pyproj import CRS
        from pyproj.exceptions import CRSError
    except ImportError:
        return None
    try:
        return CRS.from_user_input(crs) if crs else None
    except CRSError:
        return None


def _crs_of_rasterio(path: Path) -> str:
    """Return the WKT of a system that has no EPSG code, if rasterio is there to make it."""
    try:
        import rasterio
    except ImportError:
        return ""
    try:
        with rasterio.open(path, driver="GTiff") as raster:
            return str(raster.crs.to_wkt()) if raster.crs else ""
    except rasterio.errors.RasterioIOError:
        return ""


# --- world files ---------------------------------------------------------------------------------


def _of_world_file(path: Path) -> Georeference | None:
    suffix = path.suffix.lower().lstrip(".")
    names = {f"{suffix[:1]}{suffix[-1:]}w", f"{suffix}w", "wld"}
    beside = [path.with_suffix(f".{name}") for name in sorted(names)]
    world = next((p for p in beside if p.is_file()), None)
    if world is None:
        return None
    try:
        a, d, b, e, c, f = (float(line) for line in _text(world).split())
    except (OSError, ValueError) as error:
        raise SourceError(
            "this is no world file: it must hold six numbers", where=str(world)
        ) from error
    if not all(map(math.isfinite, (a, d, b, e, c, f))) or a * e == b * d:
        raise SourceError("this world file maps pixels nowhere", where=str(world))
    projection = path.with_suffix(".prj")
    crs = _text(projection).strip() if projection.is_file() else ""
    return Georeference(_from_centres((a, b, c, d, e, f)), crs)


def _text(path: Path) -> str:
    return read_plain(path, _LARGEST).decode("utf-8")


def _from_centres(affine: Affine) -> Affine:
    """Return the map of corners where the given one is of centres."""
    a, b, c, d, e, f = affine
    return a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
