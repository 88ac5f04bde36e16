"""Prompts and an image's features in, coarse masks out: what the library's decoder does, folded.

One pass gives every mask that the decoder knows, the single one and those for an ambiguous prompt;
the library computes all of them too, but shows one kind at a time.

Symbols of shapes: b prompts, n positions of the encoder's map, c channels, m masks, of which w are
wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.decoding.two_way import Each, TwoWay, Views
from napari_ditto.models.decoding.upscaling import Filters, Upscaling, assemble, matrix
from napari_ditto.models.decoding.written import Lens, Written, first_stage

Features = Mapping[str, torch.Tensor]
"""What the encoder gave for one image, arrays of shape (1, ...)."""

Grid = tuple[int, int]

_NO_PROMPTS: dict[str, torch.Tensor | None] = dict.fromkeys(
    ("input_points", "input_labels", "input_boxes", "input_masks")
)


STRIP = 512
"""Cells that are upscaled at once: what they become in between stays in a core's cache."""


GROUP_BYTES = 8
"""Numbers of so many bytes are those of a group: four prompts in half precision, two in float32."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What is computed once for an image, whatever is asked about it.

    Attributes
    ----------
    seen : Views
        What the layers of the transformer see of the encoder's map, with what stands for "no mask".
    quarters : Tensor, shape (n, 4 k)
        The first step of upscaling, but for its bias.
    still : Tensor, shape (1 or n, 4 k)
        What is added to these.
    finer : tuple of Tensor
        What a family adds, at finer sizes.
    """

    seen: Views
    quarters: torch.Tensor
    still: torch.Tensor
    finer: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder says to b prompts.

    Attributes
    ----------
    masks : Tensor of float32, shape (b, w, 4 rows, 4 columns)
        Logits of those that were wanted.
    scores : Tensor of float32, shape (b, m)
        Estimated IoU of all, not clipped: the single mask, then those for an ambiguous prompt.
    """

    masks: torch.Tensor
    scores: torch.Tensor


Wanted = Callable[[torch.Tensor], torch.Tensor]
"""Which masks (b, w) are wanted by what the scores (b, m) of all are: they are known before."""


Painted = Callable[[torch.Tensor], torch.Tensor]
"""Makes chosen masks (b, w) into logits (b, w, 4 rows, 4 columns)."""


def everything(scores: torch.Tensor) -> torch.Tensor:
    """Want every mask."""
    return torch.arange(scores.shape[1], device=scores.device).expand_as(scores)


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
        self._group = GROUP_BYTES // dtype.itemsize
        self._grid: Grid = (position.shape[2], position.shape[3])
        self._no_mask = self._prompts.no_mask_embed.weight.detach()
        drawn = Drawn(self._prompts.mask_embed, self._no_mask)
        self._drawn, where = drawn, positions(position)[0]
        self._two_way = TwoWay(decoder.transformer, first_stage(drawn.rows), where, dtype)
        self._quarters = Lens(*matrix(decoder.upscale_conv1), self._two_way.stage)
        self._still = self._quarters.still.to(where).to(dtype)[None]
        self._upscaling = Upscaling(decoder.upscale_layer_norm, decoder.upscale_conv2, dtype)
        self._filters = Filters(self._networks())
        self._tokens = torch.cat([t.weight.detach() for t in self._output_tokens()])

    def plan(self, features: Features) -> Plan:
        """Return what can be computed before anything is asked."""
        image = positions(features["image"])[0] + self._no_mask
        quarters = self._quarters.of(image).to(self._dtype)
        return Plan(self._two_way.of(image), quarters, self._still)

    @torch.inference_mode()
    def __call__(
        self,
        plan: Plan,
        prompts: Mapping[str, torch.Tensor],
        seen: Grid | None = None,
        each: Each = map,
        wanted: Wanted = everything,
    ) -> Decoded:
        """Return masks for prompts of one kind, given as the library wants them.

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
        wanted : callable
            Which masks; by default all.
        """
        given = dict(prompts)
        masks = given.pop("input_masks", None)
        sparse, _ = self._prompts(**(_NO_PROMPTS | given))
        asked = sparse.flatten(0, 1)
        marks = torch.cat([self._tokens.expand(len(asked), -1, -1), asked], dim=1)
        images = [blank_image(plan.quarters, len(some)) for some in torch.split(asked, self._group)]
        if masks is not None:
            some = torch.split(masks, self._group)
            images = [self._drawn.on(i, m) for i, m in zip(images, some, strict=True)]
        kept = len(self._tokens)
        tokens, images = self._two_way(marks, plan.seen, images, kept, each)
        first = self.first_mask_token
        filters = self._filters(tokens[:, first : first + len(self._networks())])
        scores = self._decoder.iou_prediction_head(tokens[:, first - 1])
        painted = partial(self._painted, plan, images, filters, seen or self._grid, each)
        return self._answer(scores, wanted(scores), painted)

    # --- what a family changes --------------------------------------------------------------

    def _output_tokens(self) -> list[Any]:
        """Return the tokens that come before those of the prompts."""
        return [self._decoder.iou_token, self._decoder.mask_tokens]

    def _networks(self) -> list[Any]:
        """Return the networks that make filters of the mask tokens."""
        return list(self._decoder.output_hypernetworks_mlps)

    def _answer(self, scores: torch.Tensor, chosen: torch.Tensor, painted: Painted) -> Decoded:
        """Return the masks (b, w) that were chosen by scores (b, m)."""
        return Decoded(painted(chosen), scores)

    def _picked(self, filters: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return the filters (b, w, c / 8) of chosen masks (b, w)."""
        return filters[torch.arange(len(chosen), device=chosen.device)[:, None], chosen]

    # --- shared ------------------------------------------------------------------------------

    def _painted(
        self,
        plan: Plan,
        images: list[Written],
        filters: torch.Tensor,
        seen: Grid,
        each: Each,
        chosen: torch.Tensor,
    ) -> torch.Tensor:
        picked = self._picked(filters, chosen).to(self._dtype)
        alone = chain.from_iterable(image.apart() for image in images)
        return torch.stack(list(each(partial(self._masks, plan, seen), picked, alone))).float()

    @torch.inference_mode()  # which a thread does not inherit
    def _masks(self, plan: Plan, seen: Grid, filters: torch.Tensor, image: Written) -> torch.Tensor:
        """Return the answers of filters (m, c / 8) in a part of an image, (m, rows, columns)."""
        cells = filters.new_empty(len(filters), 16 * seen[0] * seen[1])
        for rows, fine in self._upscaled(plan, image, seen):
            torch.mm(filters, fine.T, out=cells[:, rows])
        return assemble(cells, *seen)

    def _upscaled(
        self, plan: Plan, image: Written, seen: Grid
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield parts (16 strip, c / 8) of an upscaled image, and which they are."""
        for rows, quarters in self._in_strips(plan, image, seen):
            yield times(16, rows), self._upscaling.gelu(quarters)

    def _in_strips(
        self, plan: Plan, image: Written, seen: Grid
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield parts (4 strip, c / 4) of an image after the first step, and which cells."""
        coarse, rows = plan.quarters, image.rows(self._quarters.sources)[0].to(self._dtype)
        scale, still = image.scale[0].to(self._dtype), plan.still
        weights, scale = image.weights[0] * scale, scale[:, None]
        if seen != self._grid:
            weights = self._part(weights.T, seen).T
            coarse, scale = self._part(coarse, seen), self._part(scale, seen)
        for some in strips(coarse):
            always = still if len(still) == 1 else still[some]
            found = torch.addcmul(always, coarse[some], scale[some])
            found.addmm_(weights[:, some].T, rows)
            yield some, found.reshape(4 * len(found), -1)

    def _part(self, image: torch.Tensor, seen: Grid) -> torch.Tensor:
        """Return the first rows and columns of an image (n, c)."""
        whole = image.reshape(*self._grid, -1)
        return whole[: seen[0], : seen[1]].flatten(0, 1)


class Drawn:
    """A rough mask as the prompt encoder adds it to the image: few channels, times few rows.

    Attributes
    ----------
    rows : Tensor, shape (r, c)
        The last is always there, and takes away what stands for "no mask".
    """

    def __init__(self, embedding: Any, no_mask: torch.Tensor) -> None:  # noqa: ANN401
        self._embedding, last = embedding, embedding.conv3
        bias = last.bias.detach()[None] - no_mask
        self.rows = torch.cat([last.weight.detach().flatten(1).T, bias])
        self._all = torch.eye(len(self.rows), device=bias.device)[None, None]

    def on(self, image: Written, masks: torch.Tensor) -> Written:
        """Return the images of a group with masks (g, 1, y, x) on them."""
        part = self._embedding
        x = part.activation(part.layer_norm1(part.conv1(masks)))
        x = part.activation(part.layer_norm2(part.conv2(x))).flatten(2)
        weights = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        told = self._all.expand(len(x), -1, -1, -1)
        return replace(image, weights=weights.to(image.weights), told=((0, told),))


def blank_image(table: torch.Tensor, prompts: int) -> Written:
    """Return images that nobody has written into, for a table (n, m) of them."""
    ones = torch.ones(prompts, len(table), device=table.device)
    return Written(table.new_empty(prompts, 0, len(table)), ones)


def strips(image: torch.Tensor) -> Iterator[slice]:
    """Yield which cells of an image (n, c) to work on at once; a GPU takes them all."""
    step = STRIP if image.device.type == "cpu" else len(image)
    for start in range(0, len(image), step):
        yield slice(start, min(start + step, len(image)))


def positions(features: torch.Tensor) -> torch.Tensor:
    """Return maps (b, c, h, w) as positions, (b, h w, c)."""
    return features.flatten(2).transpose(1, 2).contiguous()


def times(parts: int, rows: slice) -> slice:
    """Return the parts of some cells, of all parts in order."""
    return slice(parts * rows.start, parts * rows.stop)
