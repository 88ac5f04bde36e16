"""Linear layers that multiply bytes: one scale for each output's weights, one for each row given.

CPUs with VNNI multiply bytes twice as fast as bfloat16 and four times as fast as float32. PyTorch
reaches that only through private operators. They are tried before they are used; without them the
same is computed with float32, no faster.

Rounding both factors to 8 bits costs about 1 % of what a layer returns, more where a few channels
are far larger than the rest, for one row has one scale.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

import torch  # noqa: TID253  # imported with a family's network
from torch.nn.functional import linear  # noqa: TID253

from napari_ditto.models.numerics import remembered

LEAST_GELU = -0.17
"""GELU never returns less."""

_ROUND = 1.5 * 2**23
"""Added to a float32, it rounds it and leaves the integer in the lowest bits."""


class Int8Linear:
    """``x W^T + b`` with weights and inputs rounded to 8 bits; without gradients.

    Parameters
    ----------
    weight : Tensor, shape (o, i)
        In any precision.
    bias : Tensor, shape (o,), or None
        Zeros if None.
    dtype : torch.dtype
        What to return; inputs may have any.
    least : float or None
        What inputs never fall below; then they have all 8 bits above it, else 7 and a sign.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        dtype: torch.dtype = torch.float32,
        least: float | None = None,
    ) -> None:
        weight = weight.detach().float()
        self.outputs, self._dtype, self._least = len(weight), dtype, least
        self.bias = weight.new_zeros(len(weight)) if bias is None else bias.detach().float()
        scale = (weight.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        rounded = (weight / scale[:, None]).round()
        # What is taken from all inputs to make them positive is given back here.
        self._offset = self.bias + (least or 0) * scale * rounded.sum(1)
        self._zero = 128 if least is None else 0
        works = weight.device.type == "cpu" and multiplies_bytes()
        self._product = (_packed if works else _plain)(rounded, scale, self._zero)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product, shape (..., o); writes into inputs of float32."""
        return self._sum(x).to(self._dtype)

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        """Return the exact GELU of the product, shape (..., o); writes into inputs of float32."""
        y = self._sum(x)
        torch.ops.aten.gelu_(y)
        return y.to(self._dtype)

    def _sum(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1]).float()
        step, first = self._scale(rows)
        y = self._product(rows.mul_(step.reciprocal()).add_(first))
        return torch.addcmul(self._offset, y, step, out=y).view(*x.shape[:-1], self.outputs)

    def _scale(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        """Return the step of each row, (n, 1), and what turns its numbers into bytes."""
        high = rows.amax(1, keepdim=True)
        if self._least is None:
            high = torch.maximum(high, -rows.amin(1, keepdim=True))
            step = (high / 127).clamp_min(torch.finfo(torch.float32).tiny)
            return step, _ROUND + self._zero
        step = (high.clamp_min(0) - self._least) / 255
        return step, _ROUND - self._least / step


Product = Callable[[torch.Tensor], torch.Tensor]


def _packed(weight: torch.Tensor, scale: torch.Tensor, zero: int) -> Product:
    """Return the product of bytes, which are the lowest of the numbers given."""
    operators = torch.ops.onednn
    packed = operators.qlinear_prepack(weight.to(torch.int8), None)
    weight_zeros = torch.zeros(len(scale), dtype=torch.int32)

    def product(rounded: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = operators.qlinear_pointwise(
            rounded.view(torch.int32).to(torch.uint8), 1.0, zero,
            packed, scale, weight_zeros, None,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return found

    return product


def _plain(weight: torch.Tensor, scale: torch.Tensor, zero: int) -> Product:
    """Return the same product by public operators, on any device."""
    real = weight * scale[:, None]
    return lambda rounded: linear(rounded - (_ROUND + zero), real)


@cache
def multiplies_bytes() -> bool:
    """Whether PyTorch's private operators are there and right, for the largest bytes too.

    CPUs without VNNI add pairs of products in 16 bits, which can overflow.
    """
    weight = torch.tensor([[127.0], [-127.0], [1.0]]).repeat(1, 72)
    for zero in (0, 128):
        given = torch.tensor([[255.0], [0.0], [130.0]]).repeat(1, 72)
        expected = (given - zero) @ weight.T
        try:
            with torch.inference_mode():
                found = _packed(weight, torch.ones(3), zero)(given + _ROUND)
        except (AttributeError, RuntimeError, TypeError, NotImplementedError):
            return False
        if not torch.equal(found, expected):
            return False
    return True


@cache
def is_fast() -> bool:
    """Whether this CPU multiplies bytes faster than float32: timed once per machine.

    Where oneDNN has no instructions for them it can take a thousand times as long: too long even
    for a trial.
    """

    def timed() -> str:
        return "fast" if multiplies_bytes() and _seconds_saved() > 0 else "slow"

    return remembered("cpu", "products of bytes", ("fast", "slow"), timed) == "fast"


@torch.inference_mode()
def _seconds_saved() -> float:
    weight, scale = torch.ones(256, 256), torch.ones(256)
    given = torch.ones(64, 256)
    single, bytewise = partial(linear, given, weight), _packed(weight, scale, 0)
    return _least_seconds(single) - _least_seconds(partial(bytewise, given + _ROUND))


def _least_seconds(call: Callable[[], object]) -> float:
    found = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)
