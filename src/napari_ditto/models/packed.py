"""Linear layers whose weights are laid out for the CPU once, with GELU for free.

oneDNN rearranges the weights of a product each time it is asked; PyTorch can keep the result, but
only through private operators. They are tried once per precision; where they are missing, fail or
are wrong, the public ones compute the same.
"""

from __future__ import annotations

from functools import cache

import torch  # noqa: TID253  # imported with a family's network
from torch.nn.functional import gelu, linear  # noqa: TID253


class PackedLinear:
    """``x W^T + b`` with a copy of weights, on any device; without gradients.

    Parameters
    ----------
    weight : Tensor, shape (o, i)
        In any precision.
    bias : Tensor, shape (o,), or None
        Zeros if None.
    dtype : torch.dtype
        What to compute with and to return; inputs may have any.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype = torch.float32
    ) -> None:
        weight = weight.detach()
        bias = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        self.outputs = len(weight)
        self.bias = bias.to(dtype)
        self._packs = weight.device.type == "cpu" and can_pack(dtype)
        self._weight = _pack(weight.to(dtype)) if self._packs else weight.to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product, shape (..., o)."""
        x = x.to(self.bias.dtype)
        if self._packs:
            return _product(x, self._weight, self.bias, "none")
        return linear(x, self._weight, self.bias)

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        """Return the exact GELU of the product, shape (..., o)."""
        x = x.to(self.bias.dtype)
        if self._packs:
            return _product(x, self._weight, self.bias, "gelu")
        return gelu(linear(x, self._weight, self.bias))


def composed(
    outer: tuple[torch.Tensor, torch.Tensor], inner: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of one layer that does what two do, `inner` first.

    They are multiplied in float64, on the CPU: some devices have no such numbers.
    """
    (weight, bias), (first, offset) = (
        tuple(t.detach().cpu().double() for t in layer) for layer in (outer, inner)
    )
    device = outer[0].device
    return (weight @ first).float().to(device), (weight @ offset + bias).float().to(device)


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether PyTorch's private operators are there and right."""
    x = torch.linspace(-1, 1, 6 * 40).reshape(6, 40).to(dtype)
    weight, bias = torch.linspace(1, -1, 8 * 40).reshape(8, 40).to(dtype), x.new_ones(8)
    expected = gelu(linear(x.float(), weight.float(), bias.float()))
    try:
        with torch.inference_mode():
            found = _product(x, _pack(weight), bias, "gelu").float()
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0.02, atol=0.02)


def _pack(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return packed


def _product(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor, then: str) -> torch.Tensor:
    exactly = "none" if then == "gelu" else ""
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, then, [], exactly)
    return found
