"""The image encoder: EfficientNet-Lite0 up to stride 16, and a feature pyramid on top."""

from __future__ import annotations

from typing import NamedTuple

import torch  # noqa: TID253 - this module is imported when the network is
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from napari_ditto.models.ditto.layers import InvertedResidual, Residual, resize_like

STRIDE = 16
"""Sides of an input must be multiples of this."""

BLOCKS = (  # kernel, stride, expansion, inputs, outputs: Tan & Le 2019, Lite0, blocks 0 to 10
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
)
_TAPS = (0, 2, 4, 10)  # the last block at strides 2, 4, 8 and 16
_TAP_CHANNELS = (16, 24, 40, 112)
WIDTHS = (16, 48, 64, 96)
"""Channels of the pyramid at strides 2, 4, 8 and 16."""

KEY_CHANNELS = 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Features(NamedTuple):
    """What is computed once per image, everything (n, channels, h / stride, w / stride)."""

    s2: Tensor
    s4: Tensor
    s8: Tensor
    s16: Tensor
    keys: Tensor
    """Unit vectors at stride 8: near each other where things are alike."""


class Backbone(nn.Module):
    """Blocks 0 to 10 of EfficientNet-Lite0 with the batch norms folded in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.blocks = nn.ModuleList(InvertedResidual(*block) for block in BLOCKS)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map an image (n, 3, h, w) in [0, 1] to its features at strides 2, 4, 8 and 16."""
        x = F.relu6(self.stem((image - self.mean).div_(self.std)), inplace=True)
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in _TAPS:
                taps.append(x)
        return taps


class Encoder(nn.Module):
    """Backbone and top-down pyramid (Lin et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        pairs = zip(_TAP_CHANNELS, WIDTHS, strict=True)
        self.lateral = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
        downward = zip(WIDTHS[1:], WIDTHS[:-1], strict=True)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in downward)
        self.mix = nn.ModuleList(Residual(c) for c in WIDTHS[1:])
        self.key = nn.Conv2d(WIDTHS[2], KEY_CHANNELS, 1)

    def forward(self, image: Tensor) -> Features:
        """Encode (n, 3, h, w) in [0, 1]; sides are multiples of :data:`STRIDE`."""
        taps = self.backbone(image)
        s16 = self.mix[2](self.lateral[3](taps[3]))
        s8 = self.mix[1](self._merge(2, taps, s16))
        s4 = self.mix[0](self._merge(1, taps, s8))
        s2 = F.relu(self._merge(0, taps, s4), inplace=True)
        return Features(s2, s4, s8, s16, F.normalize(self.key(s8), dim=1))

    def _merge(self, level: int, taps: list[Tensor], coarser: Tensor) -> Tensor:
        lateral = self.lateral[level](taps[level])
        return lateral.add_(resize_like(self.down[level](coarser), lateral))  # type: ignore[no-any-return]
