"""Reading OME-Zarr metadata (NGFF 0.1 to 0.5): levels, axes, pixel sizes.

The metadata is not trusted: a dataset path may not leave its group.
See https://ngff.openmicroscopy.org/0.4 and /0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from napari_ditto.data.opening import Opened, bounded, open_zarr_object
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    import zarr

_MANY_FIELDS = ("plate", "well", "bioformats2raw.layout")
_FIRST_AXES = ("t", "c", "z", "y", "x")  # NGFF 0.1 and 0.2 have no axis names


def open_multiscales(group: zarr.Group, where: str) -> Opened:
    """Return the levels of an OME-Zarr image group; chunks are not read."""
    attributes = _ome_attributes(group)
    images = attributes.get("multiscales")
    if not images:
        return _open_plain_group(group, attributes, where)
    try:
        image = images[0]
        paths = [dataset["path"] for dataset in image["datasets"]]
        levels = tuple(_dataset(group, path, where) for path in paths)
        axes = _axes(image.get("axes"), levels[0].ndim)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise SourceError(
            "the OME-Zarr metadata (multiscales) is damaged",
            where=where,
            todo="Open one of its arrays by its own path.",
        ) from error
    scales = _scales(image, levels[0].ndim)
    extra = f"Only the first of {len(images)} images is read." if len(images) > 1 else ""
    return Opened(levels, axes, scales, notes=(extra,) if extra else ())


def _ome_attributes(group: zarr.Group) -> Mapping[str, Any]:
    attributes = group.attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _open_plain_group(group: zarr.Group, attributes: Mapping[str, Any], where: str) -> Opened:
    if any(key in attributes for key in _MANY_FIELDS):
        raise SourceError(
            "this OME-Zarr folder holds several images",
            where=where,
            todo=f"Open one of them, for example {where.rstrip('/')}/{_first_child(group)}.",
        )
    arrays = list(group.arrays())
    if len(arrays) == 1:
        return open_zarr_object(arrays[0][1], where)
    found = ", ".join(sorted(name for name, _ in arrays)) or "none"
    raise SourceError(
        "this zarr group is no OME-Zarr image",
        where=where,
        todo=f"Open one of its arrays by its own path; found: {found}.",
    )


def _first_child(group: zarr.Group) -> str:
    return min(group.group_keys(), default="0")


def _dataset(group: zarr.Group, path: object, where: str) -> zarr.Array[Any]:
    import zarr

    if not isinstance(path, str) or not _stays_inside(group, path):
        raise SourceError(f"the dataset path {path!r} leaves the image's folder", where=where)
    try:
        node = group[path]
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            f"the level {path!r} named in the metadata cannot be opened", where=where
        ) from error
    if not isinstance(node, zarr.Array):
        raise SourceError(f"the level {path!r} is a group, not an array", where=where)
    return bounded(node, where)


def _stays_inside(group: zarr.Group, path: str) -> bool:
    from zarr.storage import LocalStore

    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    rooted = posix.is_absolute() or windows.drive or windows.root
    if not path or rooted or {"..", "\0"} & {*posix.parts, *windows.parts, *path}:
        return False
    store = group.store_path.store
    if not isinstance(store, LocalStore):
        return True
    home = Path(store.root, group.store_path.path).resolve()
    level = home / path
    targets = (level, level / "zarr.json", level / ".zarray")
    return all(target.resolve().is_relative_to(home) for target in targets)


def _axes(axes: object, ndim: int) -> tuple[str, ...] | None:
    if not axes:
        return _FIRST_AXES if ndim == len(_FIRST_AXES) else None
    if not isinstance(axes, list):
        raise TypeError("axes must be a list")
    names = tuple(str(axis["name"] if isinstance(axis, Mapping) else axis) for axis in axes)
    return tuple(name.lower() for name in names)


def _scales(image: Mapping[str, Any], ndim: int) -> tuple[tuple[float, ...], ...] | None:
    """Return pixel sizes per level, None if any is missing or senseless."""
    common = _scale(image, ndim) or (1.0,) * ndim
    result = []
    for dataset in image["datasets"]:
        own = _scale(dataset, ndim)
        if own is None:
            return None
        result.append(tuple(a * b for a, b in zip(own, common, strict=True)))
    return tuple(result)


def _scale(holder: Mapping[str, Any], ndim: int) -> tuple[float, ...] | None:
    transforms = holder.get("coordinateTransformations")
    for transform in transforms if isinstance(transforms, list) else ():
        values = transform.get("scale") if isinstance(transform, Mapping) else None
        if isinstance(values, list) and len(values) == ndim:
            numbers = tuple(v for v in values if isinstance(v, int | float))
            if len(numbers) == ndim and all(math.isfinite(v) and v > 0 for v in numbers):
                return tuple(float(v) for v in numbers)
    return None
