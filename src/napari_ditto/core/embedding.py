"""What an encoder returns for one tile, as plain arrays that any store can keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Embedding:
    """The encoder's answer for one tile.

    Attributes
    ----------
    arrays : mapping of str to ndarray
        Named feature arrays, float16 or float32; layout is the model's own business.
    tile_shape : (int, int)
        Height and width in pixels of the tile that was encoded.
    model : str
        ``ModelSpec.key`` of the model that made it; other models must refuse it.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    tile_shape: tuple[int, int]
    model: str

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take."""
        return sum(int(a.nbytes) for a in self.arrays.values())
