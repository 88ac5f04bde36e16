"""COCO instance annotations (cocodataset.org/#format-data), one image for each plane.

``iscrowd`` is 0 throughout: every annotation is one object. pycocotools tells RLE from polygons by
their type, not by that flag. Polygons of COCO have no holes, so an object with holes is kept as
RLE whatever was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.outlines import Outline
from napari_ditto.core.progress import Progress
from napari_ditto.core.run_lengths import counts_of, encode
from napari_ditto.data.exporting.features import facts, found_objects, outlines_of
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import Index, LabelImage
from napari_ditto.data.exporting.objects import PlaneObject
from napari_ditto.data.object_records import NO_CLASS

UNNAMED = "object"
"""Category of objects without a class."""


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write annotations; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    images = {index: number for number, index in enumerate(labels.planes, 1)}
    none = max((c.id for c in labels.table.classes), default=0) + 1
    with path.open("w", encoding="utf-8") as file:
        head = {"info": {"description": labels.name}, "images": list(_images(labels, images))}
        head |= {"licenses": [], "categories": _categories(labels, none)}
        file.write(f'{json.dumps(head)[:-1]}, "annotations": [')
        for number, found in enumerate(found_objects(labels), 1):
            item = found.object
            entry = {"id": number, "image_id": images[item.index]}
            entry |= _annotation(labels, item, options, none)
            file.write((",\n" if number > 1 else "\n") + json.dumps(entry, separators=(",", ":")))
            yield found.progress
        file.write("\n]}\n")


def _images(labels: LabelImage, images: dict[Index, int]) -> Iterator[dict[str, Any]]:
    height, width = labels.plane_shape
    for index, number in images.items():
        entry = {"id": number, "file_name": labels.image or labels.name}
        entry |= {"width": width, "height": height}
        yield entry | ({"plane": dict(index)} if index else {})


def _categories(labels: LabelImage, none: int) -> list[dict[str, Any]]:
    named = [(c.id, c.name) for c in labels.table.classes]
    return [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in (*named, (none, UNNAMED))
    ]


def _annotation(
    labels: LabelImage, item: PlaneObject, options: Options, none: int
) -> dict[str, Any]:
    box, known = item.box, facts(labels, item)
    kind = labels.table.record(item.label).class_id
    return {
        "category_id": none if kind == NO_CLASS else kind,
        "segmentation": _segmentation(labels, item, options),
        "area": item.area,
        "bbox": [box.x0, box.y0, box.width, box.height],
        "iscrowd": 0,
        "label": item.label,
        "score": known["score"],
    }


def _segmentation(labels: LabelImage, item: PlaneObject, options: Options) -> Any:  # noqa: ANN401
    if options.coco == "polygons":
        outlines = outlines_of(item, options.simplify)
        if not any(outline.holes for outline in outlines):
            return [_flat(outline) for outline in outlines]
    counts = counts_of(item.mask, item.box, labels.plane_shape)
    return {"size": list(labels.plane_shape), "counts": encode(counts)}


def _flat(outline: Outline) -> list[int]:
    """Return ``x0, y0, x1, y1, ...``."""
    flat: list[int] = outline.shell[:, ::-1].astype(np.int64).ravel().tolist()
    return flat
