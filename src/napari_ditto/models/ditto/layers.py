"""The building blocks of the network."""

from __future__ import annotations

import torch  # noqa: TID253 - this module is imported when the network is
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253


class InvertedResidual(nn.Module):
    """Expand, filter by depth, project (Sandler et al. 2018), batch norms folded into biases."""

    def __init__(self, kernel: int, stride: int, expand: int, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = inputs * expand
        self.expand = nn.Conv2d(inputs, middle, 1) if expand > 1 else None
        self.depthwise = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle)
        self.project = nn.Conv2d(middle, outputs, 1)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        # In place: a fresh array of this size costs as much as the convolution before it.
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        out: Tensor = y.add_(x) if self.skip else y
        return out


class Residual(nn.Module):
    """A wide depthwise filter and a two-layer mix of channels, added to the input (ConvNeXt)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        wide = F.relu(self.widen(self.norm(self.depthwise(x))), inplace=True)
        mixed: Tensor = self.narrow(wide)
        return mixed.add_(x)


class Attention(nn.Module):
    """Self-attention over the positions of a coarse map, added to the input."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(-1, -2).reshape(n, c, h, w))
        return x + out


class Rowwise(nn.Linear):
    """A linear layer whose rows are computed alike, however many there are.

    For a few rows; the last bits of a matrix product depend on their number.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return (x[..., None, :] * self.weight).sum(-1) + self.bias


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Resample a map bilinearly to the height and width of another."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def pool(x: Tensor, side: int) -> Tensor:
    """Return means over `side` x `side` squares."""
    return F.avg_pool2d(x, side)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return means of values (n, c, h, w) under weights (n, m, h, w), shape (n, m, c)."""
    total = weights.flatten(2).sum(-1, keepdim=True)
    sums = torch.bmm(weights.flatten(2), values.flatten(2).transpose(1, 2))
    return sums / total.clamp_min(1e-6)
