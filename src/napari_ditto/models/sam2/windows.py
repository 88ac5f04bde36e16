"""Attention of Hiera, inside windows and everywhere, without useless copies."""

from __future__ import annotations

from dataclasses import dataclass

import torch  # noqa: TID253  # imported with the family
from torch.nn.functional import pad, scaled_dot_product_attention  # noqa: TID253

from napari_ditto.models.sam2.quads import Quads

ROWS = 512
"""Queries whose scores are held at a time: 4 MB, which stay in the cache."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Squares of tokens that see each other; the last ones are filled up, as in the library.

    Attributes
    ----------
    length : int
        Tokens of a window.
    tokens : int
        Of the map.
    taken : Tensor, shape (windows * length,), or None
        Which token is where; None where windows are pieces of memory.
    empty : Tensor or None
        Where no token is.
    back : Tensor, shape (tokens,), or None
        Where each token went.
    """

    length: int
    tokens: int
    taken: torch.Tensor | None = None
    empty: torch.Tensor | None = None
    back: torch.Tensor | None = None

    @classmethod
    def of(cls, quads: Quads, side: int) -> Windows:
        """Cut a map into windows; a side of 0 means one window."""
        if side == 0 or quads.holds(side):
            return cls(side**2 or quads.tokens, quads.tokens)
        height, width = quads.shape
        places = pad(quads.places, (0, -width % side, 0, -height % side), value=-1)
        rows, columns = (length // side for length in places.shape)
        taken = places.reshape(rows, side, columns, side).transpose(1, 2).flatten()
        back = taken.new_empty(quads.tokens)
        full = taken >= 0
        back[taken[full]] = full.nonzero()[:, 0]
        return cls(side**2, quads.tokens, taken.clamp_min(0), (~full).nonzero()[:, 0], back)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """Return tokens (b, n, c) as windows (b * w, length, c), zeros where there is none."""
        if self.taken is not None and self.empty is not None:
            x = x.index_select(1, self.taken).index_fill_(1, self.empty, 0)
        return x.reshape(-1, self.length, x.shape[2])

    def join(self, x: torch.Tensor, batch: int) -> torch.Tensor:
        """Return windows as tokens (b, n, c)."""
        x = x.reshape(batch, -1, x.shape[2])
        return x if self.back is None else x.index_select(1, self.back)

    def to(self, device: torch.device) -> Windows:
        """Return it on a device."""
        moved = [t if t is None else t.to(device) for t in (self.taken, self.empty, self.back)]
        return Windows(self.length, self.tokens, *moved)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return softmax(q k^T) v of many windows; queries are scaled already.

    Parameters
    ----------
    query, key, value : Tensor, shapes (w, n, heads, d), (w, m, heads, d), (w, m, heads, d)

    Returns
    -------
    Tensor, shape (w, n, heads * d)

    Notes
    -----
    PyTorch's fused attention for CPUs gains nothing from half precision (measured: 13 ms for
    windows of 14 with four heads in both, 163 and 184 ms for 64 x 64 tokens); products that are
    written out do (9 and 98 ms).
    """
    q, k, v = (t.transpose(1, 2) for t in (query, key, value))
    if q.is_cpu and q.dtype == torch.bfloat16:
        found = _by_products(q, k, v)
    else:
        found = scaled_dot_product_attention(q, k, v, scale=1.0)
    return found.transpose(1, 2).flatten(2)


def _by_products(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    shape = q.shape
    q, k, v = (t.reshape(-1, *t.shape[2:]) for t in (q, k, v))
    k = k.transpose(1, 2)
    if k.shape[2] <= ROWS:
        return torch.bmm(torch.bmm(q, k).softmax(-1), v).reshape(shape)
    found = torch.empty_like(q)
    for one, keys, values, out in zip(q, k, v, found, strict=True):
        for at in range(0, len(one), ROWS):
            rows = slice(at, at + ROWS)
            torch.mm(torch.mm(one[rows], keys).softmax(-1), values, out=out[rows])
    return found.reshape(shape)
