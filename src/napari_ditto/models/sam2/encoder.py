"""SAM 2's image encoder, Hiera and its neck, with the library's weights and results in less time.

Ryali et al. 2023, Hiera; Bolya et al. 2023, Window Attention is Bugged (positions); Ravi et al.
2024, SAM 2, appendix C. Unlike in the library's code,

- tokens are kept in an order in which pooling and most windows need no copies (:mod:`.quads`);
- the first two stages run band by band, so that what they compute stays in the cache;
- weights are packed once, with the scale of queries, and the two finest levels go to the decoder's
  channels in one product;
- positions are interpolated once per size, and an attention over heads is left out that the
  library computes and does not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch  # noqa: TID253  # imported with the family
from torch.nn.functional import conv2d, interpolate, pad  # noqa: TID253

from napari_ditto.models.packed import PackedLinear, composed
from napari_ditto.models.sam2.block import Block
from napari_ditto.models.sam2.quads import Quads
from napari_ditto.models.sam2.windows import Windows

BAND = 8192
"""Tokens of stride 4 that a CPU computes at once; their hidden channels take 6 or 12 MB."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on the size of the picture alone.

    Attributes
    ----------
    quads : Quads
        The map of stride 4.
    positions : Tensor, shape (n, c)
        In the order of tokens.
    windows : tuple of (Windows, Windows)
        Of each block, before and after pooling, on the whole map.
    """

    quads: Quads
    positions: torch.Tensor
    windows: tuple[tuple[Windows, Windows], ...]


class HieraEncoder:
    """What ``get_image_embeddings`` of a ``Sam2Model`` or ``Sam2VideoModel`` returns.

    Parameters
    ----------
    network : torch.nn.Module
        The library's model on its device, one that :func:`supports` agrees to.
    dtype : torch.dtype
        What to compute with. Positions, and the neck, are float32.
    """

    @torch.inference_mode()
    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:  # noqa: ANN401
        backbone, neck = network.vision_encoder.backbone, network.vision_encoder.neck
        patches, decoder = backbone.patch_embed.projection, network.mask_decoder
        self._dtype = dtype
        self._kernel = patches.weight.to(dtype, memory_format=torch.channels_last, copy=True)
        self._bias = patches.bias.to(dtype)
        self._stride, self._padding = patches.stride[0], patches.padding[0]
        self._everywhere, self._inside = backbone.pos_embed, backbone.pos_embed_window
        self._blocks = [Block(block, dtype) for block in backbone.blocks]
        self._ends, self._local = list(backbone.stage_ends), _local_blocks(backbone)
        fine, middle, *coarse = reversed(neck.convs)
        self._fine, self._middle = _both(fine, decoder.conv_s0), _both(middle, decoder.conv_s1)
        self._coarse = [PackedLinear(c.weight.flatten(1), c.bias) for c in coarse]
        self._merged = {level - 2 for level in neck.fpn_top_down_levels}
        self._no_memory = network.no_memory_embedding.detach().reshape(-1, 1, 1)
        self._plan = lru_cache(maxsize=4)(self._new_plan)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return three maps of float32 for pixels (b, 3, h, w), the finest first.

        Their shapes are (b, c / 8, h / 4, w / 4), (b, c / 4, h / 8, w / 8), (b, c, h / 16, w / 16).
        """
        plan = self._plan(pixels.shape[2] // self._stride, pixels.shape[3] // self._stride)
        pixels = pad(pixels.to(self._dtype), [self._padding] * 4)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        bands = [self._band(pixels, plan, rows) for rows in self._bands(plan.quads, pixels)]
        fine, middle, x = zip(*bands, strict=True)
        stages = list(self._later_stages(torch.cat(x, 1), plan))
        image = self._merge(stages, plan.quads.pooled.pooled)
        return [torch.cat(fine, 2), torch.cat(middle, 2), image]

    def _bands(self, quads: Quads, pixels: torch.Tensor) -> Iterator[range]:
        """Yield rows of squares that are computed at once; a GPU has room for all."""
        step = BAND // (quads.columns * quads.side**2) if pixels.is_cpu else quads.rows
        for first in range(0, quads.rows, max(1, step)):
            yield range(first, min(first + max(1, step), quads.rows))

    def _band(
        self, pixels: torch.Tensor, plan: Plan, rows: range
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return both finer maps, and tokens of the third stage, of some rows of squares."""
        quads = Quads(len(rows), plan.quads.columns, plan.quads.pools)
        x = self._embed(pixels, plan, rows, quads)
        found: list[torch.Tensor] = []
        for i, block in enumerate(self._blocks[: self._local]):
            before = Windows.of(quads, block.window)
            quads = quads.pooled if block.pools else quads
            x = block(x, before, Windows.of(quads, block.window_after))
            if i in self._ends[:2]:
                project = self._middle if found else self._fine
                found.append(_as_map(project(x.float()), quads))
        fine, middle = found
        return fine, middle, x

    def _embed(self, pixels: torch.Tensor, plan: Plan, rows: range, quads: Quads) -> torch.Tensor:
        """Return the patches of some rows of squares as tokens (b, n, c), with their positions."""
        height = quads.side * self._stride
        bottom = rows.stop * height - self._stride + self._kernel.shape[2]
        band = pixels[:, :, rows.start * height : bottom]
        patches = quads.from_map(conv2d(band, self._kernel, self._bias, self._stride))
        x = patches.new_empty(len(pixels), quads.tokens, len(self._kernel))
        first = rows.start * quads.columns * quads.side**2
        positions = plan.positions[first : first + quads.tokens]
        torch.add(patches, positions.view(patches.shape[1:]), out=x.view(patches.shape))
        return x

    def _later_stages(self, x: torch.Tensor, plan: Plan) -> Iterator[torch.Tensor]:
        for i in range(self._local, len(self._blocks)):
            x = self._blocks[i](x, *plan.windows[i])
            if i in self._ends:
                yield x

    def _merge(self, stages: list[torch.Tensor], quads: Quads) -> torch.Tensor:
        """Return the coarsest map of an image without memory, from the later stages' tokens."""
        top = self._coarse[-1](stages[-1].float())
        for i in reversed(range(len(stages) - 1)):
            own = self._coarse[i](stages[i].float())
            if i in self._merged:  # the nearest of a map half as large is the fourth of its tokens
                own.view(*top.shape[:2], 4, -1).add_(top[:, :, None])
            top = own
        return _as_map(top, quads).add_(self._no_memory)

    def _new_plan(self, height: int, width: int) -> Plan:
        pools = sum(block.pools for block in self._blocks)
        quads = now = Quads(height >> pools, width >> pools, pools)
        windows, device = [], self._kernel.device
        for block in self._blocks:
            before = Windows.of(now, block.window).to(device)
            now = now.pooled if block.pools else now
            windows.append((before, Windows.of(now, block.window_after).to(device)))
        positions = quads.from_map(self._positions(height, width)).reshape(quads.tokens, -1)
        return Plan(quads, positions.to(self._dtype), tuple(windows))

    def _positions(self, height: int, width: int) -> torch.Tensor:
        """Return the positions of patches, (1, c, h, w): in the picture, and in their window."""
        rows, columns = self._inside.shape[2:]
        inside: torch.Tensor = self._inside.tile(1, 1, height // rows, width // columns)
        return inside + interpolate(self._everywhere, (height, width), mode="bicubic")


def supports(network: Any, height: int, width: int) -> bool:  # noqa: ANN401
    """Whether a network is like the published ones as far as the encoder builds on it.

    Parameters
    ----------
    network : torch.nn.Module
        The library's model.
    height, width : int
        Of pictures, in pixels.
    """
    config = network.config.vision_config
    hiera, backbone = config.backbone_config, network.vision_encoder.backbone
    pools, stride = hiera.num_query_pool_stages, hiera.patch_stride[0]
    square = (1 << pools) * stride
    first = Quads(1, 1, pools)
    local = [b.window_size for b in backbone.blocks[: backbone.stage_ends[1] + 1]]
    return bool(
        len(backbone.stage_ends) == 4
        and pools == 3
        and list(hiera.query_stride) == [2, 2]
        and hiera.hidden_act == "gelu"
        and hiera.patch_stride == [stride] * 2
        and (config.fpn_kernel_size, config.fpn_stride, config.fpn_padding) == (1, 1, 0)
        and not {0, 1} & set(config.fpn_top_down_levels)
        and config.num_feature_levels == 3
        and height % square == width % square == 0
        and all(first.holds(window) for window in local)
    )


def _as_map(tokens: torch.Tensor, quads: Quads) -> torch.Tensor:
    return quads.to_map(tokens).reshape(len(tokens), tokens.shape[2], *quads.shape)


def _both(first: Any, second: Any) -> PackedLinear:  # noqa: ANN401
    """Return two convolutions of size 1 as one layer."""
    inner, outer = ((conv.weight.flatten(1), conv.bias) for conv in (first, second))
    return PackedLinear(*composed(outer, inner))


def _local_blocks(backbone: Any) -> int:  # noqa: ANN401
    """Return how many blocks see no further than a square of tokens: two stages.

    So does the block that pools to the third stage, with the windows of the second.
    """
    _, second, third, _ = backbone.stage_ends
    pooling = backbone.blocks[second + 1]
    return int(second) + (2 if third > second + 1 and pooling.window_size else 1)
