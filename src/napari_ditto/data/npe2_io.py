"""What napari calls for File > Save and drag-and-drop: layers as tuples of data and arguments.

Nothing of napari is imported: its contract is (path, layers) for writers, and a function that
returns layers, or None for a file that is not ours to read, for readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.plain_file import open_plain
from napari_ditto.core.prompts import PointPrompt
from napari_ditto.data.axes import default_names
from napari_ditto.data.exporting.label_image import LabelImage, label_image
from napari_ditto.data.grid import UNITS, unit_name
from napari_ditto.data.object_records import ObjectTable
from napari_ditto.data.zarr_attributes import read_attributes
from napari_ditto.errors import LabelsError, SourceError

LayerData = tuple[Any, dict[str, Any], str]
Read = Callable[[Any], list[LayerData]]

TABLE = "napari-ditto"
"""Key in a layer's metadata of the table of its objects."""

SIGN, POSITIVE, NEGATIVE = "ditto", "positive", "negative"
"""Column of a Points layer that tells what a click means, and its words."""

_HEAD = 1 << 16
_COCO = (b'"annotations"', b'"categories"', b'"segmentation"')
_GEOJSON = (b'"FeatureCollection"', b'"Feature"', b'"Polygon"', b'"MultiPolygon"', b'"Point"')
_SQLITE = b"SQLite format 3\0"
_SPELT_OUT = {"c": "channel", "s": "series"}


# --- writing -------------------------------------------------------------------------------------


def write(path: str, layers: list[LayerData]) -> list[str]:
    """Write Labels layers to one file, whose suffix tells the format; an older one is replaced.

    napari has asked before it replaces a file. An Image layer among them gives the name of the
    image, and the pixels that are measured.

    Raises
    ------
    DittoError
        As :func:`~napari_ditto.data.export.export` does.
    """
    from napari_ditto.data.export import export

    images = [(data, about) for data, about, kind in layers if kind == "image"]
    labels = [labels_of(data, about) for data, about, kind in layers if kind == "labels"]
    if not labels:
        raise LabelsError("there is no Labels layer among these", where=path)
    whole = united(labels) if len(labels) > 1 else labels[0]
    if images:
        pixels, about = images[0]
        first = pixels[0] if about.get("multiscale") else pixels
        fits = tuple(getattr(first, "shape", ())) == whole.shape
        name = str(about.get("name", ""))
        whole = replace(whole, image=name, pixels=first if fits else None)
    return [str(export(whole, path, overwrite=True))]


def labels_of(data: Any, about: Mapping[str, Any]) -> LabelImage:  # noqa: ANN401
    """Return a Labels layer, as napari hands it over, ready to be exported."""
    levels = list(data) if about.get("multiscale") else [data]
    ndim = len(levels[0].shape)
    table = (about.get("metadata") or {}).get(TABLE)
    units = [unit_name(unit) for unit in about.get("units") or [""] * ndim]
    return label_image(
        levels[0],
        axes=layer_axes(about.get("axis_labels") or (), ndim),
        scale=about.get("scale"),
        translate=about.get("translate"),
        units=["" if unit == "pixel" else unit for unit in units],
        name=str(about.get("name") or "labels"),
        table=table if isinstance(table, ObjectTable) else ObjectTable(),
    )


def layer_axes(labels: Sequence[object], ndim: int) -> tuple[str, ...]:
    """Return names of a layer's axes: its own labels if they say anything, else ``tzyx``."""
    names = tuple(str(label).strip().lower() for label in labels)
    # napari's own labels are "-2", "-1", which say nothing.
    told = len(names) == ndim and len(set(names)) == ndim and all(n.isidentifier() for n in names)
    return tuple(_SPELT_OUT.get(n, n) for n in names) if told else default_names(ndim)


def united(labels: Sequence[LabelImage]) -> LabelImage:
    """Return several label images as one, where no object of one lies on one of another.

    Ids of the later ones are raised, if need be, above those before them. An object without a
    class gets its layer's name for one.

    Raises
    ------
    LabelsError
        If the images are of different sizes, or, once the pixels are read, overlap.
    """
    first = labels[0]
    if any((one.shape, one.axes) != (first.shape, first.axes) for one in labels):
        raise LabelsError("the Labels layers are of different sizes", todo="Save them one by one")
    shifts, highest = [], 0
    for one in labels:
        shifts.append(highest)
        highest += one.highest()
    table = ObjectTable()
    for one, shift in zip(labels, shifts, strict=True):
        table = _joined(table, one, shift)

    def fetch(index: tuple[slice, ...]) -> Any:  # noqa: ANN401
        whole = np.zeros(tuple(s.stop - s.start for s in index), dtype=np.int64)
        for one, shift in zip(labels, shifts, strict=True):
            block = one.raw.read(index)
            if (whole[block > 0]).any():
                raise LabelsError(
                    "objects of different layers lie over one another",
                    where=", ".join(o.name for o in labels),
                    todo="Save the layers one by one",
                )
            whole[block > 0] = block[block > 0].astype(np.int64) + shift
        return whole

    raw = replace(first.raw, dtype=np.dtype(np.int64), fetch=fetch)
    return replace(first, raw=raw, table=table)


def _joined(table: ObjectTable, one: LabelImage, shift: int) -> ObjectTable:
    names = {c.name: c.id for c in table.classes}
    wanted: list[tuple[str, str | None]] = [(c.name, c.color) for c in one.table.classes]
    wanted += [(one.name, None)] if one.name not in dict(wanted) else []
    for name, color in wanted:
        if name not in names:
            table = table.after(table.add_class(name, color))
            names[name] = table.classes[-1].id
    ids = _ids(one)
    records = []
    for label in ids:
        record = one.table.record(label)
        kind = one.table.class_of(label)
        number = names[kind.name if kind else one.name]
        records.append(replace(record, id=label + shift, class_id=number))
    return table.after(table.put(records))


def _ids(one: LabelImage) -> list[int]:
    from napari_ditto.data.exporting.objects import find_boxes

    found = [find_boxes(one, index).labels for index in one.planes]
    return [int(label) for label in np.unique(np.concatenate(found))]


# --- reading -------------------------------------------------------------------------------------


def reader_of_shapes(path: str | list[str]) -> Read | None:
    """Return what reads outlines of objects; None for files that hold anything else."""
    file = _single(path)
    return _read_shapes if file is not None and _holds_shapes(file) else None


def reader_of_labels(path: str | list[str]) -> Read | None:
    """Return what reads label images that we have written; None for any other folder."""
    folder = _single(path)
    return _read_zarr if folder is not None and _is_ours(folder) else None


def _single(path: str | list[str]) -> Path | None:
    return Path(path) if isinstance(path, str) else None


def _holds_shapes(file: Path) -> bool:
    """Whether the beginning of a file is that of outlines; never raises."""
    from napari_ditto.data.zip_members import holds_only

    suffix = file.suffix.lower()
    try:
        if suffix == ".zip":
            return holds_only(file, ".roi")
        with open_plain(file) as opened:
            head = opened.read(_HEAD)
    except (OSError, SourceError):
        return False
    if suffix == ".gpkg":
        return head.startswith(_SQLITE)
    if suffix == ".roi":
        return head.startswith(b"Iout")
    is_coco = b'"images"' in head and any(word in head for word in _COCO)
    is_geojson = b'"type"' in head and any(word in head for word in _GEOJSON)
    return head.lstrip()[:1] == b"{" and (is_coco or is_geojson)


def _is_ours(folder: Path) -> bool:
    from napari_ditto.data.ngff_labels import OURS

    try:
        return OURS in (read_attributes(folder) or {})
    except (LabelsError, OSError, RecursionError):
        return False


def _read_shapes(path: Any) -> list[LayerData]:  # noqa: ANN401
    from napari_ditto.data.importing.labels import import_labels, read_shapes

    file = Path(path)
    if file.suffix.lower() in (".geojson", ".json"):
        foreign = read_shapes(file)
        if foreign is not None and not foreign.shapes:
            return _prompts(file)
    found = import_labels(file)
    about = _about(file, found.grid.axes, found.grid.scale, found.grid.translate, found.grid.units)
    about["metadata"] = {TABLE: found.table, "notes": list(found.notes)}
    return [(found.data, about, "labels")]


def _prompts(file: Path) -> list[LayerData]:
    """Return points as a layer that Ditto takes for clicks."""
    from napari_ditto.data.importing.prompts import read_prompts

    points = [p for p in read_prompts(file) if isinstance(p, PointPrompt)]
    signs = np.array([POSITIVE if p.positive else NEGATIVE for p in points], dtype=object)
    data = np.array([(p.y, p.x) for p in points], dtype=float).reshape(-1, 2)
    return [(data, {"name": file.stem, "features": {SIGN: signs}}, "points")]


def _read_zarr(path: Any) -> list[LayerData]:  # noqa: ANN401
    from napari_ditto.data.grid import read_grid
    from napari_ditto.data.object_json import read_objects
    from napari_ditto.data.opening import open_path

    folder = Path(path)
    opened = open_path(folder)
    levels = list(opened.levels)
    axes = opened.axes or default_names(len(levels[0].shape))  # type: ignore[attr-defined]
    grid = read_grid(folder).on(axes)
    about = _about(folder, axes, grid["scale"], grid["translate"], grid["units"])
    table = read_objects(folder)
    if table is not None:
        about["metadata"] = {TABLE: table}
    about["multiscale"] = len(levels) > 1
    return [(levels if len(levels) > 1 else levels[0], about, "labels")]


def _about(
    path: Path,
    axes: Sequence[str],
    scale: Sequence[float],
    translate: Sequence[float],
    units: Sequence[str],
) -> dict[str, Any]:
    """Return the arguments of a layer; units that napari may not know count as pixels."""
    return {
        "name": path.name.partition(".")[0],
        "axis_labels": tuple(axes),
        "scale": tuple(scale),
        "translate": tuple(translate),
        "units": tuple(unit if unit in UNITS else "pixel" for unit in units),
    }
