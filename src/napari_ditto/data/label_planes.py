"""Labelled planes out of a label file: one plane, or all that show something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.arrays import RawArray, wrap
from napari_ditto.data.labels import check_dtype
from napari_ditto.data.opening import open_path
from napari_ditto.data.regions import plane_region
from napari_ditto.errors import LabelsError


def read_label_plane(path: Path) -> NDArray[Any]:
    """Return the ids of a file that holds one plane, a TIFF, a picture or a zarr."""
    with _open(path) as raw:
        if len(raw.shape) != 2:
            raise LabelsError(
                f"labels of shape {raw.shape} are no plane",
                where=str(path),
                todo="Give one plane of ids, without colours",
            )
        return raw.read(tuple(slice(0, n) for n in raw.shape)).copy()


def read_label_planes(
    path: Path, axes: Sequence[str], shape: Sequence[int], addresses: Sequence[PlaneAddress]
) -> Iterator[tuple[PlaneAddress, NDArray[Any]]]:
    """Yield those planes of a label file that are not empty.

    Parameters
    ----------
    path : Path
        Labels of the image's shape.
    axes, shape : sequence of str, sequence of int
        Of the image.
    addresses : sequence of PlaneAddress
        Which planes to look at.

    Raises
    ------
    LabelsError
        If the labels do not fit the image.
    """
    with _open(path) as raw:
        if raw.shape != tuple(shape):
            raise LabelsError(
                f"labels of shape {raw.shape} for an image of {tuple(shape)}", where=str(path)
            )
        for address in addresses:
            sides = (shape[axes.index(name)] for name in (address.rows, address.columns))
            region = plane_region(axes, shape, address, Box.of_shape(tuple(sides)))
            labels = region.to_plane(raw.read(region.index))
            if labels.any():
                yield address, labels.copy()


@contextmanager
def _open(path: Path) -> Iterator[RawArray]:
    opened = open_path(Path(path).expanduser())
    try:
        raw = wrap(opened.levels[0], str(path))
        if raw.dtype.kind != "b":
            check_dtype(raw.dtype)
        yield raw
    finally:
        if opened.close:
            opened.close()
