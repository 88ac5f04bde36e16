"""PNG: one plane of ids in 8 or 16 bits, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.errors import StoreError

MOST = int(np.iinfo(np.uint16).max)
LARGEST = 89_000_000
"""Pixels; readers based on Pillow refuse more."""


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write one plane; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    from PIL import Image

    if labels.plane_count != 1:
        raise StoreError(
            f"a PNG holds one plane, these labels have {labels.plane_count}",
            where=labels.name,
            todo="Choose a plane, or write TIFF",
        )
    height, width = labels.plane_shape
    if height * width > LARGEST:
        raise StoreError(
            f"a PNG of {height} x {width} pixels is more than most programs open",
            where=labels.name,
            todo="Write TIFF or OME-Zarr",
        )
    yield Progress("write", 0, 2, "reading the labels")
    plane = labels.read(next(labels.planes), Box.of_shape((height, width)))
    highest = int(plane.max(initial=0))
    if highest > MOST:
        raise StoreError(
            f"id {highest} does not fit a PNG, whose ids end at {MOST}",
            where=labels.name,
            todo="Renumber the objects, or write TIFF or OME-Zarr",
        )
    yield Progress("write", 1, 2, "writing the picture")
    dtype = np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16
    with path.open("wb") as file:
        Image.fromarray(plane.astype(dtype)).save(file, format="PNG")
