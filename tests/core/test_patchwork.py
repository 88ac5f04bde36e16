"""Tiles joined into one object: exact where they agree, smooth where they do not."""

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.patchwork import Patchwork, connected, tent
from napari_ditto.core.tiling import Grid


def everywhere(shape):
    return np.ones(shape, bool)


def test_agreeing_tiles_blend_to_what_they_say():
    grid, plane = Grid((60, 90), 32), np.random.default_rng(0).uniform(-9, 9, (60, 90))
    work = Patchwork(grid.shape)
    for tile in grid.covering(Box.of_shape(grid.shape)):
        # The whole plane is known, so no tile abstains.
        work.add(tile, plane[tile.box.slices].astype(np.float32), everywhere(tile.box.shape))
    blended = work.blend(Box.of_shape(grid.shape))
    assert np.array_equal(blended > 0, plane > 0)
    assert blended == pytest.approx(plane, abs=0.05)


def test_disagreement_runs_smoothly_over_the_seam():
    """One tile sees the border at row 40, the next at row 48: no jump between columns."""
    grid = Grid((100, 96), 64)
    rows = np.arange(64, dtype=np.float32)[:, None]
    work = Patchwork(grid.shape)
    for column, border in enumerate((40, 48)):
        tile = grid.tile(0, column)
        logits = np.broadcast_to(border - 0.5 - rows, (64, 64)) / 4
        work.add(tile, logits, everywhere((64, 64)))
    height = (work.blend(Box(0, 0, 64, 96)) > 0).sum(axis=0)
    assert height[0] == 40
    assert height[-1] == 48
    assert np.abs(np.diff(height)).max() <= 1


def test_a_tile_that_was_not_asked_does_not_vote():
    grid = Grid((64, 96), 64)
    left, right = grid.tile(0, 0), grid.tile(0, 1)
    here, there = np.full((64, 64), -9, np.float32), np.full((64, 64), -9, np.float32)
    here[5:20, 10:60] = 9
    there[5:20, :28] = there[40:50, 2:60] = 9
    work = Patchwork(grid.shape)
    work.add(left, here, everywhere((64, 64)))
    work.add(right, there, everywhere((64, 64)))
    joined = work.blend(Box(0, 0, 64, 96)) > 0
    assert joined[40:50, 34:92].all()
    assert joined[5:20, 10:60].all()
    assert not joined[25:35].any()


def test_pieces_left_out_are_not_the_object():
    grid = Grid((64, 64), 64)
    logits = np.full((64, 64), -5, np.float32)
    logits[5:10, 5:10] = logits[30:40, 30:40] = 5
    known = np.zeros((64, 64), bool)
    known[6, 6] = True
    keep = connected(logits > 0, known, np.zeros((0, 2), int))
    mask = Patchwork(grid.shape).add(grid.tile(0, 0), logits, keep)
    assert np.array_equal(mask, keep)
    assert mask.sum() == 25
    wanted = connected(logits > 0, known, np.array([[35, 35]]))
    assert wanted.sum() == 125


def test_asking_again_joins_the_answers():
    work, tile = Patchwork((64, 64)), Grid((64, 64), 64).tile(0, 0)
    first, second = np.full((64, 64), -5, np.float32), np.full((64, 64), -5, np.float32)
    first[:5], second[-5:] = 5, 5
    work.add(tile, first, first > 0)
    assert work.add(tile, second, second > 0).sum() == 640
    assert work.extent == Box(0, 0, 64, 64)


def test_weights_fall_towards_inner_edges_only():
    weight = tent(Box(0, 32, 64, 96), (100, 96))
    assert weight[0, 40] == weight[20, 40]
    assert weight[-1].max() < weight[20].max() / 10
    assert weight[10, 0] < weight[10, -1]
    assert (weight > 0).all()
