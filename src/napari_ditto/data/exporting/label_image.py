"""A label image and all that is known of it, ready to be written in any format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.data.arrays import RawArray
from napari_ditto.data.axes import CHANNEL_NAMES, default_names
from napari_ditto.data.georeference import Georeference
from napari_ditto.data.grid import PixelGrid, read_grid, unit_name
from napari_ditto.data.label_reading import wrap_labels
from napari_ditto.data.measured import short_unit
from napari_ditto.data.object_records import ObjectTable
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import LabelsError

Index = tuple[tuple[str, int], ...]
"""Where a plane lies on the other axes."""

BLOCK = 2048
"""Side of what is read at once, a multiple of the usual chunks."""


@dataclass(frozen=True, eq=False)
class LabelImage:
    """What is exported.

    Attributes
    ----------
    raw : RawArray
        The labels, read box by box; whole numbers or booleans.
    axes : tuple of str
        One name per axis, rows and columns last, no channels.
    scale, translate : tuple of float
        Size of a pixel, and the place of the centre of the first one, along each axis.
    units : tuple of str
        Of `scale`, as OME-Zarr spells them ("micrometer"); ``""`` where it is not known.
    name : str
        What the labels are called.
    table : ObjectTable
        Classes and scores of the objects.
    georeference : Georeference or None
        Where the plane lies on the earth.
    image : str
        Name of the image's file; ``""`` if it is not known.
    pixels : array, path or Source, optional
        The image, for measurements in it.
    provenance : mapping
        What made the labels; JSON types only.
    close : callable or None
        Releases the file.
    """

    raw: RawArray
    axes: tuple[str, ...]
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    name: str = "labels"
    table: ObjectTable = field(default_factory=ObjectTable)
    georeference: Georeference | None = None
    image: str = ""
    pixels: object = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    close: Callable[[], None] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return self.raw.shape

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[-2], self.shape[-1]

    @cached_property
    def pixel_area(self) -> tuple[float, str]:
        """Area of a pixel and its unit; ``""`` where the size of a pixel is not known."""
        unit = self.units[-1] if self.units[-1] == self.units[-2] else ""
        if unit and unit != "pixel":
            return self.scale[-2] * self.scale[-1], f"{short_unit(unit)}²"
        if self.georeference is not None and self.georeference.unit:
            area = abs(float(np.linalg.det(self.georeference.linear)))
            return area, f"{short_unit(self.georeference.unit)}²"
        return 1.0, ""

    @property
    def planes(self) -> Iterator[Index]:
        """Every plane, the last axis fastest."""
        names = self.axes[:-2]
        for at in product(*(range(n) for n in self.shape[:-2])):
            yield tuple(zip(names, at, strict=True))

    @property
    def plane_count(self) -> int:
        """Number of planes."""
        return math.prod(self.shape[:-2])

    def read(self, index: Index, box: Box) -> NDArray[np.integer]:
        """Return the labels of a box of a plane, in the machine's byte order, no negative ones."""
        fixed = tuple(slice(i, i + 1) for _, i in index)
        block = self.raw.read((*fixed, *box.slices))
        block = block.reshape(box.shape)
        if block.dtype.kind == "b":
            return block.view(np.uint8)
        block = block.astype(block.dtype.newbyteorder("="), copy=False)
        return np.maximum(block, 0) if block.dtype.kind == "i" and (block < 0).any() else block

    def at(self, plane: Mapping[str, int]) -> LabelImage:
        """Return the labels at one index of some axes, which are no axes of it any more.

        Raises
        ------
        LabelsError
            If there is no such axis or index.
        """
        sizes = dict(zip(self.axes[:-2], self.shape[:-2], strict=True))
        for axis, i in plane.items():
            if not 0 <= i < sizes.get(axis, 0):
                raise LabelsError(
                    f"there is no plane {axis}={i}",
                    where=f"{self.name}, {self.shape} along {', '.join(self.axes)}",
                )
        raw, names = _fixed(self.raw, self.axes, plane)
        kept = [self.axes.index(name) for name in names]
        scale, translate = (tuple(v[i] for i in kept) for v in (self.scale, self.translate))
        units = tuple(self.units[i] for i in kept)
        return replace(self, raw=raw, axes=names, scale=scale, translate=translate, units=units)

    def on_grid(self, grid: PixelGrid) -> LabelImage:
        """Return the labels with the pixel sizes of their image, unless they have their own."""
        if any(self.units) or set(self.scale) != {1.0}:
            return self
        return replace(self, **grid.on(self.axes))

    def in_unit(self, unit: str) -> LabelImage:
        """Return the labels with pixel sizes in a unit, along all axes but time."""
        known = zip(self.axes, self.units, strict=True)
        return replace(self, units=tuple(u if a == "t" else unit_name(unit) for a, u in known))

    def lying(self, place: Georeference | None) -> LabelImage:
        """Return the labels somewhere on the earth."""
        return self if place is None else replace(self, georeference=place)

    @property
    def blocks(self) -> Iterator[Box]:
        """Boxes that part a plane."""
        height, width = self.plane_shape
        for y, x in product(range(0, height, BLOCK), range(0, width, BLOCK)):
            yield Box(y, x, min(y + BLOCK, height), min(x + BLOCK, width))

    def highest(self) -> int:
        """Return the largest id; reads everything, unless the type alone is enough."""
        if self.raw.dtype.kind == "b" or self.raw.dtype == np.uint8:
            return int(np.iinfo(np.uint8).max)
        found = (
            int(self.read(index, box).max(initial=0))
            for index in self.planes
            for box in self.blocks
        )
        return max(found, default=0)


def label_image(
    data: object,
    *,
    axes: str | Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    translate: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    **known: Any,  # noqa: ANN401 - the other attributes of LabelImage
) -> LabelImage:
    """Return labels ready to be exported.

    Parameters
    ----------
    data : array, LabelStore or path
        Numpy, dask or zarr, or a file or folder that napari-ditto reads.
    axes : str or sequence of str, optional
        Names, rows and columns last; by default from the file, else ``tzyx`` from the right.
    scale, translate, units : sequence, optional
        One for each axis; by default from the file, else 1, 0 and unknown.
    **known
        Further attributes of :class:`LabelImage`.

    Raises
    ------
    LabelsError
        If this is no label image.
    SourceError
        If the file cannot be read.
    """
    if isinstance(data, LabelStore):
        data, axes = data.data, axes or getattr(data, "axes", None)
    if not isinstance(data, str | Path):
        return _label_image(data, axes, PixelGrid(), scale, translate, units, known)
    from napari_ditto.data.opening import open_path

    path = Path(data).expanduser()
    opened = open_path(path)
    known = {"name": path.name.partition(".")[0], **known, "close": opened.close}
    try:
        grid = read_grid(path)
        return _label_image(
            opened.levels[0], axes or opened.axes, grid, scale, translate, units, known
        )
    except BaseException:
        if opened.close is not None:
            opened.close()
        raise


def _label_image(
    data: object,
    axes: str | Sequence[str] | None,
    grid: PixelGrid,
    scale: Sequence[float] | None,
    translate: Sequence[float] | None,
    units: Sequence[str] | None,
    known: Mapping[str, Any],
) -> LabelImage:
    raw = wrap_labels(data, known.get("name", "labels"))
    if raw.dtype.kind not in "biu":
        raise LabelsError(
            f"labels must be whole numbers, not {raw.dtype}", where=raw.where, todo="Round them"
        )
    raw, names = _without_channels(raw, tuple(axes) if axes else default_names(len(raw.shape)))
    if len(names) != len(raw.shape) or len(set(names)) != len(names) or len(names) < 2:
        raise LabelsError(
            f"labels of shape {raw.shape} do not have the axes {', '.join(names)}", where=raw.where
        )
    if 0 in raw.shape:
        raise LabelsError(f"there are no labels in {raw.shape}", where=raw.where)
    told = grid.on(names)
    sizes = _each(scale, names, raw.where) or told["scale"]
    if min(sizes) <= 0:
        raise LabelsError(f"pixels of size {sizes}", where=raw.where, todo="Give positive sizes")
    place = _each(translate, names, raw.where) or told["translate"]
    named = tuple(units) if units is not None else told["units"]
    if len(named) != len(names):
        raise LabelsError(f"units {named} do not fit the axes {', '.join(names)}", where=raw.where)
    return LabelImage(raw, names, sizes, place, named, **known)


def _each(
    values: Sequence[float] | None, names: Sequence[str], where: str
) -> tuple[float, ...] | None:
    if values is None:
        return None
    numbers = tuple(float(v) for v in values)
    if len(numbers) != len(names) or not all(map(math.isfinite, numbers)):
        raise LabelsError(f"{numbers} does not fit the axes {', '.join(names)}", where=where)
    return numbers


def _without_channels(raw: RawArray, names: tuple[str, ...]) -> tuple[RawArray, tuple[str, ...]]:
    """Leave out a last axis that is not columns but one channel."""
    if len(names) != len(raw.shape) or names[-1] not in CHANNEL_NAMES:
        return raw, names
    if raw.shape[-1] != 1:
        raise LabelsError(
            f"a label image has no colours, this one is {raw.shape}",
            where=raw.where,
            todo="Give one channel of it",
        )
    return _fixed(raw, names, {names[-1]: 0})


def _fixed(
    raw: RawArray, names: tuple[str, ...], at: Mapping[str, int]
) -> tuple[RawArray, tuple[str, ...]]:
    """Return what an array shows at one index of some axes, and the names of the others."""
    if not at:
        return raw, names
    kept = [i for i, name in enumerate(names) if name not in at]

    def fetch(index: tuple[slice, ...]) -> NDArray[Any]:
        given = iter(index)
        full = tuple(slice(at[name], at[name] + 1) if name in at else next(given) for name in names)
        return raw.read(full).reshape(tuple(s.stop - s.start for s in index))

    shape = tuple(raw.shape[i] for i in kept)
    return RawArray(shape, raw.dtype, None, fetch, raw.where), tuple(names[i] for i in kept)
