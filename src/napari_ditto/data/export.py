"""Writing label images as OME-Zarr 0.5 (ngff.openmicroscopy.org/0.5), whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_ditto.data.arrays import Index, RawArray, wrap
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    import zarr

PROVENANCE_KEY = "napari-ditto"
"""Attribute of the group under which the provenance is kept."""

CHUNK = 512
BLOCK = 2048  # side of what is held in memory at once, a multiple of CHUNK
SMALLEST = 256
_AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_ome_zarr_labels(
    path: str | Path,
    labels: object,
    axes: Sequence[str],
    scale: Sequence[float] | None = None,
    provenance: Mapping[str, object] | None = None,
    image_name: str = "labels",
    overwrite: bool = False,
) -> Path:
    """Write a label image as an OME-Zarr 0.5 image-label group.

    The pyramid is downsampled by nearest neighbour along the last two axes. The group is written
    beside `path` under another name and renamed when whole; a failure leaves nothing behind.

    Parameters
    ----------
    path : str or Path
        The new folder.
    labels : array of int or bool
        Numpy, dask or zarr; read block by block.
    axes : sequence of str
        One name per axis, ``"tzyx"``.
    scale : sequence of float, optional
        Physical pixel size along `axes`.
    provenance : mapping, optional
        Anything JSON can hold (model, weights, prompts); kept under ``napari-ditto``.
    image_name : str
        Name in the metadata.
    overwrite : bool
        Replace a zarr folder of this name; any other folder is never replaced.

    Returns
    -------
    Path
        The folder; its arrays ``0``, ``1``, ... are the levels.

    Raises
    ------
    StoreError
        If the labels do not fit the format, the folder exists, or the disk refuses.
    """
    target = Path(path).expanduser().absolute()
    _check_target(target, overwrite)
    raw = wrap(labels, image_name)
    attributes = {
        "ome": _ome(raw.shape, axes, scale, image_name, target),
        PROVENANCE_KEY: _json(provenance or {}, target),
    }
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        _write_group(partial, raw, _label_dtype(raw, target), tuple(axes), attributes)
        _put_in_place(partial, target)
    except OSError as error:
        raise StoreError(
            f"cannot write the labels: {error.strerror or error}",
            where=str(target),
            todo="Choose a folder that can be written and has room.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def pyramid_shapes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the shape of every level, the last two axes halved (rounding up) each time."""
    yield shape
    while max(shape[-2:]) > SMALLEST:
        shape = (*shape[:-2], -(-shape[-2] // 2), -(-shape[-1] // 2))
        yield shape


def _write_group(
    folder: Path,
    raw: RawArray,
    dtype: np.dtype[Any],
    axes: tuple[str, ...],
    attributes: dict[str, Any],
) -> None:
    import zarr

    group = zarr.create_group(zarr.storage.LocalStore(folder), attributes=attributes)
    finer: RawArray | None = None
    for level, shape in enumerate(pyramid_shapes(raw.shape)):
        chunks = (*(1 for _ in shape[:-2]), *(min(CHUNK, s) for s in shape[-2:]))
        array = group.create_array(
            str(level), shape=shape, chunks=chunks, dtype=dtype, dimension_names=axes
        )
        _fill(array, raw if finer is None else finer, 1 if finer is None else 2)
        finer = wrap(array, str(folder))


def _fill(array: zarr.Array[Any], finer: RawArray, step: int) -> None:
    """Copy every `step`-th pixel of the last two axes; empty blocks are left out."""
    for index in _blocks(array.shape):
        spread = tuple(
            slice(s.start * step, min(s.stop * step, n))
            for s, n in zip(index[-2:], finer.shape[-2:], strict=True)
        )
        block = finer.read((*index[:-2], *spread))[..., ::step, ::step]
        if block.any():
            array[index] = block.astype(array.dtype)


def _blocks(shape: tuple[int, ...]) -> Iterator[Index]:
    steps = (*(1 for _ in shape[:-2]), BLOCK, BLOCK)
    ranges = (range(0, n, step) for n, step in zip(shape, steps, strict=True))
    for corner in product(*ranges):
        yield tuple(
            slice(at, min(at + step, n)) for at, step, n in zip(corner, steps, shape, strict=True)
        )


def _ome(
    shape: tuple[int, ...],
    axes: Sequence[str],
    scale: Sequence[float] | None,
    name: str,
    target: Path,
) -> dict[str, Any]:
    sizes = [float(s) for s in scale] if scale is not None else [1.0] * len(shape)
    fits = len(axes) == len(sizes) == len(shape) >= 2 and len(set(axes)) == len(axes)
    if not fits or 0 in shape or not all(math.isfinite(s) and s > 0 for s in sizes):
        raise StoreError(
            f"labels {shape} do not fit axes {', '.join(axes)} and scale {sizes}",
            where=str(target),
        )
    levels = len(list(pyramid_shapes(shape)))
    multiscale = {
        "name": name,
        "axes": [_axis(axis, i >= len(axes) - 2) for i, axis in enumerate(axes)],
        "datasets": [_dataset(level, sizes) for level in range(levels)],
        "type": "nearest",
    }
    return {"version": "0.5", "multiscales": [multiscale], "image-label": {"version": "0.5"}}


def _axis(name: str, last: bool) -> dict[str, str]:
    kind = _AXIS_TYPES.get(name, "space" if last else "")
    return {"name": name, "type": kind} if kind else {"name": name}


def _dataset(level: int, sizes: Sequence[float]) -> dict[str, Any]:
    factors = [1] * (len(sizes) - 2) + [2**level] * 2
    scaled = [s * f for s, f in zip(sizes, factors, strict=True)]
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scaled}]
    if level:
        # The centre of the first pixel of a level, which covers `f` pixels of level 0.
        shift = [s * (f - 1) / 2 for s, f in zip(sizes, factors, strict=True)]
        transforms.append({"type": "translation", "translation": shift})
    return {"path": str(level), "coordinateTransformations": transforms}


def _label_dtype(raw: RawArray, target: Path) -> np.dtype[Any]:
    if raw.dtype.kind == "f":
        raise StoreError(f"labels must be whole numbers, not {raw.dtype}", where=str(target))
    return np.dtype(np.uint8) if raw.dtype.kind == "b" else raw.dtype.newbyteorder("<")


def _json(provenance: Mapping[str, object], target: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(json.dumps(dict(provenance), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the provenance cannot be written as JSON: {error}", where=str(target)
        ) from error


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    is_zarr = any((target / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))
    if overwrite and is_zarr and not target.is_symlink():
        return
    raise StoreError(
        "the folder exists already" if not overwrite else "this is no zarr folder to replace",
        where=str(target),
        todo="Choose another name." if overwrite else "Choose another name or allow overwriting.",
    )


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; an older one makes room first and is put back on failure."""
    old = target.with_name(f"{partial.name}.old")
    replaced = target.exists()
    if replaced:
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if replaced:
            old.rename(target)
        raise
    if replaced:
        shutil.rmtree(old)
