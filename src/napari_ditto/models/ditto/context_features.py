"""What the network knows about every pixel, kept for learning from examples.

Everything is kept at its own stride. A linear function of all maps is worked out from the coarsest
to the finest, each time enlarged by two, so that nothing wide is ever held at full resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch  # noqa: TID253 - this module is imported when the network is
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from napari_ditto.core.embedding import Embedding
from napari_ditto.models.ditto.encoder import STRIDE, WIDTHS, Features
from napari_ditto.models.ditto.layers import pool
from napari_ditto.models.ditto.network import DENSE

if TYPE_CHECKING:
    from napari_ditto.models.ditto.network import DittoNetwork

LEVELS = 3
"""Sizes at which the network sees a tile, each half of the one before."""

STRIDES = (64, 32, 16, 8, 4, 2)
OUTLINED = (16, 8, 4)
"""Strides with the network's own foreground, centres and borders, of the three levels."""

Maps = dict[int, Tensor]


def describe(
    network: DittoNetwork, image: Tensor, features: Sequence[Features]
) -> dict[str, NDArray[np.generic]]:
    """Return what an embedding keeps for use with examples, float16, 4.7 MB for 512 x 512 pixels.

    Parameters
    ----------
    network : DittoNetwork
    image : Tensor, shape (1, 3, h, w)
        The padded tile in [0, 1]; sides are multiples of 16.
    features : sequence of Features
        Of the image, of the image at half its size, and so on; levels that are missing are encoded.
    """
    found = _levels(network, image, features)
    dense = [network.everything(f) for f in found]
    maps = {
        64: [found[2].s16],
        32: [found[1].s16],
        16: [found[0].s16, dense[2]],
        8: [found[0].s8, dense[1]],
        4: [found[0].s4, dense[0]],
        2: [found[0].s2],
    }
    return {f"context{s}": torch.cat(m, 1)[0].half().cpu().numpy() for s, m in _fitted(maps)}


def _levels(network: DittoNetwork, image: Tensor, features: Sequence[Features]) -> list[Features]:
    found = list(features[:LEVELS])
    if len(found) < LEVELS:
        largest = STRIDE << (LEVELS - 1)
        height, width = image.shape[-2:]
        image = F.pad(image, (0, -width % largest, 0, -height % largest), mode="replicate")
    missing = range(len(found), LEVELS)
    return found + [network.encode(pool(image, 1 << level)) for level in missing]


def _fitted(maps: dict[int, list[Tensor]]) -> list[tuple[int, list[Tensor]]]:
    """Cut the maps of one stride to the size of the first of them."""
    return [
        (s, [m[..., : of[0].shape[-2], : of[0].shape[-1]] for m in of]) for s, of in maps.items()
    ]


def channels() -> dict[int, tuple[int, ...]]:
    """Return the number of channels of the encoder and of the outlines, by stride."""
    encoder = {
        64: WIDTHS[3],
        32: WIDTHS[3],
        16: WIDTHS[3],
        8: WIDTHS[2],
        4: WIDTHS[1],
        2: WIDTHS[0],
    }
    return {s: (n, len(DENSE)) if s in OUTLINED else (n,) for s, n in encoder.items()}


def maps(embedding: Embedding) -> Maps:
    """Return the network's features of a tile by stride, each (channels, rows, columns)."""
    arrays = embedding.arrays
    # Copies, since PyTorch warns of arrays that are read-only; it widens them faster than numpy.
    return {s: torch.from_numpy(arrays[f"context{s}"].copy()).float() for s in STRIDES}


def sample(found: Maps, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the features of some pixels of the tile, shape (n, channels)."""
    parts = [_at(x, s, rows, columns) for s, x in ((4, _enlarge(found)), (2, found[2]))]
    return np.concatenate(parts, axis=1)


def _at(
    x: Tensor, stride: int, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    height, width = x.shape[1:]
    y = torch.from_numpy((2 * rows + 1) / (height * stride) - 1)
    z = torch.from_numpy((2 * columns + 1) / (width * stride) - 1)
    grid = torch.stack((z, y), -1).float()[None, :, None]
    found = F.grid_sample(x[None], grid, padding_mode="border", align_corners=False)
    return np.ascontiguousarray(found[0, :, :, 0].T.numpy())


def _enlarge(found: Maps) -> Tensor:
    """Return all maps but the finest one after the other at stride 4, the coarsest first."""
    total = found[STRIDES[0]]
    for stride in STRIDES[1:-1]:
        total = torch.cat((_double(total, found[stride]), found[stride]))
    return total


def project(found: Maps, weights: Mapping[int, Tensor], constant: Tensor) -> Tensor:
    """Return a linear function of all maps at stride 2, weights (outputs, channels) by stride."""
    total = constant[:, None, None].repeat(1, *found[STRIDES[0]].shape[1:])
    for stride in STRIDES:
        own = found[stride]
        before = total if stride == STRIDES[0] else _double(total, own)
        total = before.flatten(1).addmm_(weights[stride], own.flatten(1)).view(before.shape)
    return total


def _double(x: Tensor, like: Tensor) -> Tensor:
    """Enlarge a map by two, and cut it to the size of another."""
    large = F.interpolate(x[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    return large[:, : like.shape[1], : like.shape[2]]
