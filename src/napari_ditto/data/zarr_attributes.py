"""The attributes of a zarr group on a local disk, read anew each time and replaced in one step.

zarr keeps attributes in memory from when the group was opened, so that two openers of one group
take back what the other one has written.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_ditto.core.plain_file import NotPlainError, read_plain
from napari_ditto.data.zarr_rules import MAX_METADATA
from napari_ditto.errors import LabelsError


def read_attributes(group: Path) -> dict[str, Any] | None:
    """Return what the attributes hold now; None if there is no zarr group.

    Raises
    ------
    LabelsError
        If the metadata is damaged.
    """
    if (group / "zarr.json").is_file():
        return _mapping(_read(group / "zarr.json").get("attributes", {}), group)
    if not (group / ".zgroup").is_file():
        return None
    return _read(group / ".zattrs") if (group / ".zattrs").is_file() else {}


def update_attributes(group: Path, new: Mapping[str, object]) -> None:
    """Set some attributes of a group; a reader sees the old ones or the new ones.

    Raises
    ------
    LabelsError
        If the metadata is damaged.
    OSError
        If the disk refuses.
    """
    attributes = {**(read_attributes(group) or {}), **new}
    if (group / "zarr.json").is_file():
        _replace(group / "zarr.json", {**_read(group / "zarr.json"), "attributes": attributes})
    else:
        _replace(group / ".zattrs", attributes)


def _read(file: Path) -> dict[str, Any]:
    try:
        raw = read_plain(file, MAX_METADATA, os.path.realpath(file.parent))
        return _mapping(json.loads(raw), file)
    except (ValueError, NotPlainError) as error:
        raise LabelsError("the zarr metadata is damaged", where=str(file)) from error


def _mapping(found: object, where: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise LabelsError("the zarr metadata is damaged", where=str(where))
    return found


def _replace(file: Path, content: Mapping[str, object]) -> None:
    replace_text(file, json.dumps(content, indent=2))


def replace_text(file: Path, text: str) -> None:
    """Put a file in place by one rename: a reader sees the old one or the new one."""
    partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
