"""From features and cues to three masks and how good each is thought to be."""

from __future__ import annotations

from typing import NamedTuple

import torch  # noqa: TID253 - this module is imported when the network is
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional as F  # noqa: N812, TID253

from napari_ditto.models.ditto.cues import FINE_CHANNELS, MAP_CHANNELS, Cues, draw
from napari_ditto.models.ditto.encoder import WIDTHS, Features
from napari_ditto.models.ditto.layers import (
    Attention,
    Residual,
    Rowwise,
    pool,
    resize_like,
    weighted_mean,
)

HEADS = 3
"""Masks per object: what is meant, the smallest and the largest that it could be."""

_SIMILARITIES = 4
_WIDTHS = (12, 32, 56, 80)  # channels at strides 2, 4, 8 and 16
_STATISTICS = 6


class Projected(NamedTuple):
    """The image's part of the decoder, computed once per image and shared by its prompts."""

    s2: Tensor
    s4: Tensor
    s8: Tensor
    s16: Tensor
    keys: Tensor


class Decoded(NamedTuple):
    """Candidates for `p` objects.

    Attributes
    ----------
    logits : Tensor, shape (p, 3, h / 2, w / 2)
        Above 0 is the object.
    scores : Tensor, shape (p, 3)
        Expected IoU, before the sigmoid.
    """

    logits: Tensor
    scores: Tensor


class Decoder(nn.Module):
    """A small U-shaped network in which prompts meet the image at every stride."""

    def __init__(self) -> None:
        super().__init__()
        w2, w4, w8, w16 = _WIDTHS
        self.image = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(WIDTHS, _WIDTHS, strict=True))
        self.cues16 = nn.Conv2d(2 * MAP_CHANNELS + _SIMILARITIES, w16, 1)
        self.cues8 = nn.Conv2d(MAP_CHANNELS + _SIMILARITIES, w8, 1)
        self.cues4 = nn.Conv2d(MAP_CHANNELS, w4, 3, padding=1)
        self.cues2 = nn.Conv2d(FINE_CHANNELS, w2, 3, padding=1)
        self.down = nn.ModuleList(
            (nn.Conv2d(w4, w2, 1), nn.Conv2d(w8, w4, 1), nn.Conv2d(w16, w8, 1))
        )
        self.mix16 = nn.Sequential(Residual(w16), Attention(w16), Residual(w16))
        self.mix8 = nn.Sequential(Residual(w8), Residual(w8))
        self.mix4 = Residual(w4)
        self.mix2 = nn.Conv2d(w2, w2, 3, padding=1)
        self.mask = nn.Conv2d(w2, HEADS, 3, padding=1)
        assert self.mask.bias is not None  # noqa: S101 - for the type checker
        nn.init.constant_(self.mask.bias, -2.0)  # most of an image is not the object
        self.judge = nn.Sequential(
            Rowwise(w16 + w4 + _STATISTICS + HEADS, 64), nn.ReLU(), Rowwise(64, 1)
        )

    def project(self, features: Features) -> Projected:
        """Return what all prompts about the images share."""
        maps = [conv(x) for conv, x in zip(self.image, features[:4], strict=True)]
        s2, s4, s8, s16 = maps
        return Projected(s2, s4, s8, s16, features.keys)

    def forward(self, shared: Projected, index: Tensor | None, cues: Cues) -> Decoded:
        """Decode `p` prompts; `index`, shape (p,), says which image each is about, None its own."""
        if index is not None:
            shared = Projected(*(maps[index] for maps in shared))
        maps, fine = draw(cues)
        maps8 = pool(maps, 2)
        alike = _similarities(shared.keys, maps8)
        coarse = torch.cat((pool(maps, 4), F.max_pool2d(maps, 4), pool(alike, 2)), 1)
        d16 = self.mix16(shared.s16 + self.cues16(coarse))
        d8 = shared.s8 + self.cues8(torch.cat((maps8, alike), 1))
        # In place from here on: a fresh array of this size costs as much as a convolution.
        d8 = self.mix8(d8.add_(resize_like(self.down[2](d16), d8)))
        d4 = shared.s4 + self.cues4(maps)
        d4 = self.mix4(d4.add_(resize_like(self.down[1](d8), d4)))
        d2 = shared.s2 + self.cues2(fine)
        d2 = F.relu(d2.add_(resize_like(self.down[0](d4), d2)), inplace=True)
        logits = self.mask(F.relu(self.mix2(d2), inplace=True))
        return Decoded(logits, self._judge(logits, d16, d4, maps))

    def _judge(self, logits: Tensor, d16: Tensor, d4: Tensor, maps: Tensor) -> Tensor:
        """Return the expected IoU of each mask as a logit, shape (p, 3)."""
        masks = pool(torch.sigmoid(logits), 2)
        whole = d16.mean((2, 3))[:, None].expand(-1, HEADS, -1)
        under = weighted_mean(d4, masks)
        which = torch.eye(HEADS, device=logits.device, dtype=logits.dtype)
        which = which.expand(len(logits), -1, -1)
        said = torch.cat((whole, under, _statistics(masks, maps[:, :1]), which), -1)
        return self.judge(said).squeeze(-1)  # type: ignore[no-any-return]


def _similarities(keys: Tensor, maps: Tensor) -> Tensor:
    """Return how alike every place is to what lies under the cues, shape (p, 4, h, w).

    Under positive points, under negative points, in the box or previous mask, round the box.
    """
    positive, negative, fill, ring, previous = (maps[:, i] for i in (0, 1, 4, 5, 6))
    weights = torch.stack((positive, negative, fill + 2 * previous, ring), 1)
    means = F.normalize(weighted_mean(keys, weights), dim=-1)
    alike = torch.bmm(means, keys.flatten(2)).reshape(weights.shape)
    return alike * (weights.flatten(2).sum(-1) > 1e-3)[..., None, None]


def _statistics(masks: Tensor, clicks: Tensor) -> Tensor:
    """Return what a mask's own probabilities say about it, shape (p, 3, 6)."""
    flat = masks.flatten(2)
    area = flat.sum(-1)
    sure = (flat * (flat > 0.5)).sum(-1) / (flat > 0.5).sum(-1).clamp_min(1)
    crisp = (2 * flat - 1).abs().mean(-1)
    stable = (flat > 0.7).sum(-1) / (flat > 0.3).sum(-1).clamp_min(1)
    hit = (masks * clicks).flatten(2).sum(-1) / clicks.flatten(2).sum(-1).clamp_min(1e-3)
    edge = torch.cat((masks[..., 0, :], masks[..., -1, :], masks[..., 0], masks[..., -1]), -1)
    size = (area / flat.shape[-1]).clamp_min(1e-6).sqrt()
    return torch.stack((sure, crisp, stable, hit, edge.mean(-1), size), -1)
