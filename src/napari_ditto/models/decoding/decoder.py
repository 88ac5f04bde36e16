"""Prompts and an image's features in, coarse masks out: what the library's decoder does, folded.

One pass gives every mask that the decoder knows, the single one and those for an ambiguous prompt;
the library computes all of them too, but shows one kind at a time.

Symbols of shapes: b prompts, h and w of the encoder's map, n = h w positions, c channels, m masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch  # noqa: TID253  # imported with a family
from torch.nn.functional import gelu  # noqa: TID253

from napari_ditto.models.decoding.two_way import Each, TwoWay, strips
from napari_ditto.models.decoding.upscaling import Filters, Upscaling, assemble

Features = Mapping[str, torch.Tensor]
"""What the encoder gave for one image, arrays of shape (1, ...)."""

Grid = tuple[int, int]

_NO_PROMPTS: dict[str, torch.Tensor | None] = dict.fromkeys(
    ("input_points", "input_labels", "input_boxes", "input_masks")
)


@dataclass(frozen=True, eq=False)
class Plan:
    """What is computed once for an image, whatever is asked about it.

    Attributes
    ----------
    image : Tensor, shape (n, c)
        The encoder's map, with what stands for "no mask".
    finer : tuple of Tensor
        What a family adds to it, at finer sizes.
    """

    image: torch.Tensor
    finer: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder says to b prompts.

    Attributes
    ----------
    masks : Tensor of float32, shape (b, m, 4 rows, 4 columns)
        Logits: the single mask, then those for an ambiguous prompt.
    scores : Tensor of float32, shape (b, m)
        Estimated IoU, not clipped.
    """

    masks: torch.Tensor
    scores: torch.Tensor


class MaskDecoder:
    """The decoder of SAM.

    Parameters
    ----------
    network : torch.nn.Module
        The library's whole model on its device; its parameters are used as they are or packed.
    dtype : torch.dtype
        What the image is computed with; tokens are always float32.
    """

    first_mask_token = 1

    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:  # noqa: ANN401
        decoder = network.mask_decoder
        self._decoder, self._prompts, self._dtype = decoder, network.prompt_encoder, dtype
        position = network.get_image_wide_positional_embeddings().detach()
        self._grid: Grid = (position.shape[2], position.shape[3])
        self._no_mask = self._prompts.no_mask_embed.weight.detach()
        self._two_way = TwoWay(decoder.transformer, positions(position)[0].to(dtype))
        self._upscaling = Upscaling(
            decoder.upscale_conv1, decoder.upscale_layer_norm, decoder.upscale_conv2, dtype
        )
        self._filters = Filters(self._networks())
        self._tokens = torch.cat([t.weight.detach() for t in self._output_tokens()])

    def plan(self, features: Features) -> Plan:
        """Return what can be computed before anything is asked."""
        return Plan((positions(features["image"])[0] + self._no_mask).to(self._dtype))

    @torch.inference_mode()
    def __call__(
        self,
        plan: Plan,
        prompts: Mapping[str, torch.Tensor],
        seen: Grid | None = None,
        each: Each = map,
    ) -> Decoded:
        """Return all masks for prompts of one kind, given as the library wants them.

        Parameters
        ----------
        plan : Plan
            Of the image.
        prompts : mapping of str to Tensor
            Keyword arguments of the library's prompt encoder.
        seen : (int, int), optional
            How many rows and columns of the encoder's map masks are wanted of; by default all.
        each : callable
            How the images of several prompts are gone through, e.g. a thread pool's ``map``.
        """
        sparse, dense = self._prompts(**(_NO_PROMPTS | dict(prompts)))
        asked = sparse.flatten(0, 1)
        marks = torch.cat([self._tokens.expand(len(asked), -1, -1), asked], dim=1)
        images = [plan.image] * len(asked)
        if "input_masks" in prompts:
            images = list(plan.image + (positions(dense) - self._no_mask).to(self._dtype))
        tokens, images = self._two_way(marks, images, each)
        return self._answer(plan, tokens, images, seen or self._grid, each)

    # --- what a family changes --------------------------------------------------------------

    def _output_tokens(self) -> list[Any]:
        """Return the tokens that come before those of the prompts."""
        return [self._decoder.iou_token, self._decoder.mask_tokens]

    def _networks(self) -> list[Any]:
        """Return the networks that make filters of the mask tokens."""
        return list(self._decoder.output_hypernetworks_mlps)

    def _answer(
        self,
        plan: Plan,
        tokens: torch.Tensor,
        images: list[torch.Tensor],
        seen: Grid,
        each: Each,
    ) -> Decoded:
        """Return what tokens (b, t, c) and images (n, c) say in the end."""
        first = self.first_mask_token
        filters = self._filters(tokens[:, first : first + len(self._networks())]).to(self._dtype)
        scores = self._decoder.iou_prediction_head(tokens[:, first - 1])
        masks = each(partial(self._masks, plan, seen), filters, images)
        return Decoded(torch.stack(list(masks)).float(), scores)

    @torch.inference_mode()  # which a thread does not inherit
    def _masks(
        self, plan: Plan, seen: Grid, filters: torch.Tensor, image: torch.Tensor
    ) -> torch.Tensor:
        """Return the answers of filters (m, c / 8) in a part of an image, (m, rows, columns)."""
        cells = filters.new_empty(len(filters), 16 * seen[0] * seen[1])
        for rows, fine in self._upscaled(plan, self._part(image, seen)):
            torch.mm(filters, fine.T, out=cells[:, rows])
        return assemble(cells, *seen)

    def _upscaled(self, plan: Plan, image: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield parts (16 strip, c / 8) of an upscaled image, and which they are."""
        for rows in strips(image):
            yield times(16, rows), gelu(self._upscaling(image[rows]))

    def _part(self, image: torch.Tensor, seen: Grid) -> torch.Tensor:
        """Return the first rows and columns of an image (n, c)."""
        if seen == self._grid:
            return image
        whole = image.reshape(*self._grid, -1)
        return whole[: seen[0], : seen[1]].flatten(0, 1)


def positions(features: torch.Tensor) -> torch.Tensor:
    """Return maps (b, c, h, w) as positions, (b, h w, c)."""
    return features.flatten(2).transpose(1, 2).contiguous()


def times(parts: int, rows: slice) -> slice:
    """Return the parts of some cells, of all parts in order."""
    return slice(parts * rows.start, parts * rows.stop)
