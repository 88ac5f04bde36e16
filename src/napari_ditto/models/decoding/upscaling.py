"""From an image and mask tokens to coarse masks: two steps of upscaling, then one dot product.

A transposed convolution of size 2 and stride 2 touches every position alone, so it is a product of
matrices that gives four positions for one, and nothing leaves its cell until the masks are put
together. So only the cells that somebody wants are upscaled.

Symbols of shapes: b prompts, n cells of the image, c channels, m masks. The 16 parts of a cell are
ordered (row, column) of its quarters, then (row, column) within a quarter.
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253  # imported with a family
from torch.nn.functional import gelu, linear  # noqa: TID253

from napari_ditto.models.decoding.two_way import Norm


class Quadruple:
    """A transposed convolution of size 2 and stride 2, channels last: (n, c) to (4 n, k)."""

    def __init__(self, convolution: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        weight = convolution.weight.detach().permute(2, 3, 1, 0)
        self._weight = weight.flatten(0, 2).contiguous().to(dtype)
        self._bias = convolution.bias.detach().repeat(4).to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return four positions for each."""
        return linear(x, self._weight, self._bias).reshape(4 * len(x), -1)


class Upscaling:
    """Two steps of upscaling, (n, c) to (16 n, k), with a norm between them.

    Parameters
    ----------
    first, norm, second : torch.nn.Module
        The library's.
    dtype : torch.dtype
        What to compute with.
    """

    def __init__(self, first: Any, norm: Any, second: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._first, self._second = Quadruple(first, dtype), Quadruple(second, dtype)
        self._norm = Norm(norm, dtype)

    def __call__(
        self,
        image: torch.Tensor,
        middle: torch.Tensor | None = None,
        fine: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the image upscaled; `middle` (4 n, k), `fine` (16 n, k) are added (SAM 2)."""
        x = self._first(image)
        x = self._second(gelu(self._norm(x if middle is None else x.add_(middle))))
        return x if fine is None else x.add_(fine)


class Filters:
    """What the mask tokens ask the upscaled image for: one small network for each token."""

    def __init__(self, networks: Any) -> None:  # noqa: ANN401
        stages = [[n.proj_in, *n.layers, n.proj_out] for n in networks]
        self._weights = [
            torch.stack([s.weight.detach().T for s in same]) for same in zip(*stages, strict=True)
        ]
        self._biases = [
            torch.stack([s.bias.detach() for s in same])[:, None]
            for same in zip(*stages, strict=True)
        ]

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return a filter (b, m, k) for each token (b, m, c)."""
        x = tokens.transpose(0, 1)
        for i, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            x = torch.baddbmm(bias, x.relu() if i else x, weight)
        return x.transpose(0, 1)


def assemble(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return cells (m, 16 n) as masks (m, 4 height, 4 width), n = height * width."""
    # Pairs that stay together are moved as one number of twice the size: half as many moves.
    pair = torch.int64 if cells.element_size() == 4 else torch.int32
    parts = cells.contiguous().view(pair).reshape(-1, height, width, 2, 2, 2)
    rows = parts.permute(0, 1, 3, 5, 2, 4).reshape(-1, 4 * height, 2 * width)
    return rows.view(cells.dtype)


def to_cells(features: torch.Tensor, steps: int) -> torch.Tensor:
    """Return a map (k, h, w) as cells, (h w, k), the opposite of assembling.

    A cell has four parts in one step of upscaling, sixteen in two.
    """
    side = 1 << steps
    channels, height, width = features.shape
    split = (height // side, *(2,) * steps, width // side, *(2,) * steps)
    order = (1, steps + 2, *(a for i in range(steps) for a in (2 + i, steps + 3 + i)), 0)
    return features.reshape(channels, *split).permute(order).reshape(-1, channels)
