"""Attention between a few tokens and many positions, without projecting the positions.

With a query ``q = W_q t + b_q`` of a token, the scores ``q . (W_k x + b_k)`` are ``(W_k^T q) . x``
plus a constant of the token, and the sums ``sum_i a_i (W_v x_i + b_v)`` are
``W_v (sum_i a_i x_i) + b_v`` because weights add up to one. So the weights of the image's side go
to the tokens' side, where there is next to nothing to multiply: for 7 tokens, 8 heads and 64 x 64
positions of 256 channels 59 million multiply-adds a product, instead of the 134 of a projection.

Symbols of shapes: b prompts, t tokens, h heads, d channels of a head, n positions, c channels. A
token has one row per head, k = h t rows in all.
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253  # imported with a family


class Reading:
    """Tokens look at an image: the library's ``cross_attn_token_to_image``.

    Parameters
    ----------
    attention : torch.nn.Module
        The library's attention.
    """

    def __init__(self, attention: Any) -> None:  # noqa: ANN401
        self._heads = int(attention.num_attention_heads)
        self._query, self._out = attention.q_proj, _output(attention)
        # The bias of the key is the same for every position, so softmax does not see it.
        self._key = _per_head(attention.k_proj.weight, self._heads) * _scale(attention)
        self._value = _per_head(attention.v_proj.weight, self._heads).transpose(1, 2).contiguous()
        self._bias = attention.v_proj.bias.detach().reshape(self._heads, 1, -1)

    def ask(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return rows (b, k, c) whose products with positions are the scores of tokens."""
        return (_split(self._query(tokens), self._heads) @ self._key).flatten(1, 2)

    def learn(self, seen: torch.Tensor) -> torch.Tensor:
        """Return what tokens (b, t, c) make of the sums of positions (b, k, c) that they saw."""
        values = seen.reshape(len(seen), self._heads, -1, seen.shape[2]) @ self._value + self._bias
        found: torch.Tensor = self._out(values.transpose(1, 2).flatten(2))
        return found


class Writing:
    """An image looks at tokens: the library's ``cross_attn_image_to_token``.

    Attributes
    ----------
    heads : int
        Over the tokens of each, rows (k, n) of scores are to be normalised.
    """

    def __init__(self, attention: Any) -> None:  # noqa: ANN401
        self.heads, out = int(attention.num_attention_heads), _output(attention)
        # The bias of the key is the same for every token, so softmax does not see it.
        self._key, self._value = attention.k_proj.weight.detach(), attention.v_proj
        scale = _scale(attention)
        self._query = _per_head(attention.q_proj.weight, self.heads) * scale
        self._query_bias = attention.q_proj.bias.detach().reshape(self.heads, -1, 1) * scale
        self._out = _per_head(out.weight.T, self.heads)
        # Every head's weights add up to one, so each carries its share of the bias.
        self._out_bias = out.bias.detach() / self.heads

    def ask(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows (b, k, c) and constants (b, k, 1) that make the scores of positions."""
        key = _split(tokens @ self._key.T, self.heads)
        return (key @ self._query).flatten(1, 2), (key @ self._query_bias).flatten(1, 2)

    def tell(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what positions add up by their weights, (b, k, c)."""
        value = _split(self._value(tokens), self.heads)
        found: torch.Tensor = value @ self._out + self._out_bias
        return found.flatten(1, 2)


def _split(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """Return tokens (b, t, h d) by head, (b, h, t, d)."""
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def _per_head(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return a weight (h d, c) by head, (h, d, c)."""
    return weight.detach().reshape(heads, -1, weight.shape[1]).contiguous()


def _scale(attention: Any) -> float:  # noqa: ANN401
    width = int(attention.q_proj.out_features) // int(attention.num_attention_heads)
    return float(width**-0.5)


def _output(attention: Any) -> Any:  # noqa: ANN401
    """Return the last projection, which the library calls differently in SAM 2."""
    return attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj
