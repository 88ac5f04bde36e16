"""OME-Zarr 0.5 metadata of a label pyramid. See https://ngff.openmicroscopy.org/0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    import zarr

OURS = "ditto"
MAX_LABEL = "max_label"
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
    provenance: Mapping[str, object] | None,
) -> dict[str, Any]:
    """Return the attributes of a label image group: OME-Zarr's, and ours beside them."""
    size = [float(s) for s in scale] if scale is not None else [1.0] * len(axes)
    datasets = [
        {"path": str(level), "coordinateTransformations": _transforms(size, level)}
        for level in range(len(shapes))
    ]
    multiscale = {"name": "labels", "axes": [_axis(a) for a in axes], "datasets": datasets}
    return {
        "ome": {"version": "0.5", "multiscales": [multiscale], "image-label": {}},
        OURS: {MAX_LABEL: 0, "provenance": dict(provenance or {})},
    }


def _axis(name: str) -> dict[str, str]:
    return {"name": name, "type": _TYPES[name]} if name in _TYPES else {"name": name}


def _transforms(size: Sequence[float], level: int) -> list[dict[str, object]]:
    """Return scale and translation: a coarse pixel's centre is the mean of those it covers."""
    factors = [1] * (len(size) - 2) + [2**level] * 2
    scale = [s * f for s, f in zip(size, factors, strict=True)]
    shift = [s * (f - 1) / 2 for s, f in zip(size, factors, strict=True)]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]


def read_levels(path: Path) -> tuple[zarr.Group, list[zarr.Array[Any]], tuple[str, ...]]:
    """Return the group, its arrays from the finest, and the axis names.

    Raises
    ------
    LabelsError
        If there is no label pyramid at `path`.
    """
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r+")
        attributes: Any = group.attrs.asdict()
        image = attributes.get("ome", attributes)["multiscales"][0]
        names = [dataset["path"] for dataset in image["datasets"]]
        # By name, since zarr warns about whatever else lies in the folder.
        levels = [_array(group[name]) for name in names]
        return group, levels, tuple(a["name"] for a in image["axes"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LabelsError(
            "there is no OME-Zarr label image", where=str(path), todo="Check the path"
        ) from error


def _array(node: zarr.Array[Any] | zarr.Group) -> zarr.Array[Any]:
    import zarr

    if not isinstance(node, zarr.Array):
        raise TypeError(f"{node.path} is no array")
    return node
