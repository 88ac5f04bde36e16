"""The ViT of SAM and SAM-HQ, with the library's weights and results in less time.

Kirillov et al. 2023, Segment Anything, appendix A; Ke et al. 2023 for the early features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch  # noqa: TID253  # imported with a family's network
from torch.nn.functional import conv2d, layer_norm  # noqa: TID253

from napari_ditto.models.int8 import LEAST_GELU, Int8Linear
from napari_ditto.models.one_each import one_each
from napari_ditto.models.packed import PackedLinear
from napari_ditto.models.sam.attention import attend, centre, relative_table
from napari_ditto.models.sam.pieces import Piece, heads_of, pieces_of

Linear = PackedLinear | Int8Linear


class SamEncoder:
    """Runs the weights of a library's vision encoder.

    Weights are copied, laid out for the CPU: the library's own may go. What is added up over the
    layers stays in float32, and so do norms, the patches and the last two layers.

    Parameters
    ----------
    vision : torch.nn.Module
        ``SamVisionEncoder`` or ``SamHQVisionEncoder`` of transformers, on its device.
    dtype : torch.dtype
        What products and attention compute with.
    in_bytes : bool
        Whether layers that see single tokens multiply bytes instead: nearly two thirds of all
        operations. Those after attention, a tenth of them, keep `dtype`: they lose the most.
    """

    @torch.inference_mode()
    def __init__(
        self,
        vision: Any,  # noqa: ANN401
        dtype: torch.dtype = torch.float32,
        in_bytes: bool = False,
    ) -> None:
        patches = vision.patch_embed.projection
        self._patches = PackedLinear(patches.weight.flatten(1), patches.bias)
        self._stride = int(vision.config.patch_size)
        self._positions = None if vision.pos_embed is None else vision.pos_embed.detach().clone()
        side = int(vision.config.image_size) // self._stride
        fuses = vision.config.hidden_act == "gelu"
        self._blocks = [_Block(layer, side, dtype, fuses, in_bytes) for layer in vision.layers]
        self._neck = _Neck(vision.neck, dtype)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the decoder reads.

        Parameters
        ----------
        pixels : Tensor of float32, shape (b, 3, s, s)
            As large as the network's input, or any smaller multiple of its patches.

        Returns
        -------
        Tensor of float32, shape (b, c, s / patch, s / patch)
            The embedding.
        Tensor of float32, shape (b, s / patch, s / patch, w), or None
            The features after the first global block, if there is one.

        Notes
        -----
        Only global attention needs the whole image. What lies between two of them goes piece by
        piece, through several layers, each piece on one core.
        """
        side = pixels.shape[-1] // self._stride
        x = pixels.new_empty(len(pixels), side, side, self._patches.outputs)
        pieces = pieces_of(x, max(block.window for block in self._blocks))
        early = None
        steps: list[Step] = [partial(self._embed, pixels, x)]
        for block in self._blocks:
            if block.window:
                steps.append(partial(block.within, x))
                continue
            parts = block.room(x)
            steps.append(partial(block.ask, x, parts))
            one_each(partial(_in_turn, steps, piece) for piece in pieces)
            one_each(partial(block.look, parts, heads) for heads in heads_of(parts))
            steps = [partial(block.answer, x, parts)]
            if early is None:
                early = torch.empty_like(x)
                steps.append(partial(_copy, x, early))
        one_each(partial(_in_turn, steps, piece) for piece in pieces)
        return self._neck(x), early

    def _embed(self, pixels: torch.Tensor, x: torch.Tensor, piece: Piece) -> None:
        """Write the patches of a piece, with their positions."""
        rows, columns = (slice(p.start * self._stride, p.stop * self._stride) for p in piece)
        patches = self._patches(self._cut(pixels[..., rows, columns]))
        if self._positions is not None:
            patches += self._positions[:, *piece]
        x[:, *piece] = patches

    def _cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the numbers of each patch, (b, s / patch, s / patch, 3 * patch * patch)."""
        side = self._stride
        batch, channels, height, width = pixels.shape
        cut = pixels.reshape(batch, channels, height // side, side, width // side, side)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3)


Step = Callable[[Piece], None]


def _in_turn(steps: list[Step], piece: Piece) -> None:
    for step in steps:
        step(piece)


def _copy(x: torch.Tensor, into: torch.Tensor, piece: Piece) -> None:
    into[:, *piece] = x[:, *piece]


class _Block:
    """Attention in windows or in the whole image, then a perceptron."""

    def __init__(
        self,
        layer: Any,  # noqa: ANN401
        side: int,
        dtype: torch.dtype,
        fuses: bool,
        in_bytes: bool,
    ) -> None:
        attention, mlp = layer.attn, layer.mlp
        self.window = int(layer.window_size)
        self._heads, self._dtype = int(attention.num_attention_heads), dtype
        self._norm1, self._norm2 = _Norm(layer.layer_norm1), _Norm(layer.layer_norm2)
        self._proj = PackedLinear(attention.proj.weight, attention.proj.bias, dtype)
        qkv, first, second = _scaled(attention), _weights(mlp.lin1), _weights(mlp.lin2)
        self._qkv: Linear
        self._first: Linear
        self._second: Linear
        if in_bytes:  # between the last two float32 costs nothing, for the second rounds it
            self._qkv, self._first = Int8Linear(*qkv, dtype), Int8Linear(*first)
            self._second = Int8Linear(*second, least=LEAST_GELU if fuses else None)
        else:
            self._qkv, self._first, self._second = (
                PackedLinear(*layer, dtype) for layer in (qkv, first, second)
            )
        self._activate = None if fuses else mlp.act
        self._table = _table(attention, self.window or side).to(dtype)

    def within(self, x: torch.Tensor, piece: Piece) -> None:
        """Turn a piece of features (b, s, s, w), made of windows, into that of the next layer."""
        strip = x[:, *piece]
        strip += self._proj(self._windowed(self._qkv(self._norm1(strip))))
        strip += self._perceptron(self._norm2(strip))

    def room(self, x: torch.Tensor) -> torch.Tensor:
        """Return room for queries, keys and values, (3, b * heads, s, s, d)."""
        batch, height, width, wide = x.shape
        heads = self._heads
        shape = (3, batch * heads, height, width, wide // heads)
        return x.new_empty(shape, dtype=self._dtype)

    def ask(self, x: torch.Tensor, parts: torch.Tensor, piece: Piece) -> None:
        """Write what a piece asks and shows."""
        found = self._qkv(self._norm1(x[:, *piece]))
        found = found.view(*found.shape[:3], 3, self._heads, -1).permute(3, 0, 4, 1, 2, 5)
        self._of_images(parts)[..., *piece, :] = found

    def look(self, parts: torch.Tensor, heads: slice) -> None:
        """Write what all places of some heads find in the place of their queries."""
        query, key, value = parts[:, heads].flatten(2, 3)
        query.copy_(attend(query, key, value, centre(self._table, parts.shape[2])))

    def answer(self, x: torch.Tensor, parts: torch.Tensor, piece: Piece) -> None:
        """Turn a piece of features into that of the next layer, with what was found."""
        strip = x[:, *piece]
        found = self._of_images(parts)[0][..., *piece, :].permute(0, 2, 3, 1, 4)
        strip += self._proj(found.flatten(3))
        strip += self._perceptron(self._norm2(strip))

    def _of_images(self, parts: torch.Tensor) -> torch.Tensor:
        return parts.view(3, -1, self._heads, *parts.shape[2:])

    def _perceptron(self, x: torch.Tensor) -> torch.Tensor:
        if self._activate is None:
            return self._second(self._first.gelu(x))
        return self._second(self._activate(self._first(x)))

    def _windowed(self, qkv: torch.Tensor) -> torch.Tensor:
        """Attend in windows; the last ones may stick out, over keys and values of zeros."""
        batch, height, width, wide = qkv.shape
        size, heads = self.window, self._heads
        down, across = -(-height // size), -(-width // size)
        if height % size or width % size:  # zeros become the bias
            shape = (batch, down * size, across * size, wide)
            whole = self._qkv.bias.to(qkv.dtype).expand(shape).contiguous()
            whole[:, :height, :width] = qkv
            qkv = whole
        parts = qkv.view(batch, down, size, across, size, 3, heads, -1)
        parts = parts.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 4).contiguous()
        found = attend(parts[0], parts[1], parts[2], self._table)
        found = found.view(batch, down, across, heads, size, size, -1).permute(0, 1, 4, 2, 5, 3, 6)
        return found.reshape(batch, down * size, across * size, -1)[:, :height, :width]


class _Neck:
    """From the features of patches to an embedding."""

    def __init__(self, neck: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._first = PackedLinear(neck.conv1.weight.flatten(1), None, dtype)
        self._norm1, self._norm2 = _Norm(neck.layer_norm1), _Norm(neck.layer_norm2)
        self._second = neck.conv2.weight.detach().clone()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embedding, (b, c, s, s), of features (b, s, s, w)."""
        x = self._norm1(self._first(x).float())
        x = conv2d(x.permute(0, 3, 1, 2), self._second, padding=1)
        return self._norm2(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Norm:
    def __init__(self, norm: torch.nn.LayerNorm) -> None:
        self._apply = partial(
            layer_norm,
            normalized_shape=norm.normalized_shape,
            weight=norm.weight.detach().clone(),
            bias=norm.bias.detach().clone(),
            eps=norm.eps,
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._apply(x)


def _weights(layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:  # noqa: ANN401
    return layer.weight, layer.bias


def _scaled(attention: Any) -> tuple[torch.Tensor, torch.Tensor | None]:  # noqa: ANN401
    """Return weight and bias of query, key and value, those of the key scaled once for all."""
    weight, bias = attention.qkv.weight.detach().clone(), attention.qkv.bias
    key = slice(len(weight) // 3, 2 * len(weight) // 3)
    weight[key] *= attention.scale
    if bias is not None:
        bias = bias.detach().clone()
        bias[key] *= attention.scale
    return weight, bias


def _table(attention: Any, side: int) -> torch.Tensor:  # noqa: ANN401
    if attention.use_rel_pos:
        return relative_table(attention.rel_pos_h, attention.rel_pos_w, side)
    head = len(attention.qkv.weight) // (3 * attention.num_attention_heads)
    return torch.zeros(2, 2 * side - 1, head, device=attention.qkv.weight.device)
