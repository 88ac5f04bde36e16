"""The decoder of SAM-HQ: one more token, one more branch of upscaling, added to every mask.

Ke et al. 2023, Segment Anything in High Quality. What the branch makes of the encoder's features
belongs to the image; only what it makes of the upscaled image has to be done for each prompt, and
its last convolution is folded into the token's filter, for nothing but one number is asked of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch  # noqa: TID253  # imported with a family
from torch.nn.functional import conv2d, fold, gelu  # noqa: TID253

from napari_ditto.models.decoding.decoder import Features, Grid, MaskDecoder, Plan, positions
from napari_ditto.models.decoding.upscaling import Norm, Quadruple, Upscaling, assemble
from napari_ditto.models.decoding.written import Written


class HQMaskDecoder(MaskDecoder):
    """The decoder of SAM-HQ."""

    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:  # noqa: ANN401
        super().__init__(network, dtype)
        part = network.mask_decoder
        self._early = Quadruple(part.compress_vit_conv1, dtype)
        self._finer_early = Upscaling(part.compress_vit_norm, part.compress_vit_conv2, dtype)
        self._late = Quadruple(part.encoder_conv1, dtype)
        self._finer_late = Upscaling(part.encoder_norm, part.encoder_conv2, dtype)
        weight = part.mask_conv1.weight.detach().to(dtype)
        self._wide = weight.contiguous(memory_format=torch.channels_last)
        self._wide_bias = part.mask_conv1.bias.detach().to(dtype)
        self._norm = Norm(part.mask_norm, dtype)
        # Flipped, because `fold` spreads a value where a convolution gathers it.
        self._narrow = part.mask_conv2.weight.detach().flip((2, 3)).flatten(1).to(dtype)
        self._narrow_bias = part.mask_conv2.bias.detach().to(dtype)

    def plan(self, features: Features) -> Plan:
        """Return what can be computed before anything is asked, features (c / 8, 4 h, 4 w)."""
        early = self._early(features["early"][0].flatten(0, 1).to(self._dtype))
        late = self._late(positions(features["image"])[0].to(self._dtype))
        both = self._finer_early(early) + self._finer_late(late)
        return replace(super().plan(features), finer=(assemble(both.T, *self._grid),))

    def _output_tokens(self) -> list[Any]:
        return [*super()._output_tokens(), self._decoder.hq_token]

    def _networks(self) -> list[Any]:
        return [*super()._networks(), self._decoder.hq_mask_mlp]

    def _picked(self, filters: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return the filters of chosen masks, and the one of the sharp mask."""
        return torch.cat([super()._picked(filters, chosen), filters[:, -1:]], dim=1)

    @torch.inference_mode()  # which a thread does not inherit
    def _masks(self, plan: Plan, seen: Grid, filters: torch.Tensor, image: Written) -> torch.Tensor:
        """Return masks with the sharp one added; it looks a pixel or two beyond what is `seen`."""
        rows, columns = (min(s + 1, g) for s, g in zip(seen, self._grid, strict=True))
        fine = torch.cat([strip for _, strip in self._upscaled(plan, image, (rows, columns))])
        masks = assemble(filters[:-1] @ fine.T, rows, columns)
        picture = assemble(fine.T, rows, columns)
        sharp = plan.finer[0][:, : 4 * rows, : 4 * columns]
        masks += self._sharpened(filters[-1], picture)
        masks += torch.tensordot(filters[-1], sharp, 1)
        return masks[:, : 4 * seen[0], : 4 * seen[1]]

    def _sharpened(self, wanted: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        """Return the answer of a filter (c / 8,) in a picture (c / 8, y, x), convolved twice."""
        like = picture[None].contiguous(memory_format=torch.channels_last)
        x = conv2d(like, self._wide, self._wide_bias, padding=1)[0].permute(1, 2, 0)
        x = gelu(self._norm(x)).flatten(0, 1)
        kernel = (wanted @ self._narrow).reshape(-1, 9)
        height, width = picture.shape[1:]
        spread = fold((x @ kernel).T[None], (height + 2, width + 2), 3)
        found: torch.Tensor = spread[0, 0, 1:-1, 1:-1] + wanted @ self._narrow_bias
        return found
