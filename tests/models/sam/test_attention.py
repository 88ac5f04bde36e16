"""Attention in chunks, explicit or fused, and folded, equals one softmax over everything."""

from __future__ import annotations

import pytest
import torch

from napari_ditto.models.sam import attention
from napari_ditto.models.sam.attention import (
    attend_folded,
    attend_in_chunks,
    attend_packed,
    centre,
    explicit,
    fused,
    relative_table,
    relative_terms,
)

GOOD_TO = {torch.float32: 2e-5, torch.bfloat16: 0.05}


def dense(query, key, value, rows, columns):
    """Add up every pair by itself, in float64; `rows` and `columns` are by query minus key."""
    query, key, value, rows, columns = (x.double() for x in (query, key, value, rows, columns))
    side = (len(rows) + 1) // 2
    y, x = torch.arange(side**2) // side, torch.arange(side**2) % side
    dy, dx = (p[:, None] - p[None, :] + side - 1 for p in (y, x))
    bias = torch.einsum("gqd,qkd->gqk", query, rows[dy] + columns[dx])
    return (query @ key.transpose(1, 2) + bias).softmax(-1) @ value


def squares(side, groups=3, wide=8, dtype=torch.float32):
    made = torch.Generator().manual_seed(side)
    parts = [torch.randn(groups, side**2, wide, generator=made) for _ in range(3)]
    offsets = [torch.randn(2 * side - 1, wide, generator=made) / 2 for _ in range(2)]
    return [x.to(dtype) for x in (*parts, *offsets)]


@pytest.mark.parametrize("dtype", GOOD_TO)
@pytest.mark.parametrize("way", ["explicit", "fused", "folded", "packed"])
@pytest.mark.parametrize("side", [1, 2, 5])
def test_equal_to_one_softmax(side, way, dtype):
    query, key, value, rows, columns = squares(side, dtype=dtype)
    table = relative_table(rows, columns, side).to(dtype)
    expected = dense(query, key, value, rows, columns)
    if way in ("folded", "packed"):
        whole = {"folded": attend_folded, "packed": attend_packed}[way]
        found = whole(query, key, value, table)
    else:
        attend = {"explicit": explicit, "fused": fused}[way]
        found = attend_in_chunks(query, key, value, table, attend)
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=GOOD_TO[dtype])


@pytest.mark.parametrize("short", [0, 100], ids=["adds", "product"])
@pytest.mark.parametrize("chunk", [1, 60, 400, 700, 10_000])
@pytest.mark.parametrize("attend", [explicit, fused])
def test_chunks_of_any_size_are_one_whole(attend, chunk, short, monkeypatch):
    query, key, value, rows, columns = squares(5, groups=3)
    monkeypatch.setattr(attention, "CHUNK", chunk)
    monkeypatch.setattr(attention, "SHORT", short)
    found = attend_in_chunks(query, key, value, relative_table(rows, columns, 5), attend)
    expected = dense(query, key, value, rows, columns)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("chunk", [1, 60, 400, 10_000])
def test_packed_chunks_of_any_size_are_one_whole(chunk, monkeypatch):
    query, key, value, rows, columns = squares(5)
    monkeypatch.setattr(attention, "CHUNK", chunk)
    found = attend_packed(query, key, value, relative_table(rows, columns, 5))
    expected = dense(query, key, value, rows, columns)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_large_squares_of_float32_are_packed(monkeypatch):
    monkeypatch.setattr(attention, "LARGE", 25)
    monkeypatch.setattr(attention, "attend_packed", lambda *given: "packed")
    monkeypatch.setattr(attention, "attend_in_chunks", lambda *given: "chunks")
    for side, dtype, expected in (
        (5, torch.float32, "packed"),
        (4, torch.float32, "chunks"),
        (5, torch.bfloat16, "chunks"),
    ):
        *parts, rows, columns = squares(side, dtype=dtype)
        assert attention.attend(*parts, relative_table(rows, columns, side)) == expected


def test_chunks_are_as_large_as_told(monkeypatch):
    asked = []

    def attend(query, key, value, bias):
        asked.append(bias.numel())
        return explicit(query, key, value, bias)

    query, key, value, rows, columns = squares(6, groups=4)
    table = relative_table(rows, columns, 6)
    for chunk in (6 * 36, 500, 3 * 36**2, 10**6):
        asked.clear()
        monkeypatch.setattr(attention, "CHUNK", chunk)
        attend_in_chunks(query, key, value, table, attend)
        assert sum(asked) == 4 * 36**2
        assert max(asked) <= chunk


def test_terms_of_a_part_of_a_larger_tensor():
    """They are read with strides that know where a tensor begins."""
    query, _, _, rows, columns = squares(4, groups=5)
    table = relative_table(rows, columns, 4)
    whole = relative_terms(query, table)
    torch.testing.assert_close(relative_terms(query[2:4], table), whole[2:4])


def test_a_smaller_square_has_the_offsets_in_the_middle():
    _, _, _, rows, columns = squares(6)
    table = relative_table(rows, columns, 6)
    part = slice(3, -3)
    small = relative_table(rows[part], columns[part], 3)
    torch.testing.assert_close(centre(table, 3), small)
    assert centre(table, 6) is not None
    torch.testing.assert_close(centre(table, 6), table)


@pytest.mark.parametrize("side", [3, 5, 8])
def test_offsets_of_another_side_are_resized_as_in_the_library(side, network):
    layer = network("sam").vision_encoder.layers[0].attn
    _, _, _, rows, columns = squares(5)
    query = torch.randn(2, side**2, 8)
    expected = layer.get_decomposed_rel_pos(query, rows, columns, (side, side), (side, side))
    terms = relative_terms(query, relative_table(rows, columns, side))
    y, x = terms.split(side, dim=-1)
    found = (y[..., None] + x[..., None, :]).view(2, side, side, side, side)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("winner", ["explicit", "fused"])
def test_half_precision_takes_the_quicker_way_and_float32_none_but_one(
    winner, monkeypatch, tmp_path
):
    asked = []
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path))

    def seconds(attend, dtype):
        asked.append(attend)
        return 1.0 if attend.__name__ == winner else 2.0

    monkeypatch.setattr(attention, "_seconds", seconds)
    attention.quicker.cache_clear()
    assert attention.quicker(torch.float32) is fused
    assert asked == []
    assert attention.quicker(torch.bfloat16).__name__ == winner
    attention.quicker.cache_clear()  # as in another process of this machine
    assert attention.quicker(torch.bfloat16).__name__ == winner
    assert asked == [explicit, fused]
    attention.quicker.cache_clear()


def test_ways_are_really_timed():
    assert 0 < attention._seconds(explicit, torch.bfloat16) < 10
