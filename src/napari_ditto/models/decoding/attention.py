"""The tokens' side of attention to an image; for the image's side see :mod:`.written`.

Symbols of shapes: b prompts, t tokens, h heads, d channels of a head, c channels.
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253  # imported with a family


class Reading:
    """Tokens look at an image: the library's ``cross_attn_token_to_image``."""

    def __init__(self, attention: Any) -> None:  # noqa: ANN401
        self.heads, self._scale = int(attention.num_attention_heads), scale_of(attention)
        self._query, self._out = attention.q_proj, output_of(attention)
        self.key, self.value = attention.k_proj, attention.v_proj

    def ask(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return queries (b, h, t, d) of tokens (b, t, c)."""
        return by_head(self._query(tokens), self.heads) * self._scale

    def learn(self, seen: torch.Tensor) -> torch.Tensor:
        """Return what tokens make of the sums of values (b, h, t, d) that they saw, (b, t, c)."""
        found: torch.Tensor = self._out(seen.transpose(1, 2).flatten(2))
        return found


class Writing:
    """An image looks at tokens: the library's ``cross_attn_image_to_token``."""

    def __init__(self, attention: Any) -> None:  # noqa: ANN401
        self.heads, self._scale = int(attention.num_attention_heads), scale_of(attention)
        self._key, self._value = attention.k_proj, attention.v_proj
        self.query, self.out = attention.q_proj, output_of(attention)

    def ask(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return keys (b, h, t, d) of tokens (b, t, c)."""
        return by_head(self._key(tokens), self.heads) * self._scale

    def tell(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return values of tokens, and a one for what is told anyway, (b, h, t, d + 1)."""
        return torch.nn.functional.pad(by_head(self._value(tokens), self.heads), (0, 1), value=1.0)


def by_head(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """Return tokens (b, t, h d) by head, (b, h, t, d)."""
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def scale_of(attention: Any) -> float:  # noqa: ANN401
    """Return what scores are multiplied by."""
    width = int(attention.q_proj.out_features) // int(attention.num_attention_heads)
    return float(width**-0.5)


def output_of(attention: Any) -> Any:  # noqa: ANN401
    """Return the last projection, which the library calls differently in SAM 2."""
    return attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj
