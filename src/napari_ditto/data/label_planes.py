"""Labelled planes out of a label file: one plane, or all that show something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.arrays import RawArray, wrap
from napari_ditto.data.labels import check_dtype
from napari_ditto.data.opening import open_path
from napari_ditto.data.regions import plane_region
from napari_ditto.errors import LabelsError

BAND = 1 << 24
"""Pixels that are looked at at once."""


@dataclass(frozen=True, eq=False)
class LabelPlane:
    """A plane of a label file that is read when rows of it are asked for: ``plane[3:20]``.

    Attributes
    ----------
    raw : RawArray
        The file's array.
    axes : sequence of str
        Of the array.
    address : PlaneAddress
        The plane.
    shape : (int, int)
        Height and width.
    """

    raw: RawArray
    axes: Sequence[str]
    address: PlaneAddress
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the ids."""
        return self.raw.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return some rows."""
        top, stop, _ = rows.indices(self.shape[0])
        box = Box(top, 0, max(top, stop), self.shape[1])
        region = plane_region(self.axes, self.raw.shape, self.address, box)
        return region.to_plane(self.raw.read(region.index))


@contextmanager
def open_label_plane(path: Path) -> Iterator[LabelPlane]:
    """Open a file that holds one plane of ids, however large; closed at the end."""
    with _open(path) as raw:
        if len(raw.shape) != 2:
            raise _no_plane(raw, path)
        yield LabelPlane(raw, "yx", PlaneAddress(), (raw.shape[0], raw.shape[1]))


@contextmanager
def open_label_planes(
    path: Path, axes: Sequence[str], shape: Sequence[int], addresses: Sequence[PlaneAddress]
) -> Iterator[list[LabelPlane]]:
    """Open those planes of a label file that are not empty; see :func:`read_label_planes`."""
    with _open(path) as raw:
        _check_fits(raw, path, shape)
        sides = dict(zip(axes, raw.shape, strict=True))
        planes = [LabelPlane(raw, axes, a, (sides[a.rows], sides[a.columns])) for a in addresses]
        yield [plane for plane in planes if _shows_something(plane)]


def _shows_something(plane: LabelPlane) -> bool:
    height, width = plane.shape
    rows = max(1, BAND // width)
    return any(plane[top : top + rows].any() for top in range(0, height, rows))


def read_label_plane(path: Path) -> NDArray[Any]:
    """Return the ids of a file that holds one plane, a TIFF, a picture or a zarr."""
    with _open(path) as raw:
        if len(raw.shape) != 2:
            raise _no_plane(raw, path)
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
        _check_fits(raw, path, shape)
        for address in addresses:
            sides = (shape[axes.index(name)] for name in (address.rows, address.columns))
            region = plane_region(axes, shape, address, Box.of_shape(tuple(sides)))
            labels = region.to_plane(raw.read(region.index))
            if labels.any():
                yield address, labels.copy()


def _no_plane(raw: RawArray, path: Path) -> LabelsError:
    return LabelsError(
        f"labels of shape {raw.shape} are no plane",
        where=str(path),
        todo="Give one plane of ids, without colours",
    )


def _check_fits(raw: RawArray, path: Path, shape: Sequence[int]) -> None:
    if raw.shape != tuple(shape):
        raise LabelsError(
            f"labels of shape {raw.shape} for an image of {tuple(shape)}", where=str(path)
        )


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
