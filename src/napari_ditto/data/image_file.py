"""An image file as a viewer shows it: small ones in memory, large ones lazily."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.arrays import RawArray, wrap
from napari_ditto.data.series import stem
from napari_ditto.data.source import ArraySource, open_source
from napari_ditto.errors import SourceError

IN_MEMORY = 1 << 28
"""Up to this many bytes an image is read whole: a viewer reads what it shows again and again."""

CHUNK = 1024


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image that can be shown.

    Attributes
    ----------
    levels : tuple of array
        Finest first.
    name : str
        For the layer.
    axes : tuple of str
        Of the arrays, but for colours.
    rgb : bool
        Whether the last axis of the arrays is colours.
    scale : tuple of float
        Physical pixel size along `axes`; 1 for channels.
    path : str
        Where it was read from.
    """

    levels: tuple[Any, ...]
    name: str
    axes: tuple[str, ...]
    rgb: bool
    scale: tuple[float, ...]
    path: str


def open_image_file(path: Path | str) -> ImageFile:
    """Open a TIFF, a picture, a zarr array or an OME-Zarr image to be shown.

    Raises
    ------
    SourceError
        If it is none.
    """
    where = Path(path).expanduser().absolute()
    source = open_source(where)
    if not isinstance(source, ArraySource):
        raise SourceError("this is no single image", where=str(where))
    named, levels = source.pyramid.axes, source.pyramid.stored
    rgb = named.rgb and named.channel == len(named.names) - 1
    axes = named.names[:-1] if rgb else named.names
    sizes = dict(zip(source.axes, source.scale, strict=True))
    shown = tuple(_shown(raw, source) for raw in levels)
    if all(isinstance(level, np.ndarray) for level in shown):
        source.close()
    scale = tuple(sizes.get(axis, 1.0) for axis in axes)
    return ImageFile(shown, stem(where), axes, rgb, scale, str(where))


def to_show(levels: Sequence[object], where: str) -> tuple[Any, ...]:
    """Return arrays that a viewer can show: small ones in memory, large ones lazily.

    Raises
    ------
    SourceError
        If they cannot be read.
    """
    return tuple(_shown(wrap(level, where), level) for level in levels)


def _shown(raw: RawArray, holder: object) -> Any:  # noqa: ANN401 - numpy or dask
    """Return a level in memory, or as an array that reads what is looked at."""
    if math.prod(raw.shape) * raw.dtype.itemsize <= IN_MEMORY:
        return raw.read(tuple(slice(0, n) for n in raw.shape))
    import dask.array as da

    chunks = raw.chunks or tuple(min(n, CHUNK) for n in raw.shape)
    return da.from_array(  # type: ignore[no-untyped-call]
        _Boxes(raw, holder), chunks=chunks, name=False, asarray=True
    )


@dataclass(frozen=True, eq=False)
class _Boxes:
    """A level that is read box by box; the file stays open as long as its holder is held."""

    raw: RawArray
    holder: object

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.raw.dtype

    @property
    def ndim(self) -> int:
        return len(self.raw.shape)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        whole = (s.indices(n) for s, n in zip(index, self.shape, strict=True))
        return self.raw.read(tuple(slice(start, stop) for start, stop, _ in whole))
