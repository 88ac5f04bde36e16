"""What learning from examples knows about every pixel: the network's maps and a filter bank.

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

FILTERS, NETWORK, POSITION = range(3)
"""Kinds of features."""

_BANK = {64: 0, 32: 0, 16: 3, 8: 6, 4: 10, 2: 10}
_DENSE = len(DENSE)
_NETWORK = {
    64: WIDTHS[3],
    32: WIDTHS[3],
    16: WIDTHS[3] + _DENSE,
    8: WIDTHS[2] + _DENSE,
    4: WIDTHS[1] + _DENSE,
    2: WIDTHS[0],
}
_POSITIONS = 5

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


def kinds() -> dict[int, NDArray[np.intp]]:
    """Return the kind of each channel of :func:`maps`, by stride."""
    found = {}
    for stride in STRIDES:
        counts = (_BANK[stride], _NETWORK[stride], _POSITIONS if stride == 2 else 0)
        found[stride] = np.repeat((FILTERS, NETWORK, POSITION), counts)
    return found


def maps(embedding: Embedding) -> Maps:
    """Return the features of a tile by stride, each (channels, rows, columns)."""
    shape = embedding.tile_shape
    found = filter_bank(_pixels(embedding))
    for stride in STRIDES:
        own = torch.from_numpy(np.asarray(embedding.arrays[f"context{stride}"], np.float32))
        found[stride] = torch.cat((found[stride], own)) if stride in found else own
    found[2] = torch.cat((found[2], _positions(shape, (found[2].shape[1], found[2].shape[2]))))
    return found


def _pixels(embedding: Embedding) -> Tensor:
    """Return the tile as (3, h, w), mirrored up to what the network saw."""
    pixels = np.asarray(embedding.arrays["pixels"], np.float32)
    seen = embedding.arrays["context2"].shape[1:]
    margins = [(0, 2 * n - size) for n, size in zip(seen, pixels.shape[:2], strict=True)]
    padded = np.pad(pixels, (*margins, (0, 0)), mode="symmetric").transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(padded))


def _positions(shape: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Return where in the tile a pixel lies, each axis from -1 to 1, and second powers."""
    y, x = (
        ((torch.arange(n) * 2 + 1) / size * 2 - 1).clamp(-1, 1)
        for n, size in zip(grid, shape, strict=True)
    )
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((y, x, y * y, x * x, x * y))


def filter_bank(image: Tensor) -> Maps:
    """Return colours, gradients and second derivatives at several scales, of (3, h, w)."""
    color = _opponent(image)
    fine = _blur(color, 1.0)
    edges = _gradient(fine)
    half = _half(_blur(color, 1.6))
    c4 = _blur(_half(color), 2.0)
    two = torch.cat((_half(torch.cat((fine, edges, _hessian(fine[:1])))), _hessian(half[:1])))
    two = torch.cat((two, _hessian(c4[:1])))
    energy = _half(_blur(_half(edges), 2.0))
    quarter = _half(_half(torch.cat((color[:1], color[:1] ** 2))))
    mean, square = _blur(quarter, 2.0)
    spread = (square - mean**2).clamp_min(0).add(1e-6).sqrt()[None]
    c8 = _blur(_half(c4), 1.7)
    four = torch.cat((_half(c4), energy, spread, c8, _hessian(c8[:1])))
    c16 = _blur(_half(c8), 1.7)
    eight = torch.cat((c16, _hessian(c16[:1]), _blur(_half(energy), 2.0)))
    return {2: two, 4: four, 8: eight, 16: _blur(_half(c16), 1.7)}


def _opponent(image: Tensor) -> Tensor:
    """Return square-root lightness and the Ohta channels, as the model `classic` does."""
    r, g, b = image
    return torch.stack((((r + g + b) / 3 + 1e-6).sqrt(), (r - b) / 2, (2 * g - r - b) / 4))


def _half(x: Tensor) -> Tensor:
    return pool(x[None], 2)[0]


def _blur(x: Tensor, sigma: float) -> Tensor:
    radius = max(1, int(2.5 * sigma + 0.5))
    at = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    channels = len(x)
    tall = F.pad(x[None], (0, 0, radius, radius), mode="replicate")
    tall = F.conv2d(tall, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    wide = F.pad(tall, (radius, radius, 0, 0), mode="replicate")
    return F.conv2d(wide, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)[0]


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    wide = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    rows = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2
    return rows, (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2


def _gradient(x: Tensor) -> Tensor:
    dy, dx = _slopes(x)
    return (dy**2 + dx**2).sum(0, keepdim=True).sqrt()


def _hessian(x: Tensor) -> Tensor:
    """Return the larger and the smaller eigenvalue of the second derivatives of (1, h, w)."""
    dy, dx = _slopes(x)
    (yy, xy), (_, xx) = _slopes(dy), _slopes(dx)
    mean, root = (yy + xx) / 2, (((yy - xx) / 2) ** 2 + xy**2).sqrt()
    return torch.cat((mean + root, mean - root))


def sample(found: Maps, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the features of some pixels of the tile, shape (n, channels)."""
    coarse = enlarge({s: x for s, x in found.items() if s >= 4}, until=4)
    parts = [_at(x, s, rows, columns) for s, x in ((4, coarse), (2, found[2]))]
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


def enlarge(found: Maps, until: int = 2) -> Tensor:
    """Return all maps one after the other at the stride `until`, the coarsest first."""
    total = found[STRIDES[0]]
    for stride in (s for s in STRIDES[1:] if s >= until):
        total = torch.cat((_double(total, found[stride]), found[stride]))
    return total


def project(found: Maps, weights: Mapping[int, Tensor]) -> Tensor:
    """Return a linear function of all maps at stride 2, weights (outputs, channels) by stride."""
    total: Tensor = torch.tensordot(weights[STRIDES[0]], found[STRIDES[0]], 1)
    for stride in STRIDES[1:]:
        own: Tensor = torch.tensordot(weights[stride], found[stride], 1)
        total = _double(total, own) + own
    return total


def _double(x: Tensor, like: Tensor) -> Tensor:
    """Enlarge a map by two, and cut it to the size of another."""
    large = F.interpolate(x[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    return large[:, : like.shape[1], : like.shape[2]]
