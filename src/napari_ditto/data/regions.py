"""From a box of a plane to a region of an n-dimensional array, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.errors import LabelsError

Region = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class PlaneRegion:
    """A box of one plane as a region of an array.

    Attributes
    ----------
    index : tuple of slice
        One slice per array axis; one element wide on the fixed axes.
    order : tuple of int
        The fixed axes, then the plane's rows and columns.
    shape : (int, int)
        Height and width of the box.
    """

    index: Region
    order: tuple[int, ...]
    shape: tuple[int, int]

    def to_plane(self, block: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the block of `index` as rows and columns, shape (h, w); a view."""
        return block.transpose(self.order).reshape(self.shape)

    def to_block(self, plane: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return rows and columns as a block that fits `index`; a view."""
        fixed = (1,) * (len(self.order) - 2)
        return plane.reshape(fixed + plane.shape).transpose(np.argsort(self.order))


def plane_region(
    axes: Sequence[str], shape: Sequence[int], address: PlaneAddress, box: Box
) -> PlaneRegion:
    """Return where a box lies in an array of `shape`.

    Raises
    ------
    LabelsError
        If the plane or the box is not inside the array.
    """
    fixed = address.index
    if sorted((*fixed, address.rows, address.columns)) != sorted(axes):
        raise LabelsError(
            f"the {address} does not fit label axes {', '.join(axes)}",
            todo="Choose a Labels layer with the axes of the image",
        )
    rows, columns = axes.index(address.rows), axes.index(address.columns)
    if not Box(0, 0, shape[rows], shape[columns]).covers(box) or box.y0 > box.y1 or box.x0 > box.x1:
        raise LabelsError(f"box {box} reaches outside the label image", where=str(address))
    slices = {address.rows: box.slices[0], address.columns: box.slices[1]}
    for name, size in zip(axes, shape, strict=True):
        if name in fixed:
            if not 0 <= fixed[name] < size:
                raise LabelsError(f"no {name}={fixed[name]} in labels of {size}", where=name)
            slices[name] = slice(fixed[name], fixed[name] + 1)
    order = tuple(i for i, name in enumerate(axes) if name in fixed)
    return PlaneRegion(tuple(slices[n] for n in axes), (*order, rows, columns), box.shape)


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box around the true pixels; empty at the origin if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Box(0, 0, 0, 0)
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
