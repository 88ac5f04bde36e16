"""An image looks at what is remembered: the library's memory attention in less time.

Ravi et al. 2024, section 4 and appendix D; rotary positions of Su et al. 2021 in two dimensions.
Unlike in the library's code,

- remembered features are added up as they are, 64 channels wide, and only the sums are projected
  to 256: ``sum_i a_i (W m_i + b) = W (sum_i a_i m_i) + b``, for weights add up to one;
- the first layer's look at the image itself is the same for every object, and is done once;
- the tables of positions are made once, and turned by one complex product.

Symbols of shapes: n places of the image, c channels, m things remembered of d channels.
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253  # imported with the family
from torch.nn.functional import layer_norm, scaled_dot_product_attention  # noqa: TID253

from napari_ditto.models.packed import PackedLinear, composed

SCORES = 1 << 22
"""Scores that a CPU holds at a time: 8 or 16 MB, which stay in the cache."""


class MemoryAttention:
    """Runs the weights of ``Sam2VideoMemoryAttention``, one with a single head and ReLU.

    Parameters
    ----------
    network : torch.nn.Module
        The library's whole model on its device.
    dtype : torch.dtype
        What products and attention compute with. What is added up over the layers is float32.
    """

    @torch.inference_mode()
    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:  # noqa: ANN401
        parts = network.memory_attention
        cos, sin = parts.rotary_emb(parts.position_ids.float(), parts.position_ids)
        turn = torch.complex(cos[0, :, ::2].contiguous(), sin[0, :, ::2].contiguous())
        self._layers = [_Layer(layer, turn, dtype) for layer in parts.layers]
        self._norm, self._dtype = parts.layer_norm, dtype

    def look(self, image: torch.Tensor) -> torch.Tensor:
        """Return an image (n, c), its positions added, as every object begins with it."""
        return self._layers[0].look(image)

    def recall(
        self, seen: torch.Tensor, memory: torch.Tensor, where: torch.Tensor, pointers: int
    ) -> torch.Tensor:
        """Return the image (n, c) after it looked at the memory of one object.

        Parameters
        ----------
        seen : Tensor, shape (n, c)
            Of :meth:`look`.
        memory, where : Tensor, shape (m, d)
            Maps of features, one after the other, then pointers; and their place and time.
        pointers : int
            How many of them have no place.
        """
        keys, values = (memory + where).to(self._dtype), memory.to(self._dtype)
        for i, layer in enumerate(self._layers):
            seen = layer.recall(layer.look(seen) if i else seen, keys, values, pointers)
        return _normed(seen, self._norm)


class _Layer:
    """One layer of the library; `turn` is what rotates the pairs of a place's channels."""

    def __init__(self, layer: Any, turn: torch.Tensor, dtype: torch.dtype) -> None:  # noqa: ANN401
        own, other = layer.self_attn, layer.cross_attn_image
        self._turn, self._dtype = turn, dtype
        self._norms = layer.layer_norm1, layer.layer_norm2, layer.layer_norm3
        self._own = PackedLinear(
            torch.cat([own.q_proj.weight * own.scaling, own.k_proj.weight, own.v_proj.weight]),
            torch.cat([own.q_proj.bias * own.scaling, own.k_proj.bias, own.v_proj.bias]),
            dtype,
        )
        self._own_out = PackedLinear(own.o_proj.weight, own.o_proj.bias, dtype)
        scale = other.scaling
        self._query = PackedLinear(other.q_proj.weight * scale, other.q_proj.bias * scale, dtype)
        self._key = PackedLinear(other.k_proj.weight, other.k_proj.bias, dtype)
        value, out = other.v_proj, other.o_proj
        both = composed((out.weight, out.bias), (value.weight, value.bias))
        self._out = PackedLinear(*both, dtype)
        self._wide = PackedLinear(layer.linear1.weight, layer.linear1.bias, dtype)
        self._narrow = PackedLinear(layer.linear2.weight, layer.linear2.bias, dtype)

    def look(self, x: torch.Tensor) -> torch.Tensor:
        """Return an image (n, c) that has looked at itself."""
        query, key, value = self._own(self._normed(x, 0)).chunk(3, dim=-1)
        query, key = (_turned(part, self._turn) for part in (query, key))
        return x + self._own_out(_attend(query, key, value))

    def recall(
        self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, pointers: int
    ) -> torch.Tensor:
        """Return an image (n, c) that has looked at memories (m, d), and thought about them."""
        query = _turned(self._query(self._normed(x, 1)), self._turn)
        key, placed = self._key(keys), len(keys) - pointers
        key[:placed] = _turned(key[:placed], self._turn)
        x = x + self._out(_attend(query, key, values))
        return x + self._narrow(self._wide(self._normed(x, 2)).relu_())

    def _normed(self, x: torch.Tensor, which: int) -> torch.Tensor:
        return _normed(x, self._norms[which]).to(self._dtype)


def _normed(x: torch.Tensor, norm: Any) -> torch.Tensor:  # noqa: ANN401
    return layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _turned(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Return maps (k n, c), one after the other, with pairs of channels turned by (n, c / 2)."""
    pairs = torch.view_as_complex(x.float().reshape(-1, *turn.shape, 2))
    return torch.view_as_real(pairs * turn).view(x.shape).to(x.dtype)


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return softmax(q k^T) v of (n, c), (m, c) and (m, d); queries are scaled already."""
    fused = key.shape[1] == value.shape[1] and query.dtype == torch.float32
    if fused or not query.is_cpu:
        q, k, v = (part[None, None] for part in (query, key, value))
        return scaled_dot_product_attention(q, k, v, scale=1.0)[0, 0]
    found = query.new_empty(len(query), value.shape[1])
    # Each strip of queries meets the same keys and values: worth being laid out for it.
    score, add = PackedLinear(key, None, key.dtype), PackedLinear(value.T, None, value.dtype)
    rows = max(1, SCORES // len(key))
    for first in range(0, len(query), rows):
        asked = query[first : first + rows]
        found[first : first + rows] = add(score(asked).softmax(-1))
    return found
