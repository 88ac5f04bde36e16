"""Going from image to image, in the background: labels are saved, the next image is opened."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.progress import Progress
from napari_ditto.data.arrays import wrap
from napari_ditto.data.checked import Facts, Misfit
from napari_ditto.data.export import write_ome_zarr_labels
from napari_ditto.data.image_file import ImageFile, open_image_file
from napari_ditto.data.labels import PLANE_LIMIT, ArrayLabels
from napari_ditto.data.object_json import from_json, read_objects, write_objects
from napari_ditto.data.object_records import ObjectTable
from napari_ditto.data.opening import open_path
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.series import LABELS
from napari_ditto.data.session_layers import SessionImage, SessionLabels
from napari_ditto.data.session_pixels import fingerprint, read_labels
from napari_ditto.errors import DittoError, LabelsError, StoreError
from napari_ditto.ui.project.stage import Levels


@dataclass(frozen=True, eq=False)
class Leaving:
    """An image that is left, and what is on it.

    Attributes
    ----------
    image : SessionImage
        The image.
    levels : tuple of array
        Its pixels.
    labels : tuple of (SessionLabels, LabelStore, ObjectTable)
        The target first.
    path : Path or None
        Where the labels of the target go; None for nowhere.
    scale : tuple of float
        Pixel size along the axes of the labels.
    """

    image: SessionImage
    levels: Levels
    labels: tuple[tuple[SessionLabels, LabelStore, ObjectTable], ...]
    path: Path | None

    @property
    def has_labels(self) -> bool:
        """Whether there is any label to be saved."""
        return bool(self.labels)


@dataclass(frozen=True, eq=False)
class Arrived:
    """The next image, and what was on it when it was left.

    Attributes
    ----------
    file : ImageFile
        The image.
    image : str
        The key it had then, ``""`` if it was not shown before.
    labels : tuple of (SessionLabels, LabelStore, ObjectTable)
        What was saved.
    notes : tuple of str
        What could not be read.
    """

    file: ImageFile
    image: str = ""
    labels: tuple[tuple[SessionLabels, LabelStore, ObjectTable], ...] = ()
    notes: tuple[str, ...] = ()


def leave_steps(leaving: Leaving) -> Generator[Progress, None, Mapping[str, Any]]:
    """Write the labels of an image beside it; return what is remembered of it.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    if leaving.path is None:
        return {}
    kept = []
    for number, (entry, store, table) in enumerate(leaving.labels):
        target = _numbered(leaving.path, number)
        yield Progress("write", text=f"saving {target.name}")
        path = _write(target, entry, store, table)
        kept.append(replace(entry, path=str(path), file=""))
    yield Progress("read", text=f"reading {leaving.image.name}")
    known = replace(leaving.image, fingerprint=fingerprint(leaving.levels, leaving.image.name))
    return {"image": known.to_json(), "labels": [entry.to_json() for entry in kept]}


def _numbered(path: Path, number: int) -> Path:
    """Return where further labels of an image go."""
    stem = path.name.removesuffix(LABELS)
    return path.with_name(f"{stem}-{number + 1}{LABELS}") if number else path


def _write(target: Path, entry: SessionLabels, store: LabelStore, table: ObjectTable) -> Path:
    own: Path | None = getattr(store, "path", None)
    if own is not None and not getattr(store, "is_temporary", False):
        store.flush()  # type: ignore[attr-defined]  # a pyramid, which is on disk already
        return own
    if own is not None:
        store.flush()  # type: ignore[attr-defined]
    if not target.parent.is_dir():
        raise StoreError("there is no such folder", where=str(target.parent), todo="Make it first")
    scale = entry.place.get("scale")
    write_ome_zarr_labels(
        target, store.data, entry.axes, scale if _is_scale(scale, entry) else None,
        dict(entry.provenance), overwrite=True,
    )  # fmt: skip
    if table.records or table.classes:
        write_objects(target, table)
    return target


def _is_scale(scale: object, entry: SessionLabels) -> bool:
    return isinstance(scale, list) and len(scale) == len(entry.shape) and min(scale) > 0


def arrive_steps(
    path: Path, labels: Path | None, parked: Mapping[str, Any]
) -> Generator[Progress, None, Arrived]:
    """Open an image, and the labels that were saved of it.

    Parameters
    ----------
    path : Path
        The image.
    labels : Path or None
        Where labels lie that an earlier session has saved.
    parked : mapping
        What :func:`leave_steps` has returned.

    Raises
    ------
    SourceError
        If the image cannot be read.
    """
    yield Progress("read", text=f"opening {path.name}")
    file = open_image_file(path)
    found, notes = [], []
    for entry in _entries(parked) or _on_disk(labels, file):
        yield Progress("read", text=f"reading {entry.name}")
        try:
            found.append((entry, _read(entry), _table(entry)))
        except DittoError as error:
            notes.append(str(error))
    return Arrived(file, _image_key(parked), tuple(found), tuple(notes))


def _entries(parked: Mapping[str, Any]) -> Sequence[SessionLabels]:
    try:
        return [SessionLabels.from_json(row) for row in Facts(dict(parked)).rows("labels", 100)]
    except Misfit:
        return ()


def _image_key(parked: Mapping[str, Any]) -> str:
    image = parked.get("image")
    return str(image.get("key", "")) if isinstance(image, dict) else ""


def _on_disk(path: Path | None, file: ImageFile) -> Sequence[SessionLabels]:
    """Return labels of an earlier session, or of another program, that fit the image."""
    if path is None or not path.exists():
        return ()
    level: Any = open_path(path).levels[0]
    shape = tuple(int(n) for n in level.shape)
    if shape != file.levels[0].shape[: len(file.axes)]:
        return ()
    name, dtype = f"Ditto labels [{file.name}]", np.dtype(level.dtype).name
    return [SessionLabels("", name, path=str(path), axes=file.axes, shape=shape, dtype=dtype)]


def _read(entry: SessionLabels) -> LabelStore:
    """Return labels in memory if they are small, so that napari's brush works on them."""
    where = Path(entry.path)
    if math.prod(entry.shape) > PLANE_LIMIT:
        return read_labels(where, entry)
    array = wrap(open_path(where).levels[0], str(where))
    if array.shape != entry.shape:
        raise LabelsError("the labels do not fit the image any more", where=str(where))
    found = array.read(tuple(slice(0, n) for n in array.shape))
    return ArrayLabels(np.array(found, entry.dtype), entry.axes)


def _table(entry: SessionLabels) -> ObjectTable:
    if entry.objects:
        return from_json(dict(entry.objects), entry.name)
    return read_objects(Path(entry.path)) or ObjectTable()
