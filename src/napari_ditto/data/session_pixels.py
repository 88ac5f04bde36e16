"""The pixels of a session: labels and small images in its folder, and what tells images apart."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.arrays import Index, RawArray, wrap
from napari_ditto.data.labels import MEMORY_LIMIT, PLANE_LIMIT, ArrayLabels
from napari_ditto.data.opening import open_path
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.session_layers import SessionImage, SessionLabels
from napari_ditto.errors import DittoError, LabelsError, SourceError, StoreError

MAX_KEPT = 1 << 28
"""Largest image in bytes that is copied into a session because it is on no disk."""

_WHOLE = 1 << 26  # bytes up to which a fingerprint is of all pixels
_PATCH, _PATCHES = 64, 3  # side of what is looked at of a larger image, and how often along an axis
_BLOCK = 1 << 24  # pixels read at once
_MAX_FILES = 1 << 20


def fingerprint(levels: Sequence[object], name: str) -> str:
    """Return what tells whether an image has the same pixels, hex.

    Type and shape of all levels, and the finest one: all of it if that is small, else patches
    spread over it. Never more than some chunks are read.

    Raises
    ------
    SourceError
        If they cannot be read.
    """
    arrays = [wrap(level, name) for level in levels]
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.newbyteorder('<').str} {array.shape}".encode())
    finest = arrays[0]
    small = math.prod(finest.shape) * finest.dtype.itemsize <= _WHOLE
    whole = tuple(slice(0, n) for n in finest.shape)
    for index in [whole] if small else _patches(finest.shape):
        state.update(_bytes(finest.read(index)))
    return state.hexdigest()


def _patches(shape: tuple[int, ...]) -> Iterator[Index]:
    """Yield places spread over the two longest axes, in the middle of the others."""
    long = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
    spans = [
        _spread(n) if axis in long else [slice(n // 2, n // 2 + 1) if n > 4 else slice(0, n)]
        for axis, n in enumerate(shape)
    ]
    yield from product(*spans)


def _spread(n: int) -> list[slice]:
    starts = np.linspace(0, max(0, n - _PATCH), _PATCHES).astype(int)
    return [slice(start, min(n, start + _PATCH)) for start in sorted(set(starts.tolist()))]


def digest_of(array: RawArray) -> str:
    """Return SHA-256 over type, shape and all values of an array, hex."""
    state = hashlib.sha256(f"{array.dtype.newbyteorder('<').str} {array.shape}".encode())
    for index in _blocks(array.shape):
        state.update(_bytes(array.read(index)))
    return state.hexdigest()


def _blocks(shape: tuple[int, ...]) -> Iterator[Index]:
    """Yield parts of an array of bounded size, in C order."""
    split = next((i for i in range(len(shape)) if math.prod(shape[i + 1 :]) <= _BLOCK), 0)
    step = max(1, _BLOCK // max(1, math.prod(shape[split + 1 :])))
    rest = tuple(slice(0, n) for n in shape[split + 1 :])
    for outer in np.ndindex(*shape[:split]):
        fixed = tuple(slice(i, i + 1) for i in outer)
        for start in range(0, shape[split], step):
            yield (*fixed, slice(start, min(start + step, shape[split])), *rest)


def _bytes(block: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(block, block.dtype.newbyteorder("<")).tobytes()


# --- labels ----------------------------------------------------------------------------------


def is_elsewhere(store: LabelStore) -> Path | None:
    """Return where labels lie that are too large to be copied, None if they are copied."""
    path: Path | None = getattr(store, "path", None)
    return None if path is None or getattr(store, "is_temporary", False) else path


def write_labels(folder: Path, store: LabelStore, axes: Sequence[str]) -> tuple[str, str]:
    """Write labels into a session folder; return the file's name and the digest of the labels.

    A file that holds these very labels is left as it is.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    path: Path | None = getattr(store, "path", None)
    if path is not None:
        return _copy_pyramid(folder, store, path)
    from napari_ditto.data.export import write_ome_zarr_labels

    array = wrap(store.data, "labels")
    digest = digest_of(array)
    target = folder / f"labels-{digest[:16]}.zarr"
    if not _holds(target, digest):
        write_ome_zarr_labels(target, store.data, axes, overwrite=True)
    return target.name, digest


def _holds(path: Path, digest: str) -> bool:
    if not path.exists():
        return False
    try:
        return digest_of(wrap(open_path(path).levels[0], str(path))) == digest
    except DittoError:
        return False


def _copy_pyramid(folder: Path, store: LabelStore, path: Path) -> tuple[str, str]:
    """Copy the files of large labels, which is quick where there is nothing."""
    store.flush()  # type: ignore[attr-defined]  # a pyramid
    target = folder / f"labels-{os.urandom(8).hex()}.zarr"
    try:
        shutil.copytree(path, target)
    except (OSError, shutil.Error) as error:
        raise StoreError(f"the labels cannot be saved: {error}", where=str(target)) from error
    return target.name, ""


def read_labels(folder: Path, entry: SessionLabels) -> LabelStore:
    """Return the labels of a session, to be edited without changing the session.

    Labels that were too large to be copied are opened where they are.

    Raises
    ------
    LabelsError
        If they are not there, damaged, or not what the session says.
    """
    try:
        return _read_labels(folder, entry)
    except (SourceError, StoreError, OSError) as error:
        what = error.what if isinstance(error, DittoError) else error
        raise LabelsError(f"labels '{entry.name}' cannot be read: {what}", where=str(folder)) from (
            error
        )


def _read_labels(folder: Path, entry: SessionLabels) -> LabelStore:
    from napari_ditto.data.pyramid_labels import PyramidLabels

    if entry.path:
        where = Path(entry.path)
        return _fitting(PyramidLabels.open(where, axes=entry.axes), entry, str(where))
    where = folder / entry.file
    nbytes = math.prod(entry.shape) * np.dtype(entry.dtype).itemsize
    if math.prod(entry.shape[-2:]) > PLANE_LIMIT or nbytes > MEMORY_LIMIT:
        labels = PyramidLabels.open(_temporary_copy(where), axes=entry.axes)
        labels.is_temporary = True
        return _fitting(labels, entry, str(where))
    array = wrap(open_path(where).levels[0], str(where))
    if array.shape != entry.shape or array.dtype != entry.dtype:
        raise LabelsError("the labels are not what the session says", where=str(where))
    found = array.read(tuple(slice(0, n) for n in array.shape))
    if digest_of(wrap(found, str(where))) != entry.digest:
        raise LabelsError("the labels are damaged", where=str(where))
    return ArrayLabels(np.array(found, entry.dtype), entry.axes)


def _fitting(labels: LabelStore, entry: SessionLabels, where: str) -> LabelStore:
    if labels.shape != entry.shape or labels.dtype != entry.dtype:
        raise LabelsError("the labels are not what the session says", where=where)
    return labels


def _temporary_copy(path: Path) -> Path:
    """Copy plain files and folders to where they are thrown away when the program ends."""
    from napari_ditto.data.pyramid_labels import temporary_path

    for count, found in enumerate(path.rglob("*")):
        if found.is_symlink() or not (found.is_dir() or found.is_file()) or count > _MAX_FILES:
            raise LabelsError("these labels are no plain files", where=str(path))
    target = temporary_path()
    shutil.copytree(path, target, symlinks=True)
    return target


def own_copy(labels: LabelStore) -> LabelStore:
    """Return labels that can be changed without changing these."""
    from napari_ditto.data.pyramid_labels import PyramidLabels

    axes: tuple[str, ...] = labels.axes  # type: ignore[attr-defined]
    if not isinstance(labels, PyramidLabels):
        return ArrayLabels(np.array(labels.data), axes)
    labels.flush()
    copy = PyramidLabels.open(_temporary_copy(labels.path), axes=axes)
    copy.is_temporary = True
    return copy


# --- images on no disk -----------------------------------------------------------------------


def can_keep(levels: Sequence[object]) -> bool:
    """Whether an image is small enough to be copied into a session, and not computed when read."""
    total = sum(level.nbytes for level in levels if isinstance(level, np.ndarray))
    return all(isinstance(level, np.ndarray) for level in levels) and total <= MAX_KEPT


def write_image(folder: Path, levels: Sequence[object], fingerprint: str) -> str:
    """Write the levels of an image into a session folder; return the file's name."""
    import zarr

    target = folder / f"image-{fingerprint[:16]}.zarr"
    if target.exists():
        return target.name
    partial = folder / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    group = zarr.create_group(zarr.storage.LocalStore(partial))
    for number, level in enumerate(levels):
        data = np.asarray(level)
        group.create_array(str(number), data=np.ascontiguousarray(data), chunks=_chunks(data.shape))
    partial.rename(target)
    return target.name


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    long = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
    return tuple(min(n, 1024) if axis in long else min(n, 4) for axis, n in enumerate(shape))


def read_levels(folder: Path, entry: SessionImage) -> tuple[object, ...]:
    """Return the arrays of an image, lazily, from the session or from where it lies.

    Raises
    ------
    SourceError
        If it is not there any more, or has another shape.
    """
    if entry.kept:
        levels = _kept_levels(folder / entry.kept, len(entry.shapes))
    else:
        levels = open_path(find_path(folder, entry)).levels
    shapes = tuple(tuple(level.shape) for level in levels)  # type: ignore[attr-defined]
    if shapes != entry.shapes:
        raise SourceError(
            f"the image has another shape now, {shapes[0]} in place of {entry.shapes[0]}",
            where=entry.name,
        )
    return levels


def _kept_levels(path: Path, count: int) -> tuple[object, ...]:
    return tuple(open_path(path / str(number)).levels[0] for number in range(count))


def moved(entry: SessionImage, path: Path) -> SessionImage:
    """Return an image that lies elsewhere now."""
    return replace(entry, path=str(path.expanduser().absolute()), nearby="", kept="")


def find_path(folder: Path, entry: SessionImage) -> Path:
    """Return where an image lies, also if it was moved together with the session.

    Raises
    ------
    SourceError
        If it is in neither place.
    """
    candidates = [folder.parent / entry.nearby] if entry.nearby else []
    candidates += [Path(entry.path)] if entry.path and "://" not in entry.path else []
    for path in candidates:
        if path.exists():
            return path
    where = f"was at {entry.path}" if entry.path else "is on no disk"
    raise SourceError(f"image '{entry.name}' is not there: it {where}", todo="Open it yourself")
