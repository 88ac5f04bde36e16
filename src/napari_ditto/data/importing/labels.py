"""A label image from any file that holds one, or outlines of objects, on an image's grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.features import PIXEL, needed
from napari_ditto.data.importing.foreign import Foreign, Grid, Shape, plain_grid
from napari_ditto.data.object_records import COLORS, ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.errors import LabelsError, SourceError

if TYPE_CHECKING:
    from napari_ditto.data.georeference import Georeference

LARGEST = 1 << 31
"""Bytes of a label image in memory."""

AT_ONCE = 1 << 24
"""Pixels of a shape that are filled at once."""


@dataclass(frozen=True, eq=False)
class Imported:
    """Labels and what is known of them.

    Attributes
    ----------
    data : ndarray of int
        The ids.
    grid : Grid
        Axes and pixel sizes.
    table : ObjectTable
        Classes and scores.
    notes : tuple of str
        What a user should know: what was left out, and why.
    """

    data: NDArray[np.integer]
    grid: Grid
    table: ObjectTable = field(default_factory=ObjectTable)
    notes: tuple[str, ...] = ()


Steps = Generator[Progress, None, Imported]


def import_labels(
    path: Path | str,
    image: object = None,
    *,
    shape: Sequence[int] | None = None,
    axes: Sequence[str] | None = None,
    plane: Mapping[str, int] | None = None,
    crs: str = "",
) -> Imported:
    """Read labels that another program wrote.

    Parameters
    ----------
    path : Path or str
        An OME-Zarr, TIFF or PNG of ids; or GeoJSON, GeoPackage, COCO (``.json``) or ImageJ's ROIs
        (``.zip``, ``.roi``).
    image : array or path, optional
        What the labels are of: they get its grid, and its georeference places polygons on it.
    shape, axes : optional
        The grid in place of an image; by default the one that the file tells, else just as large
        as the outlines need.
    plane : mapping of str to int, optional
        Where objects go whose file tells no plane, ``{"z": 3}``; by default into the first one.
    crs : str
        What the file's coordinates mean, if it tells wrongly or not: ``"pixel"``, "EPSG:4326".

    Returns
    -------
    Imported
        Ids are those of the file where every object has one, and else count from 1. A pixel whose
        centre is in several objects gets the last one.

    Raises
    ------
    SourceError
        If the file cannot be read.
    LabelsError
        If the labels do not fit the image, or the memory.
    StoreError
        If a library is missing.
    """
    return drain(import_steps(path, image, shape=shape, axes=axes, plane=plane, crs=crs))


def import_steps(
    path: Path | str,
    image: object = None,
    *,
    shape: Sequence[int] | None = None,
    axes: Sequence[str] | None = None,
    plane: Mapping[str, int] | None = None,
    crs: str = "",
) -> Steps:
    """Read labels step by step; see :func:`import_labels`."""
    file = Path(path).expanduser()
    yield Progress("read", 0, 0, f"reading {file.name}")
    target, place = _target(image, shape, axes)
    foreign = read_shapes(file, Path(image).name if isinstance(image, str | Path) else "")
    if foreign is None:
        return _checked(_raster(file), target, str(file))
    foreign = replace(foreign, crs=crs) if crs else foreign
    foreign = placed(foreign, place, str(file))
    grid = target or foreign.grid or _around(foreign.shapes)
    ids = numbered(foreign.shapes)
    data = _empty(grid, max(ids, default=0), str(file))
    fixed = dict(plane or {})
    outside = 0
    for number, (item, label) in enumerate(zip(foreign.shapes, ids, strict=True), 1):
        outside += not _draw(data, grid, item, label, fixed)
        yield Progress("write", number, len(ids), f"object {number} of {len(ids)}")
    notes = foreign.notes
    if outside:
        notes = (*notes, f"{outside} of {len(ids)} objects lie outside of the image")
    return Imported(data, grid, table_of(foreign, ids), notes)


def read_shapes(path: Path, image: str = "") -> Foreign | None:
    """Return the outlines that a file holds; None for a file of pixels."""
    from napari_ditto.data.importing import coco, geojson, geopackage, imagej

    suffix = path.suffix.lower()
    if suffix == ".geojson":
        return geojson.read(path)
    if suffix == ".json":
        return coco.read(path, image) if is_coco(path) else geojson.read(path)
    if suffix == ".gpkg":
        return geopackage.read(path)
    return imagej.read(path) if suffix in (".zip", ".roi") else None


def is_coco(path: Path) -> bool:
    """Whether the beginning of a JSON file looks like COCO's."""
    from napari_ditto.core.plain_file import open_plain

    try:
        with open_plain(path) as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise SourceError(f"cannot open the file: {error.strerror}", where=str(path)) from error
    return b'"images"' in head or b'"annotations"' in head


# --- where things lie ----------------------------------------------------------------------------


def placed(foreign: Foreign, place: Georeference | None, where: str) -> Foreign:
    """Return outlines in pixels of an image.

    Raises
    ------
    SourceError
        If they lie on the earth, and the image does not tell where it does.
    """
    if foreign.crs == PIXEL:
        return foreign
    if place is None:
        raise SourceError(
            f"its polygons lie on the earth ({foreign.crs:.60}), on no image that is known",
            where=where,
            todo="Import it with the GeoTIFF that it belongs to (--image)",
        )
    transformer = None
    if place.crs and foreign.crs != place.crs:
        pyproj = needed("pyproj", "geo", "another reference system")
        try:
            transformer = pyproj.Transformer.from_crs(foreign.crs, place.crs, always_xy=True)
        except pyproj.exceptions.CRSError as error:
            raise SourceError(
                f"the reference system {foreign.crs!r:.60} is not known", where=where
            ) from error
    inverse = np.linalg.inv(place.linear)

    def to_pixels(ring: NDArray[np.float64]) -> NDArray[np.float64]:
        if transformer is not None:
            ring = np.stack(transformer.transform(*ring[:, ::-1].T), axis=1)[:, ::-1]
        moved: NDArray[np.float64] = (ring - place.shift) @ inverse.T
        # What no pixel can be told from: inverting the affine costs the last digits.
        return np.round(moved, 6)

    shapes = [
        replace(s, parts=tuple(tuple(map(to_pixels, part)) for part in s.parts))
        for s in foreign.shapes
    ]
    if not all(np.isfinite(ring).all() for s in shapes for ring in s.rings):
        raise SourceError("some of its polygons cannot be reached on the image", where=where)
    return replace(foreign, shapes=shapes, crs=PIXEL)


def _target(
    image: object, shape: Sequence[int] | None, axes: Sequence[str] | None
) -> tuple[Grid | None, Georeference | None]:
    """Return the grid that labels are to have, and where it lies."""
    if image is not None:
        return _grid_of_image(image, axes)
    if shape is None:
        return None, None
    from napari_ditto.data.axes import default_names

    names = tuple(axes) if axes else default_names(len(shape))
    if len(names) != len(shape) or len(shape) < 2 or min(shape) < 1:
        raise LabelsError(f"shape {tuple(shape)} does not fit axes {', '.join(names)}")
    return plain_grid(names, [int(n) for n in shape]), None


def _grid_of_image(image: object, axes: Sequence[str] | None) -> tuple[Grid, Georeference | None]:
    from napari_ditto.data.georeference import read_georeference
    from napari_ditto.data.grid import read_grid
    from napari_ditto.data.source import ArraySource, is_source, open_source

    source = image if is_source(image) else open_source(image, axes=axes)
    grid = plain_grid(source.axes, source.shape)
    if isinstance(source, ArraySource) and source is not image:
        source.close()
    if not isinstance(image, str | Path):
        return grid, None
    path = Path(image).expanduser()
    return replace(grid, **read_grid(path).on(grid.axes)), read_georeference(path)


def _around(shapes: Sequence[Shape]) -> Grid:
    """Return the smallest grid from the first pixel on that holds all shapes."""
    ends = [(s.box().y1, s.box().x1) for s in shapes]
    axes = [axis for axis in ("t", "z") if any(axis in dict(s.index) for s in shapes)]
    planes = [max(dict(s.index).get(axis, 0) for s in shapes) + 1 for axis in axes]
    height, width = (max(1, *(end[i] for end in ends)) if ends else 1 for i in (0, 1))
    return plain_grid((*axes, "y", "x"), (*planes, height, width))


# --- pixels --------------------------------------------------------------------------------------


def _raster(path: Path) -> Imported:
    from napari_ditto.data.export import prepared

    labels = prepared(path)
    try:
        grid = Grid(labels.axes, labels.shape, labels.scale, labels.translate, labels.units)
        if math.prod(labels.shape) * labels.raw.dtype.itemsize > LARGEST:
            raise LabelsError(
                f"labels of {labels.shape} are too large for the memory",
                where=str(path),
                todo="Open the file itself as a layer",
            )
        whole = labels.raw.read(tuple(slice(0, n) for n in labels.shape))
        kind = np.uint8 if whole.dtype.kind == "b" else whole.dtype.newbyteorder("=")
        return Imported(np.array(whole, dtype=kind), grid, labels.table)
    finally:
        if labels.close is not None:
            labels.close()


def _checked(found: Imported, target: Grid | None, where: str) -> Imported:
    if target is None:
        return found
    if found.data.shape != target.shape:
        raise LabelsError(
            f"labels of shape {found.data.shape} for an image of {target.shape}", where=where
        )
    return replace(found, grid=target)


def _empty(grid: Grid, highest: int, where: str) -> NDArray[np.integer]:
    dtype = np.dtype(np.uint32 if highest <= np.iinfo(np.uint32).max else np.uint64)
    if math.prod(grid.shape) * dtype.itemsize > LARGEST:
        raise LabelsError(
            f"labels of {grid.shape} along {', '.join(grid.axes)} are too large for the memory",
            where=where,
            todo="Import them onto a part of the image",
        )
    return np.zeros(grid.shape, dtype=dtype)


def _draw(
    data: NDArray[np.integer], grid: Grid, item: Shape, label: int, fixed: Mapping[str, int]
) -> bool:
    """Write one object; return whether any of it lies on the grid."""
    at = {**fixed, **dict(item.index)}
    index = tuple(at.get(axis, 0) for axis in grid.axes[:-2])
    if not all(0 <= i < n for i, n in zip(index, grid.shape, strict=False)):
        return False
    plane = data[index]
    box = item.box().intersect(Box.of_shape(plane.shape))
    rows = max(1, AT_ONCE // max(1, box.width))
    drawn = False
    for y in range(box.y0, box.y1 if box.width else box.y0, rows):
        part = Box(y, box.x0, min(y + rows, box.y1), box.x1)
        mask = item.mask_in(part)
        plane[part.slices][mask] = label
        drawn |= bool(mask.any())
    return drawn


# --- what is known of the objects ----------------------------------------------------------------


def numbered(shapes: Sequence[Shape]) -> list[int]:
    """Return the ids of objects: their own, if each has one, else 1, 2, ..."""
    own = [s.label for s in shapes]
    if all(label is not None for label in own):
        return [label for label in own if label is not None]
    return list(range(1, len(shapes) + 1))


def table_of(foreign: Foreign, ids: Sequence[int]) -> ObjectTable:
    """Return classes and scores by id."""
    names = list(dict.fromkeys(s.kind for s in foreign.shapes if s.kind))
    colors = itertools.cycle(COLORS)
    classes = tuple(
        ObjectClass(number, name, foreign.colors.get(name) or next(colors))
        for number, name in enumerate(names, 1)
    )
    numbers = {c.name: c.id for c in classes}
    records: dict[int, Any] = {
        label: ObjectRecord(label, numbers.get(s.kind, 0), s.score)
        for s, label in zip(foreign.shapes, ids, strict=True)
        if s.kind or s.score is not None
    }
    return ObjectTable(records, classes)
