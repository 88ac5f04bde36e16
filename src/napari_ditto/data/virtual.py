"""A raster of any size as a lazy pyramid: computed chunk by chunk when it is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.synthetic import Raster

if TYPE_CHECKING:
    import dask.array as da

CHUNK = 512


@dataclass(frozen=True)
class VirtualArray:
    """One level of a :class:`~napari_ditto.core.synthetic.Raster`, sliced like an array.

    Attributes
    ----------
    raster : Raster
        What to draw.
    level : int
        Pyramid level.
    truth : bool
        Whether to draw the labels instead of the image.
    """

    raster: Raster
    level: int = 0
    truth: bool = False

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.raster.level_shape(self.level)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(np.int64 if self.truth else np.uint8)

    @property
    def chunks(self) -> tuple[int, int]:
        """Size of the blocks that a reader should ask for."""
        height, width = self.shape
        return min(CHUNK, height), min(CHUNK, width)

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[Any]:
        rows, columns = (s.indices(n) for s, n in zip(index, self.shape, strict=True))
        box = Box(rows[0], columns[0], rows[1], columns[1])
        draw = self.raster.labels if self.truth else self.raster.image
        return draw(box, self.level)[:: rows[2], :: columns[2]]


def virtual_raster(
    side: int | tuple[int, int] = 60_000, seed: int = 0, truth: bool = False
) -> list[da.Array]:
    """Return a multiscale raster as dask arrays, finest first; nothing is computed.

    Parameters
    ----------
    side : int or (int, int)
        Pixels at level 0.
    seed : int
        Another seed, another raster.
    truth : bool
        Whether to return the labels, int64, instead of the image, uint8.
    """
    raster = Raster((side, side) if isinstance(side, int) else side, seed=seed)
    levels = [VirtualArray(raster, level, truth) for level in range(raster.levels)]
    name = f"raster-{raster.shape[0]}-{raster.shape[1]}-{seed}-{'truth' if truth else 'image'}"
    return [_lazy(level, f"{name}-{level.level}") for level in levels]


def _lazy(level: VirtualArray, name: str) -> da.Array:
    import dask.array as da

    meta = np.empty((0, 0), level.dtype)
    made: da.Array = da.from_array(level, level.chunks, name, meta=meta)  # type: ignore[no-untyped-call]
    return made
