"""Attention with SAM's relative positions, exact, without a bias for the whole image.

A query at row y and column x adds ``q . R_row[y - y']`` and ``q . R_column[x - x']`` to its
product with the key at row y' and column x' (Li et al. 2022, MViTv2, equation 4). A bias of all
queries and keys takes gigabytes. Here it lives for a few queries at a time, in the processor's
cache; a GPU gets it by longer queries and keys: both terms are appended to the query, and to the
key two vectors that are 1 at its row and its column.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache

import torch  # noqa: TID253  # imported with a family's network
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention  # noqa: TID253

from napari_ditto.models.numerics import remembered
from napari_ditto.models.packed import PackedLinear

Chunk = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

CHUNK = 1 << 20
"""Pairs of query and key whose bias is kept at once: 2 or 4 MB, what the caches of 2 cores hold."""

LARGE = 1024
"""Keys from which on it pays to lay them out for products of float32."""

SHORT = 32
"""Rows with fewer keys are added slowly one by one; a product with zeros and ones is faster."""


def relative_table(rows: torch.Tensor, columns: torch.Tensor, side: int) -> torch.Tensor:
    """Return the vectors of all offsets from -(side - 1) to side - 1, key minus query.

    Parameters
    ----------
    rows, columns : Tensor, shape (o, d)
        As the library keeps them, query minus key; resized where they are for another side.
    side : int
        Rows and columns of the square.

    Returns
    -------
    Tensor of shape (2, 2 * side - 1, d)
    """
    both = torch.stack([rows, columns]).detach().float()
    if both.shape[1] != 2 * side - 1:
        both = interpolate(both.transpose(1, 2), 2 * side - 1, mode="linear").transpose(1, 2)
    return both.flip(1)


def centre(table: torch.Tensor, side: int) -> torch.Tensor:
    """Return the offsets that a smaller square has."""
    cut = table.shape[1] // 2 - (side - 1)
    return table[:, cut : table.shape[1] - cut]


def relative_terms(query: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return what a query adds for each row and for each column of keys.

    Parameters
    ----------
    query : Tensor, shape (g, side * side, d)
        Of any number of squares.
    table : Tensor, shape (2, 2 * side - 1, d)
        Of :func:`relative_table`.

    Returns
    -------
    Tensor of shape (g, side * side, 2 * side)
    """
    groups, _, _ = query.shape
    offsets = table.shape[1]
    side = (offsets + 1) // 2
    every = (query @ table.flatten(0, 1).T).contiguous()
    shape, wide = (groups, side, side, side), 2 * offsets
    per_group, per_row, first = side * side * wide, side * wide, every.storage_offset() + side - 1
    # One row further down, every key is one row further up.
    rows = every.as_strided(shape, (per_group, per_row - 1, wide, 1), first)
    columns = every.as_strided(shape, (per_group, per_row, wide - 1, 1), first + offsets)
    return torch.cat([rows, columns], dim=-1).flatten(1, 2)


def one_hot(side: int, like: torch.Tensor) -> torch.Tensor:
    """Return which row and which column each place of a square is in, (side * side, 2 * side)."""
    one = torch.eye(side, dtype=like.dtype, device=like.device)
    rows, columns = one.repeat_interleave(side, dim=0), one.repeat(side, 1)
    return torch.cat([rows, columns], dim=1)


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Return the attention of squares.

    Parameters
    ----------
    query, key, value : Tensor, shape (g, side * side, d)
        The key is scaled already.
    table : Tensor, shape (2, 2 * side - 1, d)
        Of :func:`relative_table`.

    Returns
    -------
    Tensor of shape (g, side * side, d)
    """
    if not query.is_cpu:
        return attend_folded(query, key, value, table)
    if query.dtype == torch.float32 and query.shape[1] >= LARGE:
        return attend_packed(query, key, value, table)
    return attend_in_chunks(query, key, value, table, quicker(query.dtype))


def attend_in_chunks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, table: torch.Tensor, way: Chunk
) -> torch.Tensor:
    """Return what :func:`attend` does, a few queries at a time, by :func:`explicit` or `fused`."""
    groups, count, _ = query.shape
    side = (table.shape[1] + 1) // 2
    places = one_hot(side, table).T if side < SHORT else None
    at_once = -(-groups // -(-groups * count**2 // CHUNK))
    queries = count if count**2 <= CHUNK else side * max(1, CHUNK // (count * side))
    found, room = torch.empty_like(query), query.new_empty(at_once, queries, count)
    for group in _slices(groups, at_once):
        terms = relative_terms(query[group], table)
        for part in _slices(count, queries):
            bias = _bias(terms[:, part], side, places, room)
            found[group, part] = way(query[group, part], key[group], value[group], bias)
    return found


def attend_packed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Return what :func:`attend` does, keys and values laid out for the CPU once per square."""
    found, side = torch.empty_like(query), (table.shape[1] + 1) // 2
    for one, keys, values, into in zip(query, key, value, found, strict=True):
        scores, answers = PackedLinear(keys, None), PackedLinear(values.T, None)
        terms = relative_terms(one[None], table)[0]
        for part in _slices(len(one), max(1, CHUNK // len(one))):
            weights = scores(one[part])
            places = weights.view(-1, side, side)
            places += terms[part, :side, None]
            places += terms[part, None, side:]
            torch.softmax(weights, dim=-1, out=weights)
            into[part] = answers(weights)
    return found


def _slices(count: int, step: int) -> Iterator[slice]:
    return (slice(first, first + step) for first in range(0, count, step))


def _bias(
    terms: torch.Tensor, side: int, places: torch.Tensor | None, room: torch.Tensor
) -> torch.Tensor:
    """Return what is added for every query and key, (g, q, side * side), written into `room`."""
    room = room[: len(terms), : terms.shape[1]]
    if places is not None:
        return torch.matmul(terms, places, out=room)
    rows, columns = terms[..., :side, None], terms[..., None, side:]
    torch.add(rows, columns, out=room.view(*room.shape[:2], side, side))
    return room


def explicit(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Attend by two products over `bias`, which is written to; the softmax adds in float32."""
    weights = bias.baddbmm_(query, key.transpose(1, 2))
    torch.softmax(weights, dim=-1, out=weights)
    return torch.bmm(weights, value)


def fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Attend by PyTorch's own function."""
    q, k, v = query[None], key[None], value[None]
    return scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=1.0)[0]


@cache
def quicker(dtype: torch.dtype) -> Chunk:
    """Return the way to attend that is faster on this CPU.

    In bfloat16 both are timed, once per machine: which one wins depends on what the CPU has for
    products. In float32 nothing is timed, so that results are the same to the last bit everywhere.
    """
    if dtype == torch.float32:
        return fused
    ways = {"explicit": explicit, "fused": fused}

    def timed() -> str:
        return min(ways, key=lambda name: _seconds(ways[name], dtype))

    return ways[remembered("cpu", f"attention in {dtype}", tuple(ways), timed)]


def _seconds(way: Chunk, dtype: torch.dtype) -> float:
    """Return the time of one chunk of a global block, the best of a few."""
    query, key, value = (torch.zeros(1, n, 64, dtype=dtype) for n in (256, 4096, 4096))
    bias, found = torch.zeros(1, 256, 4096, dtype=dtype), []
    for _ in range(4):
        start = time.perf_counter()
        way(query, key, value, bias)
        found.append(time.perf_counter() - start)
    return min(found)


def attend_folded(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Return what :func:`attend_in_chunks` does, in one call and without any bias."""
    groups, _, wide = value.shape
    terms = relative_terms(query, table)
    places = one_hot(terms.shape[2] // 2, terms).expand(groups, -1, -1)
    query, key = torch.cat([query, terms], dim=-1), torch.cat([key, places], dim=-1)
    # The fast kernels take queries, keys and values of one length, a multiple of 8.
    length = -(-query.shape[2] // 8) * 8
    q, k, v = (pad(x, (0, length - x.shape[2]))[None] for x in (query, key, value))
    return scaled_dot_product_attention(q, k, v, scale=1.0)[0, :, :, :wide]
