"""Objects as outlines with what is known of them: what formats of polygons have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.outlines import Outline, trace
from napari_ditto.core.progress import Progress
from napari_ditto.core.simplify import simplify
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.data.exporting.objects import PlaneObject, find_boxes, objects
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    from napari_ditto.data.object_records import ObjectClass

PIXEL = "pixel"


@dataclass(frozen=True, eq=False)
class Found:
    """An object, and how far the search for objects is."""

    object: PlaneObject
    progress: Progress


def found_objects(labels: LabelImage) -> Iterator[Found]:
    """Yield the objects of all planes."""
    for number, index in enumerate(labels.planes):
        boxes = find_boxes(labels, index)
        plane = f" of plane {number + 1} of {labels.plane_count}" if labels.plane_count > 1 else ""
        total = len(boxes.labels)
        for done, item in enumerate(objects(labels, index, boxes), 1):
            yield Found(item, Progress("write", done, total, f"object {done} of {total}{plane}"))


def outlines_of(item: PlaneObject, tolerance: float) -> list[Outline]:
    """Return the outlines of an object in its plane's pixel corners."""
    exact = trace(item.mask, (item.box.y0, item.box.x0))
    return [simplify(outline, tolerance) for outline in exact]


def class_of(labels: LabelImage, label: int) -> ObjectClass | None:
    """Return the class of an object, None if it has none."""
    return labels.table.class_of(label)


def facts(labels: LabelImage, item: PlaneObject) -> dict[str, Any]:
    """Return what a file tells of an object: the same names in every format.

    ``area`` is in ``area_unit``, and there where the size of a pixel is known.
    """
    record, kind = labels.table.record(item.label), class_of(labels, item.label)
    known: dict[str, Any] = {"label": item.label, "class": kind.name if kind else ""}
    known |= {"score": record.score, "area_px": item.area, **dict(item.index)}
    pixel, unit = labels.pixel_area
    if unit:
        known |= {"area": known["area_px"] * pixel, "area_unit": unit}
    return known


# --- where they go -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Projection:
    """From pixel corners to the coordinates of a file.

    Attributes
    ----------
    crs : str
        As in :class:`~napari_ditto.data.georeference.Georeference`; ``"pixel"`` for pixels.
    linear, shift : ndarray or None
        The affine map of ``(row, column)``; None leaves pixels as they are.
    transformer : pyproj.Transformer or None
        To another system than the image's.
    """

    crs: str = PIXEL
    linear: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None
    transformer: Any = None

    @property
    def is_pixel(self) -> bool:
        """Whether coordinates are pixels."""
        return self.linear is None

    def rings(self, outline: Outline) -> list[NDArray[np.float64]]:
        """Return closed rings of ``(x, y)``, the first one the shell, counterclockwise.

        Counterclockwise as RFC 7946 means it: with y growing upwards.
        """
        moved = outline
        if self.linear is not None and self.shift is not None:
            moved = outline.moved(self.linear, self.shift)
        rings = [self._closed(ring[:, ::-1]) for ring in moved.rings]
        turned = self.linear is not None and np.linalg.det(self.linear) < 0
        return [ring[::-1] for ring in rings] if turned else rings

    def _closed(self, ring: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.transformer is not None:
            ring = np.stack(self.transformer.transform(*ring.T), axis=1)
        return np.concatenate([ring, ring[:1]])


def projection(labels: LabelImage, crs: str) -> Projection:
    """Return the way from pixels to a reference system.

    Parameters
    ----------
    labels : LabelImage
        Georeferenced or not.
    crs : str
        As in :class:`~napari_ditto.data.exporting.formats.Options`.

    Raises
    ------
    StoreError
        If the image does not tell where it lies, or pyproj is missing.
    """
    place = labels.georeference
    if place is None and crs not in ("", PIXEL):
        raise StoreError(
            f"the image does not tell where it lies, so {crs} cannot be reached",
            where=labels.image or labels.name,
            todo="Give the GeoTIFF, or an image with a world file",
        )
    if place is None or crs == PIXEL:
        return Projection()
    if not crs or crs == place.crs:
        return Projection(place.crs, place.linear, place.shift)
    return Projection(crs, place.linear, place.shift, _transformer(place.crs, crs))


def _transformer(source: str, target: str) -> Any:  # noqa: ANN401
    if not source:
        raise StoreError(
            f"the image's reference system is not known, so {target} cannot be reached",
            todo="Leave --crs out, or put a .prj file beside the world file",
        )
    pyproj = needed("pyproj", "geo", "another reference system")
    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.CRSError as error:
        raise StoreError(
            f"there is no reference system {target!r}", todo='Write it as "EPSG:4326"'
        ) from error


def needed(module: str, extra: str, what: str) -> Any:  # noqa: ANN401
    """Import a library of an extra; raises StoreError that names the extra if it is missing."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise StoreError(
            f"{what} needs {module}, which is not installed",
            todo=f'pip install "napari-ditto[{extra}]"',
        ) from error
