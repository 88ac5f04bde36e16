"""OME-Zarr label images, 0.4 in zarr 2 and 0.5 in zarr 3 (ngff.openmicroscopy.org)."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.data.object_json import write_objects
from napari_ditto.data.object_records import ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError

MOST_TOLD = 20_000
"""Objects whose classes and scores are told in the metadata, which readers hold in memory."""


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write a label pyramid; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    try:
        json.dumps(dict(labels.provenance), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LabelsError(f"the provenance cannot be written as JSON: {error}") from error
    store = PyramidLabels.create(
        path,
        labels.shape,
        labels.axes,
        dtype=np.uint8 if labels.raw.dtype.kind == "b" else labels.raw.dtype,
        ngff=options.ngff,
        scale=labels.scale,
        translate=labels.translate,
        units=labels.units,
        about=_objects(labels),
        provenance=labels.provenance,
        name=labels.name,
        register=False,
    )
    *_, rows, columns = labels.axes
    per_plane = sum(1 for _ in labels.blocks)
    total, done, highest = per_plane * labels.plane_count, 0, 0
    for index in labels.planes:
        for box in labels.blocks:
            block = labels.read(index, box)
            if block.any():
                store.paint(PlaneAddress(rows, columns, index), box, block)
                highest = max(highest, int(block.max()))
            done += 1
            yield Progress("write", done, total, "writing pixels")
    store.reserve(highest)
    if labels.table != ObjectTable():
        write_objects(path, labels.table)


def _objects(labels: LabelImage) -> dict[str, Any]:
    """Return colours and properties of the objects as OME-Zarr has them, unless there are many."""
    table = labels.table
    if len(table.records) > MOST_TOLD:
        return {}
    properties: list[dict[str, Any]] = []
    colors: list[dict[str, Any]] = []
    for label, record in table.records.items():
        told: dict[str, Any] = {"label-value": label}
        if record.score is not None:
            told["score"] = record.score
        if (kind := table.class_of(label)) is not None:
            told["class"] = kind.name
            rgba = [*bytes.fromhex(kind.color[1:]), 255]
            colors.append({"label-value": label, "rgba": rgba})
        properties.append(told)
    found = {"properties": properties, "colors": colors}
    return {name: entries for name, entries in found.items() if entries}
