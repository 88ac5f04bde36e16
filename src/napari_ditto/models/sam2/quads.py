"""The order in which the encoder keeps its tokens: squares that are pooled together lie together.

A map of stride 4 is cut into squares of ``2 ** pools`` tokens a side, row by row; inside a square,
tokens follow each other as quarters of quarters. Then

- pooling 2 x 2 tokens takes four neighbours in memory, and leaves the same order one level up;
- an aligned window, whose side is a power of two no larger than such a square, is one piece of
  memory, so that nothing is moved for attention inside windows;
- whole rows of squares are a band of the picture, which can be worked on alone as long as no
  attention looks further.

Attention has no other idea of place than which tokens are in a window, so the order is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch  # noqa: TID253  # imported with the family


@dataclass(frozen=True)
class Quads:
    """A map of tokens in that order.

    Attributes
    ----------
    rows, columns : int
        Of squares.
    pools : int
        How often the map can still be pooled: a square has ``2 ** pools`` tokens a side.
    """

    rows: int
    columns: int
    pools: int

    @property
    def side(self) -> int:
        """Tokens along a square."""
        return 1 << self.pools

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the map, in tokens."""
        return self.rows * self.side, self.columns * self.side

    @property
    def tokens(self) -> int:
        """How many there are."""
        return self.shape[0] * self.shape[1]

    @property
    def pooled(self) -> Quads:
        """The map after 2 x 2 pooling."""
        return Quads(self.rows, self.columns, self.pools - 1)

    def from_map(self, values: torch.Tensor) -> torch.Tensor:
        """Return a map (b, c, h, w) in this order, a view of many axes that ends with c."""
        twos = [2] * self.pools
        split = values.reshape(*values.shape[:2], self.rows, *twos, self.columns, *twos)
        each = self.pools + 1  # axes of y, then of x
        pairs = [axis for i in range(each) for axis in (2 + i, 2 + each + i)]
        return split.permute(0, *pairs, 1)

    def to_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens (b, n, c) as a map (b, c, h, w), a view of many axes."""
        axes = (self.rows, self.columns, *[2] * (2 * self.pools))
        split = tokens.reshape(len(tokens), *axes, tokens.shape[2])
        y = range(1, len(axes) + 1, 2)
        x = range(2, len(axes) + 1, 2)
        return split.permute(0, len(axes) + 1, *y, *x)

    def holds(self, window: int) -> bool:
        """Whether a window of that side is one piece of memory."""
        return window & (window - 1) == 0 and 0 < window <= self.side

    @cached_property
    def places(self) -> torch.Tensor:
        """Where the token of each place is, shape (h, w)."""
        order = self.to_map(torch.arange(self.tokens).reshape(1, -1, 1))
        return order.reshape(self.shape)
