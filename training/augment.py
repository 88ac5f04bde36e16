"""Random views of crops: geometry for image and labels, appearance for the image alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def chance(n: int, p: float) -> Tensor:
    """Return n draws that are True with probability p."""
    return torch.rand(n) < p


def uniform(n: int, low: float, high: float) -> Tensor:
    """Return n draws between two numbers."""
    return low + (high - low) * torch.rand(n)


def warp(
    images: Tensor, layers: Tensor, side: int, scales: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Cut, turn, flip and stretch.

    Parameters
    ----------
    images : Tensor of uint8, shape (n, 3, h, h)
        Crops.
    layers : Tensor of uint8, shape (n, 3, h, h)
        Their nested instance labels.
    side : int
        Of the result, pixels.
    scales : (float, float)
        Least and largest part of the crop's side that is shown.

    Returns
    -------
    images : Tensor of float32, shape (n, 3, side, side), in [0, 1]
    layers : Tensor of int64, shape (n, 3, side, side)
    """
    n = len(images)
    scale = uniform(n, *scales)
    stretch = torch.exp(0.12 * torch.randn(n))
    quarter = torch.randint(0, 4, (n,)) * (math.pi / 2)
    angle = torch.where(chance(n, 0.4), uniform(n, -math.pi, math.pi), quarter)
    flip = torch.where(chance(n, 0.5), -torch.ones(n), torch.ones(n))
    cos, sin = torch.cos(angle), torch.sin(angle)
    room = (1 - scale).clamp_min(0)
    shift = uniform(2 * n, -1, 1).reshape(n, 2) * room[:, None]
    a, b = scale * stretch, scale / stretch
    theta = torch.stack(
        (
            torch.stack((a * cos * flip, -b * sin, shift[:, 0]), 1),
            torch.stack((a * sin * flip, b * cos, shift[:, 1]), 1),
        ),
        1,
    )
    grid = F.affine_grid(theta, [n, 3, side, side], align_corners=False)
    image = F.grid_sample(images.float() / 255, grid, "bilinear", "reflection", align_corners=False)
    label = F.grid_sample(layers.float(), grid, "nearest", "zeros", align_corners=False)
    # Outside of the crop the image is reflected but has no labels: what is out is not shown.
    outside = (grid.abs() > 1).any(-1)[:, None]
    return torch.where(outside, torch.zeros(()), image), label.long()


def recolor(images: Tensor) -> Tensor:
    """Change colour, contrast, polarity, sharpness and noise of images (n, 3, h, w) in [0, 1]."""
    n = len(images)
    x = _where(chance(n, 0.25), images.mean(1, keepdim=True).expand_as(images), images)
    mixing = torch.eye(3) + 0.35 * torch.randn(n, 3, 3)
    mixing = mixing / mixing.sum(2, keepdim=True).clamp_min(0.5)
    x = _where(chance(n, 0.3), torch.einsum("nij,njhw->nihw", mixing, x).clamp(0, 1), x)
    x = _where(chance(n, 0.3), 1 - x, x)
    x = x.clamp(0, 1) ** torch.exp(0.4 * torch.randn(n)).view(n, 1, 1, 1)
    gain, mean = uniform(n, 0.5, 1.15).view(n, 1, 1, 1), x.mean((1, 2, 3), keepdim=True)
    lift = uniform(n, -0.1, 0.1).view(n, 1, 1, 1)
    x = _where(chance(n, 0.5), (x - mean) * gain + mean + lift, x)
    x = _where(chance(n, 0.2), _blur(x), x)
    x = _where(chance(n, 0.15), _coarse(x), x)
    sigma = (uniform(n, 0, 0.07) * chance(n, 0.5)).view(n, 1, 1, 1)
    grain = torch.randn(n, 1, *x.shape[2:]) if torch.rand(()) < 0.5 else torch.randn_like(x)
    return (x + sigma * grain).clamp(0, 1)


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, 1, 1, 1), a, b)


def _blur(x: Tensor) -> Tensor:
    sigma = float(uniform(1, 0.5, 1.8))
    at = torch.arange(-4, 5, dtype=x.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 9)
    x = F.conv2d(F.pad(x, (4, 4, 0, 0), "reflect"), kernel, groups=3)
    return F.conv2d(F.pad(x, (0, 0, 4, 4), "reflect"), kernel.transpose(2, 3), groups=3)


def _coarse(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:], mode="bilinear")
