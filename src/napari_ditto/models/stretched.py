"""Tiles squashed to the square that an encoder sees, as the library's processors do it."""

from __future__ import annotations

import numpy as np
import torch  # noqa: TID253  # imported only with a family
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.models.canvas import Canvas, to_bytes


def stretch(tile: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """Return a tile (h, w, 3) in [0, 1] as network input, (3, size, size)."""
    pixels = to_bytes(tile)
    size = canvas.shape_of(pixels.shape[:2])
    if size != pixels.shape[:2]:
        channels = torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())[None]
        resized = interpolate(channels, size, mode="bilinear", antialias=True)
        pixels = np.moveaxis(resized[0].numpy(), 0, -1)
    return canvas.normalize(pixels)
