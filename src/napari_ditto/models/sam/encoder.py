"""The ViT of SAM and SAM-HQ, with the library's weights and results in less time.

Kirillov et al. 2023, Segment Anything, appendix A; Ke et al. 2023 for the early features.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch  # noqa: TID253  # imported with a family's network
from torch.nn.functional import conv2d, layer_norm  # noqa: TID253

from napari_ditto.models.int8 import LEAST_GELU, Int8Linear
from napari_ditto.models.packed import PackedLinear
from napari_ditto.models.sam.attention import (
    attend_folded,
    attend_in_chunks,
    centre,
    quicker,
    relative_table,
)

Linear = PackedLinear | Int8Linear

STRIP = 16
"""Rows of patches, 1024 of them in the published networks, that a CPU computes at once."""


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
        """
        x = self._patches(self._cut(pixels))
        if self._positions is not None:
            x += self._positions[:, : x.shape[1], : x.shape[2]]
        early = None
        for block in self._blocks:
            x = block(x)
            if early is None and block.window == 0:
                early = x.clone()
        return self._neck(x), early

    def _cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the numbers of each patch, (b, s / patch, s / patch, 3 * patch * patch)."""
        side = self._stride
        batch, channels, height, width = pixels.shape
        cut = pixels.reshape(batch, channels, height // side, side, width // side, side)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3)


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
        self._heads = int(attention.num_attention_heads)
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

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features (b, s, s, w) of the next layer; writes into those given."""
        rows = self._rows(x)
        strips = [x[:, first : first + rows] for first in range(0, x.shape[1], rows)]
        if self.window:
            for strip in strips:
                strip += self._proj(self._windowed(self._qkv(self._norm1(strip))))
        else:
            qkv = torch.cat([self._qkv(self._norm1(strip)) for strip in strips], dim=1)
            x += self._proj(self._attention(qkv))
        for strip in strips:
            strip += self._perceptron(self._norm2(strip))
        return x

    def _rows(self, x: torch.Tensor) -> int:
        """Return how many rows to compute at once: on a CPU those whose values its cache holds."""
        return (self.window or STRIP) if x.device.type == "cpu" else x.shape[1]

    def _perceptron(self, x: torch.Tensor) -> torch.Tensor:
        if self._activate is None:
            return self._second(self._first.gelu(x))
        return self._second(self._activate(self._first(x)))

    def _windowed(self, qkv: torch.Tensor) -> torch.Tensor:
        """Attend in windows; the last ones may stick out, over keys and values of zeros."""
        batch, height, width, wide = qkv.shape
        size = self.window
        down, across = -(-height // size), -(-width // size)
        places = _window_places(height, width, size, qkv.device)
        windows = qkv.flatten(1, 2).index_select(1, places)
        windows = windows.view(batch, down, across, size, size, wide)
        windows[:, -1, :, size - (down * size - height) :] = self._qkv.bias
        windows[:, :, -1, :, size - (across * size - width) :] = self._qkv.bias
        found = self._attention(windows.view(-1, size, size, wide))
        found = found.view(batch, down, across, size, size, -1).transpose(2, 3)
        found = found.reshape(batch, down * size, across * size, -1)
        return found[:, :height, :width]

    def _attention(self, qkv: torch.Tensor) -> torch.Tensor:
        """Attend in squares (b, s, s, 3 * w)."""
        batch, side, _, _ = qkv.shape
        parts = qkv.view(batch, side * side, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.flatten(1, 2).contiguous()
        found = _attend(query, key, value, centre(self._table, side))
        return found.view(batch, self._heads, side, side, -1).permute(0, 2, 3, 1, 4).flatten(3)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    if query.device.type != "cpu":
        return attend_folded(query, key, value, table)
    return attend_in_chunks(query, key, value, table, quicker(query.dtype))


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


@cache
def _window_places(height: int, width: int, size: int, device: torch.device) -> torch.Tensor:
    """Return which token each place of each window shows; any for places beyond the image."""
    rows = torch.arange(-(-height // size) * size).clamp(max=height - 1).view(-1, 1, size, 1)
    columns = torch.arange(-(-width // size) * size).clamp(max=width - 1).view(1, -1, 1, size)
    return (rows * width + columns).flatten().to(device)
