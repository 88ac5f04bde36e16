"""Tables of objects as JSON, and beside OME-Zarr labels on disk; what is read is not trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.data.object_records import (
    MAX_CLASSES,
    MAX_OBJECTS,
    MAX_TEXT,
    NO_CLASS,
    ObjectClass,
    ObjectRecord,
    ObjectTable,
    check_classes,
)
from napari_ditto.data.zarr_attributes import read_attributes, replace_text
from napari_ditto.data.zarr_rules import MAX_METADATA
from napari_ditto.errors import LabelsError, StoreError

FORMAT = "napari-ditto objects"
VERSION = 1

GROUP = "ditto-objects"
"""Group inside a label image group whose attributes hold the table; OME-Zarr readers skip it."""

T = TypeVar("T")

_MAX_MODELS = 1000
_MAX_AXES = 32
_HIGHEST = 2**63 - 1


def to_json(table: ObjectTable) -> dict[str, Any]:
    """Return a table as JSON types; what an object has none of is left out."""
    planes = list(dict.fromkeys(r.plane for r in table.records.values() if r.plane))
    models = list(dict.fromkeys(r.model for r in table.records.values() if r.model))
    at = {plane: index for index, plane in enumerate(planes)}
    made = {model: index for index, model in enumerate(models)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "classes": [{"id": c.id, "name": c.name, "color": c.color} for c in table.classes],
        "models": [{**table.models.get(model, {}), "key": model} for model in models],
        "planes": [{"rows": p.rows, "columns": p.columns, "fixed": p.index} for p in planes],
        "objects": [_row(record, at, made) for record in table.records.values()],
    }


def _row(
    record: ObjectRecord, planes: Mapping[PlaneAddress, int], models: Mapping[str, int]
) -> dict[str, object]:
    row = {
        "id": record.id,
        "class": record.class_id if record.class_id != NO_CLASS else None,
        "score": record.score,
        "model": models.get(record.model),
        "prompts": record.prompts or None,
        "plane": planes[record.plane] if record.plane else None,
        "by_hand": True if record.by_hand else None,
        "note": record.note or None,
    }
    return {name: value for name, value in row.items() if value is not None}


def from_json(content: object, where: str = "") -> ObjectTable:
    """Return the table that JSON of someone else's holds.

    Parameters
    ----------
    content : object
        As :func:`to_json` returns it.
    where : str
        The file, for the message.

    Raises
    ------
    LabelsError
        One line on the first thing that is wrong.
    """
    try:
        return _read(_mapping(content))
    except (ValueError, LabelsError) as error:
        what = error.what if isinstance(error, LabelsError) else error
        raise LabelsError(f"the table of objects cannot be read: {what}", where=where) from error


def _read(content: Mapping[str, Any]) -> ObjectTable:
    if content.get("format") != FORMAT:
        raise ValueError("it is none of ours")
    if content.get("version") != VERSION:
        raise ValueError(f"it is of version {content.get('version')!r:.20}, not {VERSION}")
    classes = tuple(_read_class(row) for row in _rows(content, "classes", MAX_CLASSES))
    check_classes(classes)
    models = {_text(row, "key"): _facts(row) for row in _rows(content, "models", _MAX_MODELS)}
    told = {model: facts for model, facts in models.items() if facts}
    planes = [_read_plane(row) for row in _rows(content, "planes", MAX_OBJECTS)]
    records: dict[int, ObjectRecord] = {}
    for row in _rows(content, "objects", MAX_OBJECTS):
        record = _read_record(row, list(models), planes)
        if record.id in records:
            raise ValueError(f"two objects have the id {record.id}")
        records[record.id] = record
    unknown = {r.class_id for r in records.values()} - {NO_CLASS} - {c.id for c in classes}
    if unknown:
        raise ValueError(f"there is no class {min(unknown)}")
    return ObjectTable(records, classes, told)


def _read_class(row: Mapping[str, Any]) -> ObjectClass:
    return ObjectClass(_whole(row, "id", 1), _text(row, "name"), _text(row, "color").lower())


def _read_plane(row: Mapping[str, Any]) -> PlaneAddress:
    fixed = row.get("fixed", {})
    if not isinstance(fixed, dict) or len(fixed) > _MAX_AXES:
        raise ValueError("a plane has no list of axes")
    index = tuple((_checked(name), _whole(fixed, name, 0)) for name in fixed)
    return PlaneAddress(_text(row, "rows"), _text(row, "columns"), index)


def _read_record(
    row: Mapping[str, Any], models: Sequence[str], planes: Sequence[PlaneAddress]
) -> ObjectRecord:
    label = _whole(row, "id", 1)
    score = row.get("score")
    if score is not None and not (type(score) in (int, float) and math.isfinite(score)):
        raise ValueError(f"the score of object {label} is no number")
    return ObjectRecord(
        label,
        _whole(row, "class", NO_CLASS) if "class" in row else NO_CLASS,
        None if score is None else float(score),
        _member(row, "model", models, ""),
        _text(row, "prompts", ""),
        _member(row, "plane", planes, None),
        row.get("by_hand") is True,
        _text(row, "note", ""),
    )


def _facts(row: Mapping[str, Any]) -> dict[str, str]:
    return {_checked(name): _text(row, name) for name in row if name != "key"}


def _mapping(found: object) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{found!r:.40} stands where an entry should be")
    return found


def _rows(content: Mapping[str, Any], name: str, most: int) -> Iterator[Mapping[str, Any]]:
    found = content.get(name)
    if not isinstance(found, list) or len(found) > most:
        raise ValueError(f"there is no list of at most {most:,} {name}")
    return map(_mapping, found)


def _whole(row: Mapping[str, Any], name: str, least: int) -> int:
    value = row.get(name)
    if type(value) is not int or not least <= value <= _HIGHEST:
        raise ValueError(f"{value!r:.40} is no {name}")
    return value


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    return _checked(row.get(name, default))


def _checked(text: object) -> str:
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise ValueError(f"{text!r:.40} is no text of at most {MAX_TEXT} characters")
    return text


def _member(row: Mapping[str, Any], name: str, among: Sequence[T], default: T) -> T:
    if name not in row:
        return default
    index = _whole(row, name, 0)
    if index >= len(among):
        raise ValueError(f"there is no {name} {index}")
    return among[index]


# --- beside labels on disk -------------------------------------------------------------------


def write_objects(labels: Path, table: ObjectTable) -> None:
    """Keep a table inside the OME-Zarr group of its labels; a reader sees the old or the new one.

    Raises
    ------
    StoreError
        If the disk refuses, or the table is too large.
    """
    text = _as_text(table)
    if len(text) > MAX_METADATA // 2:
        raise StoreError(
            f"{len(table.records):,} objects are too many to be kept beside the labels",
            where=str(labels),
            todo="Export the table instead",
        )
    group = labels / GROUP
    try:
        group.mkdir(exist_ok=True)
        if (labels / "zarr.json").is_file():
            head = '{"zarr_format": 3, "node_type": "group", "attributes": '
            replace_text(group / "zarr.json", f"{head}{text}}}\n")
        else:
            replace_text(group / ".zattrs", text)
            replace_text(group / ".zgroup", '{"zarr_format": 2}\n')
    except OSError as error:
        raise StoreError(
            f"the table of objects cannot be written: {error.strerror or error}",
            where=str(labels),
            todo="Free some space; the labels themselves are safe",
        ) from error


def _as_text(table: ObjectTable) -> str:
    """Return the attributes, one object a line; no step is long, so that other threads go on."""
    content = to_json(table)
    rows = ",\n".join(json.dumps(row) for row in content.pop("objects"))
    return f'{{"objects": {json.dumps(content)[:-1]}, "objects": [\n{rows}\n]}}}}'


def read_objects(labels: Path) -> ObjectTable | None:
    """Return the table kept with labels on disk, None if there is none.

    Raises
    ------
    LabelsError
        If it is damaged.
    """
    try:
        attributes = read_attributes(labels / GROUP)
    except RecursionError as error:
        raise LabelsError("the table of objects is damaged", where=str(labels / GROUP)) from error
    if attributes is None or "objects" not in attributes:
        return None
    return from_json(attributes["objects"], str(labels / GROUP))
