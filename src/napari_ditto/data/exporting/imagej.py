"""ROIs for ImageJ's manager: a zip of one ``.roi`` file for each object and plane.

A piece without holes is a traced polygon of whole pixel corners; anything else is a composite. Its
places in a stack are counted from 1, as ImageJ does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.core.outlines import Outline
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.features import class_of, found_objects, outlines_of
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import Index, LabelImage
from napari_ditto.data.zip_members import new_zip
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    from roifile import ImagejRoi

LARGEST = 32767
"""Coordinates are 16-bit numbers with a sign."""

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write a zip of ROIs; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    if max(labels.plane_shape) > LARGEST:
        raise StoreError(
            f"ImageJ's ROIs reach to pixel {LARGEST:,}, the image is larger",
            where=labels.name,
            todo="Write .geojson, or a part of the image",
        )
    with new_zip(path) as add_member:
        for found in found_objects(labels):
            item = found.object
            outlines = outlines_of(item, options.simplify)
            roi = _roi(outlines)
            kind = class_of(labels, item.label)
            roi.name = _name(item.label, kind.name if kind else "", item.index)
            if kind is not None:
                roi.stroke_color = bytes([255, *bytes.fromhex(kind.color[1:])])
            _place(roi, labels, item.index)
            if labels.table.record(item.label).score is not None:
                roi.props = f"score: {labels.table.record(item.label).score:.4f}\n"
            add_member(f"{roi.name.replace('/', '_')}.roi", roi.tobytes())
            yield found.progress


def _name(label: int, kind: str, index: Index) -> str:
    """Return a name that is unique, and from which the label is read back."""
    places = "".join(f" {axis}{i}" for axis, i in index)
    return f"{label:06d}{places}{' ' + kind if kind else ''}"


def _place(roi: ImagejRoi, labels: LabelImage, index: Index) -> None:
    at = dict(index)
    if len(index) == 1:
        roi.position = index[0][1] + 1
    roi.z_position = at["z"] + 1 if "z" in at else 0
    roi.t_position = at["t"] + 1 if "t" in at else 0
    roi.c_position = 1 if len(index) > 1 else 0


def _roi(outlines: Sequence[Outline]) -> ImagejRoi:
    from roifile import ROI_TYPE, ImagejRoi

    if len(outlines) == 1 and not outlines[0].holes:
        roi = ImagejRoi.frompoints(outlines[0].shell[:, ::-1].astype(np.int32), name="x")
        roi.roitype = ROI_TYPE.TRACED
        return roi
    rings = [ring[:, ::-1] for outline in outlines for ring in outline.rings]
    points = np.concatenate(rings).astype(int)
    roi = ImagejRoi(roitype=ROI_TYPE.RECT)
    (roi.left, roi.top), (roi.right, roi.bottom) = points.min(axis=0), points.max(axis=0)
    path = [np.append(_steps(ring), _CLOSE) for ring in rings]
    roi.multi_coordinates = np.concatenate(path).astype(np.float32)
    roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _steps(
    ring: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a ring as a path: where to begin, then lines."""
    kinds = np.full((len(ring), 1), _LINE)
    kinds[0] = _MOVE
    return np.concatenate([kinds, ring], axis=1).ravel()
