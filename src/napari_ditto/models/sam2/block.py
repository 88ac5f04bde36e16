"""One block of Hiera: attention in windows, with or without pooling, and a perceptron."""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253  # imported with the family
from torch.nn.functional import layer_norm  # noqa: TID253

from napari_ditto.models.packed import PackedLinear
from napari_ditto.models.sam2.windows import Windows, attend


class Norm:
    """Layer normalisation in any precision."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._eps = layer.eps
        self._weight, self._bias = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last axis normalised."""
        return layer_norm(x, x.shape[-1:], self._weight, self._bias, self._eps)


class Block:
    """The library's block, for tokens in the order of :mod:`.quads`.

    Parameters
    ----------
    block : torch.nn.Module
        The library's.
    dtype : torch.dtype
        What to compute with.

    Attributes
    ----------
    pools : bool
        Whether a quarter of the tokens comes out.
    window, window_after : int
        Tokens along a window, before and after pooling; 0 for one that holds all.
    """

    def __init__(self, block: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self.pools, self.window = block.query_stride is not None, int(block.window_size)
        self.window_after = self.window // 2 if self.pools else self.window
        attention, mlp = block.attn, block.mlp
        self._heads = int(attention.num_attention_heads)
        self._norm1, self._norm2 = Norm(block.layer_norm1, dtype), Norm(block.layer_norm2, dtype)
        weight, bias = attention.qkv.weight.clone(), attention.qkv.bias.clone()
        queries = slice(None, attention.dim_out)
        weight[queries] *= attention.scale
        bias[queries] *= attention.scale
        self._changes = block.dim != block.dim_out
        if self._changes:  # what is pooled in one product, what is not in another
            self._pooled = PackedLinear(
                torch.cat([weight[queries], block.proj.weight]),
                torch.cat([bias[queries], block.proj.bias]),
                dtype,
            )
            weight, bias = weight[attention.dim_out :], bias[attention.dim_out :]
        self._seen = PackedLinear(weight, bias, dtype)
        self._out = PackedLinear(attention.proj.weight, attention.proj.bias, dtype)
        self._wide = PackedLinear(mlp.proj_in.weight, mlp.proj_in.bias, dtype)
        self._narrow = PackedLinear(mlp.proj_out.weight, mlp.proj_out.bias, dtype)

    def __call__(self, x: torch.Tensor, before: Windows, after: Windows) -> torch.Tensor:
        """Return the tokens (b, n', c') of the next block.

        Parameters
        ----------
        x : Tensor, shape (b, n, c)
        before, after : Windows
            Of keys, and of queries after pooling.
        """
        normed = self._norm1(x)
        seen = self._seen(before.split(normed))
        if self._changes:
            query, x = self._maximum(self._pooled(normed)).chunk(2, dim=-1)
            parts = (after.split(query), *seen.chunk(2, dim=-1))
        else:
            parts = seen.chunk(3, dim=-1)
        found = attend(*(part.view(*part.shape[:2], self._heads, -1) for part in parts))
        x = self._out(after.join(found, len(x))).add_(x)
        return self._narrow(self._wide.gelu(self._norm2(x))).add_(x)

    def _maximum(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maximum of each four tokens, (b, n / 4, c), if this block pools."""
        if not self.pools:
            return x
        first, last = x.view(len(x), x.shape[1] // 4, -1).chunk(2, dim=-1)
        one, other = torch.maximum(first, last).chunk(2, dim=-1)
        return torch.maximum(one, other)
