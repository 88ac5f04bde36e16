"""What is kept of a frame: the library's memory encoder, channels last, the image's part once."""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253  # imported with the family
from torch.nn.functional import conv2d, gelu, layer_norm  # noqa: TID253

from napari_ditto.models.packed import PackedLinear


class MemoryEncoder:
    """Runs the weights of ``Sam2VideoMemoryEncoder``, one with GELU.

    Parameters
    ----------
    network : torch.nn.Module
        The library's whole model on its device. What is kept is rounded, so this is float32.
    """

    @torch.inference_mode()
    def __init__(self, network: Any) -> None:  # noqa: ANN401
        parts = network.memory_encoder
        self._steps = [(_Convolution(s.conv), s.layer_norm) for s in parts.mask_downsampler.layers]
        self._mask = _linear(parts.mask_downsampler.final_conv)
        self._image = _linear(parts.feature_projection)
        self._fuser = [_Fusing(layer) for layer in parts.memory_fuser.layers]
        self._out = _linear(parts.projection)

    def project(self, image: torch.Tensor) -> torch.Tensor:
        """Return what an image (1, c, s, s) brings into the memory of each object, (1, s, s, c)."""
        return self._image(image.permute(0, 2, 3, 1).contiguous())

    def __call__(self, projected: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the features (d, s, s) of a mask (16 s, 16 s), given the image projected."""
        x = mask[None, :, :, None]
        for convolution, norm in self._steps:
            x = gelu(_normed(convolution(x), norm))
        x = projected + self._mask(x)
        for layer in self._fuser:
            x = layer(x)
        return self._out(x)[0].permute(2, 0, 1)


class _Fusing:
    """One block of the library's fuser, a ConvNeXt block (Liu et al. 2022)."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        self._deep, self._norm = _Convolution(layer.depthwise_conv), layer.layer_norm
        self._wide = PackedLinear(layer.pointwise_conv1.weight, layer.pointwise_conv1.bias)
        narrow = layer.pointwise_conv2
        self._narrow = PackedLinear(narrow.weight * layer.scale[:, None], narrow.bias * layer.scale)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x + self._narrow(self._wide.gelu(_normed(self._deep(x), self._norm)))


class _Convolution:
    """A convolution of maps (b, h, w, c)."""

    def __init__(self, conv: Any) -> None:  # noqa: ANN401
        self._weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        self._bias, self._how = conv.bias.detach(), (conv.stride, conv.padding, 1, conv.groups)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        found = conv2d(x.permute(0, 3, 1, 2), self._weight, self._bias, *self._how)
        return found.permute(0, 2, 3, 1).contiguous()


def _linear(conv: Any) -> PackedLinear:  # noqa: ANN401
    return PackedLinear(conv.weight.flatten(1), conv.bias)


def _normed(x: torch.Tensor, norm: Any) -> torch.Tensor:  # noqa: ANN401
    return layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
