"""Pieces cover the image once, and cut no window."""

from __future__ import annotations

import pytest
import torch

from napari_ditto.models.device import threads
from napari_ditto.models.sam.pieces import STRIP, heads_of, pieces_of


@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.parametrize("window", [0, 3, 14])
@pytest.mark.parametrize("side", [1, 3, 13, 14, 16, 64])
def test_pieces_cover_everything_once(side, window, count):
    seen = torch.zeros(1, side, side, 1)
    with threads(count):
        pieces = pieces_of(seen, window)
    for rows, columns in pieces:
        seen[:, rows, columns] += 1
        assert window == 0 or rows.start % window == columns.start % window == 0
        assert rows.stop - rows.start <= (window or STRIP)
    assert (seen == 1).all()


def test_the_published_networks_have_pieces_for_every_core():
    x = torch.zeros(1, 64, 64, 1)
    with threads(2):
        assert len(pieces_of(x, 14)) == 10
    with threads(16):
        assert len(pieces_of(x, 14)) == 20
    assert len(pieces_of(x.to("meta"), 14)) == 1


def test_a_core_attends_to_one_head_and_a_gpu_to_all() -> None:
    parts = torch.empty(3, 12, 4, 4, 2)
    assert heads_of(parts) == [slice(i, i + 1) for i in range(12)]
    assert heads_of(parts.to("meta")) == [slice(0, 12)]
