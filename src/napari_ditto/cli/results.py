"""Write labels where the user wants them, with what made them in the metadata."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ditto import __version__
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import Frame, PromptSet
from napari_ditto.errors import LabelsError, StoreError

if TYPE_CHECKING:
    from napari_ditto.data.protocols import LabelStore, Source
    from napari_ditto.models.protocols import ModelSpec

ZARR = ".zarr"
PICTURE = ".png"
SUFFIXES = (".tif", ".tiff", ZARR, PICTURE)
LARGEST_PICTURE = 4096
"""Pixels of a picture's longer side."""
LARGEST_TIFF = 1 << 28
"""Pixels of a plane that is held in memory to be written, 1 GiB of uint32."""


BAND = 512
"""Rows of labels that are read at once for a picture."""


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the result goes."""
    parser.add_argument(
        "-o",
        "--output",
        type=output,
        action="append",
        default=[],
        metavar="FILE",
        help="labels as .zarr (OME-Zarr of the whole image; an old one is added to) or .tif "
        "(the plane), outlines over the image as .png; repeatable",
    )


def output(text: str) -> Path:
    """Read a path that can be written, before any work is done."""
    path = Path(text).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text}: the name must end with {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def provenance(spec: ModelSpec, source: Source, address: PlaneAddress) -> dict[str, object]:
    """Return what a result must say about how it was made."""
    return {
        "program": f"napari-ditto {__version__}",
        **spec.provenance,
        "citation": spec.citation,
        "image": source.name,
        "plane": str(address),
        "window": [list(source.window.low), list(source.window.high)],
    }


def open_labels(source: Source, outputs: Sequence[Path], facts: Mapping[str, object]) -> LabelStore:
    """Return labels of the image's shape: those of the zarr among the outputs, old or new."""
    from napari_ditto.data.labels import new_labels
    from napari_ditto.data.pyramid_labels import PyramidLabels

    folder = next((p for p in outputs if p.suffix.lower() == ZARR), None)
    if folder is None:
        return new_labels(source)
    if not folder.exists():
        scale = getattr(source, "scale", None)
        return PyramidLabels.create(
            folder, source.shape, source.axes, scale=scale, provenance=facts
        )
    store = PyramidLabels.open(folder)
    if store.shape != source.shape:
        raise LabelsError(
            f"labels of shape {store.shape} for an image of {source.shape}",
            where=str(folder),
            todo="Choose another name",
        )
    return store


@dataclass(frozen=True, eq=False)
class Result:
    """Labels of one plane, ready to be written.

    Attributes
    ----------
    source : Source
        The image.
    address : PlaneAddress
        The plane.
    store : LabelStore
        The labels, of the image's shape.
    facts : mapping
        What made them; see `provenance`.
    """

    source: Source
    address: PlaneAddress
    store: LabelStore
    facts: Mapping[str, object]

    def write(
        self, outputs: Sequence[Path], region: Box, prompts: Sequence[PromptSet] = ()
    ) -> None:
        """Write what is not written yet: a zarr is the store itself.

        Parameters
        ----------
        outputs : sequence of Path
            TIFF files get the plane, PNG files a picture.
        region : Box
            The part of the plane that a picture shows.
        prompts : sequence of PromptSet
            Drawn on pictures; plane coordinates.
        """
        for path in outputs:
            try:
                self._write_one(path, region, prompts)
            except OSError as error:
                reason = error.strerror or str(error)
                raise StoreError(
                    f"the result cannot be written: {reason}", where=str(path)
                ) from error

    def _write_one(self, path: Path, region: Box, prompts: Sequence[PromptSet]) -> None:
        if path.suffix.lower() == PICTURE:
            write_picture(self, path, region, prompts)
        elif path.suffix.lower() != ZARR:
            write_tiff(self, path)


def write_tiff(result: Result, path: Path) -> None:
    """Write the plane as a label TIFF."""
    import tifffile

    plane = Box.of_shape(result.source.plane_shape(result.address))
    if plane.area > LARGEST_TIFF:
        raise StoreError(
            f"a plane of {plane.height} x {plane.width} is too large for one TIFF",
            where=str(path),
            todo="Write .zarr",
        )
    labels = result.store.read(result.address, plane)
    tifffile.imwrite(
        path, labels, compression="zlib", metadata={"axes": "YX", "ditto": dict(result.facts)}
    )


def write_picture(result: Result, path: Path, region: Box, prompts: Sequence[PromptSet]) -> None:
    """Write the outlines of the labels over the image; large regions are made smaller."""
    from napari_ditto.cli import pictures

    image, labels, frame = view(result, region)
    pixels = pictures.overlay(image, labels)
    marked = pictures.mark(pixels, [p.to_frame(frame) for p in prompts])
    pictures.save(path, marked, json.dumps(result.facts, default=str))


def view(result: Result, region: Box) -> tuple[NDArray[np.float32], NDArray[np.integer], Frame]:
    """Return image and labels of a region at the finest level that fits a picture."""
    source, address = result.source, result.address
    factors = [source.factor(address, level) for level in range(source.levels)]
    fits = (
        n
        for n, (fy, fx) in enumerate(factors)
        if max(region.height / fy, region.width / fx) <= LARGEST_PICTURE
    )
    level = next(fits, source.levels - 1)
    fy, fx = factors[level]
    plane = Box.of_shape(source.plane_shape(address, level))
    window = region.scale(1 / fy, 1 / fx).intersect(plane)
    rows = nearest(window.y0, window.y1, fy, region.y0, region.height)
    columns = nearest(window.x0, window.x1, fx, region.x0, region.width)
    labels = thinned(result.store, address, region, rows, columns)
    frame = Frame(factors[level], (window.y0, window.x0))
    return source.read(address, window, level), labels, frame


def thinned(
    store: LabelStore,
    address: PlaneAddress,
    region: Box,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.integer]:
    """Return some rows and columns of a region, never more than a band of it in memory."""
    found = np.zeros((rows.size, columns.size), dtype=store.dtype)
    for top in range(0, region.height, BAND):
        y0 = region.y0 + top
        band = Box(y0, region.x0, min(y0 + BAND, region.y1), region.x1)
        inside = (rows >= top) & (rows < top + BAND)
        if inside.any():
            found[inside] = store.read(address, band)[np.ix_(rows[inside] - top, columns)]
    return found


def nearest(start: int, stop: int, factor: float, origin: int, size: int) -> NDArray[np.intp]:
    """Return, for pixels of a level, the nearest ones in a level-0 window along one axis."""
    centres = (np.arange(start, stop) + 0.5) * factor - origin
    return np.clip(centres.astype(np.intp), 0, size - 1)
