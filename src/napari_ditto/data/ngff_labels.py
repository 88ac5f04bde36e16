"""OME-Zarr metadata of a label pyramid, 0.4 in zarr 2 and 0.5 in zarr 3, made and read.

See https://ngff.openmicroscopy.org/0.4 and https://ngff.openmicroscopy.org/0.5. What is read is
not trusted: it is checked as the metadata of an image is, before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_ditto.data.zarr_attributes import read_attributes, update_attributes
from napari_ditto.errors import LabelsError, SourceError

if TYPE_CHECKING:
    import zarr

Ngff = Literal["0.4", "0.5"]
OURS = "ditto"
COARSEST = 512
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def level_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes from `shape` down, the last two axes halved until both fit 512."""
    shapes = [tuple(int(n) for n in shape)]
    while max(shapes[-1][-2:]) > COARSEST:
        *fixed, height, width = shapes[-1]
        shapes.append((*fixed, -(-height // 2), -(-width // 2)))
    return shapes


def label_attributes(
    axes: Sequence[str],
    shapes: Sequence[Sequence[int]],
    scale: Sequence[float] | None,
    ours: Mapping[str, object],
    *,
    ngff: Ngff = "0.5",
    of_image: bool = False,
    translate: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    name: str = "labels",
    about: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return the attributes of a label image group: OME-Zarr's, and `ours` beside them.

    `of_image` says that the group lies in the folder ``labels`` of its image; `about` is added to
    ``image-label``, such as ``colors`` and ``properties`` of the objects.
    """
    size = [float(s) for s in scale] if scale is not None else [1.0] * len(axes)
    place = [float(t) for t in translate] if translate is not None else [0.0] * len(axes)
    datasets = [
        {"path": str(level), "coordinateTransformations": _transforms(size, place, level)}
        for level in range(len(shapes))
    ]
    named = [_axis(a, u) for a, u in zip(axes, units or [""] * len(axes), strict=True)]
    multiscale = {"name": name, "axes": named, "datasets": datasets}
    label: dict[str, Any] = {"source": {"image": "../../"}} if of_image else {}
    return {**_versioned(multiscale, label | dict(about or {}), ngff), OURS: dict(ours)}


def _versioned(multiscale: dict[str, Any], about: dict[str, Any], ngff: Ngff) -> dict[str, Any]:
    if ngff == "0.5":
        return {"ome": {"version": "0.5", "multiscales": [multiscale], "image-label": about}}
    version = {"version": "0.4"}
    return {"multiscales": [version | multiscale], "image-label": version | about}


def _axis(name: str, unit: str = "") -> dict[str, str]:
    axis = {"name": name, "type": _TYPES[name]} if name in _TYPES else {"name": name}
    return {**axis, "unit": unit} if unit else axis


def _transforms(
    size: Sequence[float], place: Sequence[float], level: int
) -> list[dict[str, object]]:
    """Return scale and translation: a coarse pixel's centre is the mean of those it covers."""
    factors = [1] * (len(size) - 2) + [2**level] * 2
    scale = [s * f for s, f in zip(size, factors, strict=True)]
    shift = [p + s * (f - 1) / 2 for p, s, f in zip(place, size, factors, strict=True)]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]


# --- labels of an image ------------------------------------------------------------------------


def image_of(path: Path) -> Path | None:
    """Return the OME-Zarr image in whose folder ``labels`` a label image lies or will lie."""
    image = path.absolute().parent.parent
    inside = path.absolute().parent.name == "labels"
    return image if inside and _multiscales(image) else None


def check_ngff(path: Path, ngff: Ngff) -> None:
    """Raise :class:`LabelsError` for labels in an image of the other version of OME-Zarr."""
    image = image_of(path)
    if image is not None and _version(image) != ngff:
        raise LabelsError(
            f"labels in OME-Zarr {ngff} for an image in {_version(image)}",
            where=str(path),
            todo=f"Write them in {_version(image)}, or beside the image",
        )


def register_labels(path: Path) -> None:
    """Name a label image in the list of its image's labels, if it lies in an image.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    import zarr

    image, folder = image_of(path), path.absolute().parent
    if image is None:
        return
    version = _version(image)
    if read_attributes(folder) is None:
        zarr.create_group(str(folder), zarr_format=3 if version == "0.5" else 2)
    attributes = read_attributes(folder) or {}
    holder = attributes.get("ome", {"version": "0.5"}) if version == "0.5" else attributes
    names = list(holder.get("labels", ()))
    if path.name not in names:
        listed = {"labels": [*names, path.name]}
        update_attributes(folder, {"ome": holder | listed} if version == "0.5" else listed)


def _multiscales(folder: Path) -> bool:
    attributes = read_attributes(folder) or {}
    inner = attributes.get("ome")
    return bool((inner if isinstance(inner, Mapping) else attributes).get("multiscales"))


def _version(image: Path) -> Ngff:
    return "0.5" if (image / "zarr.json").is_file() else "0.4"


# --- reading -----------------------------------------------------------------------------------


def read_levels(path: Path) -> tuple[list[zarr.Array[Any]], tuple[str, ...]]:
    """Return the arrays from the finest, to be read and written, and the axis names.

    Raises
    ------
    LabelsError
        If there is no label pyramid at `path`, or one that is not safe to read: levels outside
        its folder, codecs that run code, chunks that need too much memory.
    """
    from napari_ditto.data.omezarr import open_multiscales

    try:
        opened = open_multiscales(_group(path), str(path))
    except SourceError as error:
        raise LabelsError(error.what, where=error.where, todo=error.todo) from error
    if opened.axes is None:
        raise LabelsError("the label image names no axes", where=str(path))
    levels: Any = opened.levels
    return list(levels), opened.axes


def _group(path: Path) -> zarr.Group:
    import zarr

    from napari_ditto.data.zarrs import safe_store

    try:
        store = safe_store(path, read_only=False)
        return zarr.open_group(store, mode="r+", use_consolidated=False)
    except SourceError:
        raise
    except Exception as error:
        raise LabelsError(
            "there is no OME-Zarr label image", where=str(path), todo="Check the path"
        ) from error
