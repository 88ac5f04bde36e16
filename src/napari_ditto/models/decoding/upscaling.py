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
from torch.nn.functional import gelu, layer_norm  # noqa: TID253

from napari_ditto.models.packed import PackedLinear


class Norm:
    """A layer norm in the precision of what it is given."""

    def __init__(self, norm: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._weight, self._bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
        self._eps = float(norm.eps)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last axis normalised."""
        return layer_norm(x, x.shape[-1:], self._weight, self._bias, self._eps)


class Quadruple:
    """A transposed convolution of size 2 and stride 2, channels last: (n, c) to (4 n, k)."""

    def __init__(self, convolution: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._linear = PackedLinear(*matrix(convolution), dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return four positions for each."""
        return self._linear(x).reshape(4 * len(x), -1)

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        """Return GELU of them."""
        return self._linear.gelu(x).reshape(4 * len(x), -1)


def matrix(convolution: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    """Return weight (4 k, c) and bias of a transposed convolution of size 2 and stride 2."""
    weight = convolution.weight.detach().permute(2, 3, 1, 0)
    return weight.flatten(0, 2), convolution.bias.detach().repeat(4)


class Upscaling:
    """The second half of upscaling, (4 n, k) to (16 n, k'): norm, convolution, GELU.

    Parameters
    ----------
    norm, second : torch.nn.Module
        The library's.
    dtype : torch.dtype
        What to compute with.
    """

    def __init__(self, norm: Any, second: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._norm, self._second = Norm(norm, dtype), Quadruple(second, dtype)

    def __call__(self, quarters: torch.Tensor) -> torch.Tensor:
        """Return an image upscaled, before the last GELU."""
        return self._second(gelu(self._norm(quarters)))

    def gelu(self, quarters: torch.Tensor) -> torch.Tensor:
        """Return an image upscaled."""
        return self._second.gelu(gelu(self._norm(quarters)))


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
