"""The square that an encoder sees: how a tile is put on it, and masks taken off it.

Pixels are rounded to 8 bit before they are resized, as the library's processors (and the
published training) have it, so that our embeddings equal theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Canvas:
    """Geometry and normalisation of an encoder's input.

    Attributes
    ----------
    size : int
        Side of the square, pixels.
    keeps_aspect : bool
        True: the longest side is scaled to `size` and the rest is padded right and below (SAM).
        False: both sides are scaled to `size` (SAM 2).
    mask_size : int
        Side of the coarse masks that the decoder gives and takes, pixels.
    mean, std : tuple of float
        Per channel, of values in [0, 1].
    """

    size: int
    keeps_aspect: bool
    mask_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def shape_of(self, tile: tuple[int, int], size: int | None = None) -> tuple[int, int]:
        """Return the height and width that a tile takes up on the canvas (of another `size`)."""
        side = self.size if size is None else size
        if not self.keeps_aspect:
            return side, side
        scale = side / max(tile)
        return max(1, int(tile[0] * scale + 0.5)), max(1, int(tile[1] * scale + 0.5))

    def to_canvas(self, xy: NDArray[np.float64], tile: tuple[int, int]) -> NDArray[np.float32]:
        """Map ``(x, y)`` pairs from tile to canvas pixels; the model adds the half pixel."""
        height, width = self.shape_of(tile)
        return (xy * (width / tile[1], height / tile[0])).astype(np.float32)

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return 8-bit pixels (h, w, 3) as the network takes them, (3, size, size), padded."""
        table = ((np.arange(256)[:, None] / 255 - self.mean) / self.std).astype(np.float32)
        out = np.zeros((3, self.size, self.size), dtype=np.float32)
        for channel in range(3):
            seen = table[:, channel][pixels[..., channel]]
            out[channel, : pixels.shape[0], : pixels.shape[1]] = seen
        return out

    def mask_coverage(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the fraction of each cell of a coarse mask that a tile mask covers."""
        from PIL import Image

        height, width = self.shape_of(mask.shape, self.mask_size)
        image = Image.fromarray(mask.astype(np.float32))
        out = np.zeros((self.mask_size, self.mask_size), dtype=np.float32)
        out[:height, :width] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        return out


def to_bytes(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return [0, 1] as 8 bit."""
    return np.rint(np.clip(tile, 0.0, 1.0) * 255).astype(np.uint8)
