"""Objects from ImageJ's ROIs, one ``.roi`` file or a zip of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.core.plain_file import read_plain
from napari_ditto.data.importing.foreign import Foreign, Part, Shape, ring_of, score_from
from napari_ditto.data.zip_members import LARGEST_MEMBER, read_members
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    from roifile import ImagejRoi

_OURS = re.compile(r"(?P<label>\d{6,19})(?P<places>(?: [a-z]\d+)*)(?: (?P<kind>.+))?", re.DOTALL)
_ROI = ".roi"


def read(path: Path) -> Foreign:
    """Return the areas of a file; lines, points and text are left out.

    Raises
    ------
    SourceError
        If it holds no ROIs.
    """
    if path.suffix.lower() == _ROI:
        try:
            members = [(path.name, read_plain(path, LARGEST_MEMBER))]
        except OSError as error:
            raise SourceError(f"cannot open the file: {error.strerror}", where=str(path)) from error
    else:
        members = list(read_members(path, _ROI))
    rois = [(name, _decode(content, f"{path}, {name!r:.60}")) for name, content in members]
    areas = [(name, roi, parts) for name, roi in rois if (parts := _parts(roi))]
    left = len(rois) - len(areas)
    notes = (f"{left} ROIs that are no areas were left out",) if left else ()
    return Foreign([_shape(*area) for area in areas], notes=notes)


def _decode(content: bytes, where: str) -> ImagejRoi:
    from roifile import ImagejRoi

    try:
        return ImagejRoi.frombytes(content)
    except Exception as error:  # the reader raises what it likes for a damaged ROI
        raise SourceError("this is no ROI of ImageJ", where=where) from error


def _parts(roi: ImagejRoi) -> tuple[Part, ...]:
    """Return an area's polygons; all rings of a composite count as one, odd ones are inside."""
    from roifile import ROI_TYPE

    areas = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL)
    if roi.roitype not in areas:
        return ()
    try:
        rings = roi.coordinates(multi=True)
        part = tuple(ring_of(np.asarray(ring).tolist()) for ring in rings if len(ring) > 2)
    except (ValueError, RuntimeError, NotImplementedError, IndexError) as error:
        raise SourceError("a ROI cannot be read", where=repr(roi.name)[:60]) from error
    return (part,) if part else ()


def _shape(name: str, roi: ImagejRoi, parts: tuple[Part, ...]) -> Shape:
    told = _OURS.fullmatch(roi.name or name.removesuffix(_ROI))
    places = {"t": roi.t_position, "z": roi.z_position}
    index = tuple((axis, at - 1) for axis, at in places.items() if at > 0)
    if not index and roi.position > 0:
        index = (("z", roi.position - 1),)
    return Shape(
        parts,
        label=int(told["label"]) or None if told else None,
        kind=(told["kind"] or "") if told else "",
        score=_score(roi),
        index=index,
    )


def _score(roi: ImagejRoi) -> float | None:
    found = re.search(r"^score: ([\d.]+)$", roi.props or "", re.MULTILINE)
    try:
        return score_from(float(found[1])) if found else None
    except ValueError:
        return None
