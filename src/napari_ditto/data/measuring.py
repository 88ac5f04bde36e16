"""Measurements of the objects of a label image, in physical units, each on its own box."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.data.arrays import Index
from napari_ditto.data.measured import Channel, Subject, open_channels, open_subject
from napari_ditto.data.object_extents import FRAME_AXES, Extents, scan
from napari_ditto.data.object_records import ObjectTable

Columns = dict[str, NDArray[Any]]
Steps = Generator[Progress, None, "MeasurementTable"]

MAX_SHAPE = 1 << 24
"""Most pixels of an object's box for which its shape is described."""

SHAPES = {
    "perimeter": "perimeter",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "eccentricity": "eccentricity",
    "orientation": "orientation",
    "solidity": "solidity",
}
"""What is told of the shape of flat objects, and what scikit-image calls it."""

_LENGTHS = ("equivalent_diameter", "perimeter", "major_axis", "minor_axis")


@dataclass(frozen=True, eq=False)
class MeasurementTable:
    """Columns of one length.

    Attributes
    ----------
    columns : mapping of str to ndarray
        ``label`` first; NaN where something cannot be measured.
    units : mapping of str to str
        Of the columns that have one, ``"µm²"``.
    """

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["label"])

    def with_records(self, table: ObjectTable) -> MeasurementTable:
        """Return the table with what is known of each object: class, score, model, origin."""
        records = [table.record(label) for label in self.columns["label"].tolist()]
        names = {c.id: c.name for c in table.classes}
        scores = [math.nan if r.score is None else r.score for r in records]
        known = {
            "class": np.array([names.get(r.class_id, "") for r in records], dtype=str),
            "score": np.array(scores, dtype=np.float64),
            "model": np.array([r.model_name for r in records], dtype=str),
            "prompts": np.array([r.prompts for r in records], dtype=str),
            "by_hand": np.array([r.by_hand for r in records], dtype=bool),
            "note": np.array([r.note for r in records], dtype=str),
        }
        return replace(self, columns={**self.columns, **known})


def measure(
    labels: object,
    image: object = None,
    *,
    axes: str | Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    units: Sequence[object] | None = None,
    per: Literal["object", "plane"] = "object",
    shapes: bool = True,
) -> MeasurementTable:
    """Measure all objects of a label image.

    Parameters
    ----------
    labels : array, path or LabelStore
        Ids, numpy, dask or zarr, or an OME-Zarr or TIFF; read block by block.
    image : array, path or Source, optional
        What the labels are of: the same axes, and channels. Mean intensities are measured in it,
        in raw values.
    axes : str or sequence of str, optional
        Of the labels, ``"tzyx"``; by default from the file, else ``..., t, z, y, x``.
    scale : sequence of float, optional
        Size of a pixel along `axes`; by default from the file, else 1.
    units : sequence of str, optional
        What `scale` counts, along `axes`; by default from the file, else pixels.
    per : "object" or "plane"
        One row for each object and time point, with its volume where it can reach over planes;
        or one for each plane that it is on, with its area.
    shapes : bool
        Whether to describe the shape of flat objects too, which takes longest.

    Returns
    -------
    MeasurementTable
        ``label``, the frame (``t``) or plane (``z``) where there are several, ``pixels``,
        ``area`` or ``volume``, ``equivalent_diameter``, ``bbox_<axis>_min`` and ``_max``
        (pixels, half-open), ``centroid_<axis>`` (in units, from the centre of the first pixel),
        ``mean_intensity`` (for each channel with its number). For flat objects also
        ``perimeter``, ``major_axis``, ``minor_axis``, ``eccentricity``, ``orientation``
        (radians, against the rows) and ``solidity``, as scikit-image defines them; NaN for an
        object whose box has more than 16 Mpx, and the perimeter for pixels that are not square.

    Raises
    ------
    LabelsError
        If `labels` are none, or the image does not fit them.
    SourceError
        If something cannot be read.
    """
    with open_subject(labels, axes, scale, units) as subject:
        return drain(measure_steps(subject, image, per=per, shapes=shapes))


def measure_steps(
    subject: Subject,
    image: object = None,
    *,
    per: Literal["object", "plane"] = "object",
    shapes: bool = True,
) -> Steps:
    """Return what :func:`measure` returns, step by step; each reads one block or one object."""
    frame_axes = set(FRAME_AXES) | (set(subject.axes[:-2]) if per == "plane" else set())
    found = yield from scan(subject.labels, subject.axes, frame_axes)
    is_flat = all(
        n == 1
        for name, n in zip(subject.axes[:-2], subject.labels.shape, strict=False)
        if name not in frame_axes
    )
    columns, units = extent_columns(found, subject)
    with ExitStack() as stack:
        channels = stack.enter_context(open_channels(image, subject))
        wanted = SHAPES if shapes and is_flat else {}
        if wanted or channels:
            columns |= yield from _details(found, subject, channels, wanted)
    units |= {name: subject.units[-1] for name in _LENGTHS if name in columns}
    return MeasurementTable(columns, units)


def extent_columns(found: Extents, subject: Subject) -> tuple[Columns, dict[str, str]]:
    """Return what follows from the extents of objects alone, and the units of it."""
    space = [i for i, name in enumerate(found.axes) if name not in found.frame_axes]
    is_flat = all(subject.labels.shape[i] == 1 for i in space[:-2])
    size, unit = pixel_size(subject, space[-2:] if is_flat else space)
    kind, power = ("area", 2) if is_flat else ("volume", 3)
    sizes = found.counts * size
    sphere = 4 / math.pi if is_flat else 6 / math.pi
    columns: Columns = {"label": found.ids}
    columns |= {
        name: found.frames[:, i]
        for i, name in enumerate(found.frame_axes)
        if subject.labels.shape[found.axes.index(name)] > 1
    }
    columns |= {"pixels": found.counts, kind: sizes}
    columns["equivalent_diameter"] = (sphere * sizes) ** (1 / power)
    units = {kind: unit}
    for i in space if not is_flat else space[-2:]:
        name = found.axes[i]
        columns[f"bbox_{name}_min"], columns[f"bbox_{name}_max"] = found.low[:, i], found.high[:, i]
        columns[f"centroid_{name}"] = found.centroids[:, i] * subject.scale[i]
        units |= {f"bbox_{name}_min": "px", f"bbox_{name}_max": "px"}
        units[f"centroid_{name}"] = subject.units[i]
    return columns, units


def pixel_size(subject: Subject, axes: Sequence[int]) -> tuple[float, str]:
    """Return the area or volume of a pixel along some axes, and the unit of it."""
    units = [subject.units[i] for i in axes]
    power = {1: "", 2: "²", 3: "³"}.get(len(units), f"^{len(units)}")
    unit = f"{units[0]}{power}" if len(set(units)) == 1 else "·".join(units)
    return math.prod(subject.scale[i] for i in axes), unit


def _details(
    found: Extents, subject: Subject, channels: Sequence[Channel], shapes: Mapping[str, str]
) -> Generator[Progress, None, Columns]:
    """Return what needs the pixels of each object: its shape, its intensities."""
    means = (
        ["mean_intensity"]
        if len(channels) == 1
        else [f"mean_intensity_{number}" for number in range(len(channels))]
    )
    count = found.ids.size
    columns = {name: np.full(count, np.nan) for name in (*shapes, *means)}
    for row in range(count):
        yield Progress("read", row, count, f"measuring object {row + 1:,} of {count:,}")
        box, label = found.index(row), int(found.ids[row])
        totals = np.zeros(len(channels))
        pieces = list(_pieces(box))
        for piece in pieces:
            mask = subject.labels.read(piece) == label
            for number, channel in enumerate(channels):
                totals[number] += channel.read(subject.axes, piece)[mask].sum(dtype=np.float64)
        for name, total in zip(means, totals, strict=True):
            columns[name][row] = total / found.counts[row]
        if shapes and len(pieces) == 1:
            flat = mask.reshape(mask.shape[-2:])
            for name, value in _shape(flat, subject.scale[-2:], shapes).items():
                columns[name][row] = value
    return columns


def _pieces(box: Index) -> Iterator[Index]:
    """Yield parts of a box that are small enough to be held in memory."""
    longest = max(range(len(box)), key=lambda i: box[i].stop - box[i].start)
    start, stop = box[longest].start, box[longest].stop
    if math.prod(s.stop - s.start for s in box) <= MAX_SHAPE:
        yield box
        return
    middle = (start + stop) // 2
    for half in (slice(start, middle), slice(middle, stop)):
        yield from _pieces((*box[:longest], half, *box[longest + 1 :]))


def _shape(
    mask: NDArray[np.bool_], scale: Sequence[float], shapes: Mapping[str, str]
) -> dict[str, float]:
    from skimage.measure import regionprops

    regions: Any = regionprops
    (found,) = regions(mask.astype(np.uint8), spacing=tuple(scale))
    return {
        name: float(getattr(found, theirs))
        for name, theirs in shapes.items()
        if name != "perimeter" or scale[0] == scale[1]
    }
