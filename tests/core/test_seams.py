"""Objects across seams: matched in the halo, one mask each, in tissue and as long as they like."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_ditto.core import grouping, seams
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.run_plan import RunTile
from napari_ditto.core.tiling import Grid
from napari_ditto.engine.whole.rendering import TileLabels, render

STRESS = bool(os.environ.get("DITTO_STRESS"))
SHAPE = (1536, 1536) if STRESS else (768, 768)
SEEDS = range(10) if STRESS else range(1)
TILINGS = ((512, 64), (384, 48), (700, 80)) if STRESS else ((512, 64), (384, 48))
DENSITIES = (200, 500, 1500) if STRESS else (50, 125, 375)
"""Cells in the picture: about 108, 69 and 40 pixels across."""


def tissue(count, rng, shape=SHAPE):
    """Return confluent cells."""
    centers = rng.uniform(0, 1, (count, 2)) * shape
    pixels = np.indices(shape).reshape(2, -1).T
    return (cKDTree(centers).query(pixels)[1] + 1).reshape(shape)


def jittered(labels, rng, pixels):
    """Return labels whose borders have moved by up to so many pixels."""
    if not pixels:
        return labels
    fields = (gaussian_filter(rng.normal(size=labels.shape), 6) for _ in range(2))
    moves = [np.rint(pixels * f / np.abs(f).max()).astype(int) for f in fields]
    at = [
        np.clip(i + m, 0, n - 1)
        for i, m, n in zip(np.indices(labels.shape), moves, labels.shape, strict=True)
    ]
    return labels[tuple(at)]


def tiled(truth, window, halo, see=lambda crop: crop):
    """Return the labels of a run over tiles that show what `see` makes of the truth."""
    grid, margin = Grid(truth.shape, window, 2 * halo), seams.margin(halo)
    tiles, labels, placed = [], [], []
    for number in range(grid.count):
        tile = grid.tile(*divmod(number, grid.columns.count))
        core = grid.core(tile)
        ids, local = np.unique(np.append(0, see(truth[tile.box.slices])), return_inverse=True)
        local = local[1:].reshape(tile.box.shape)
        tiles.append(RunTile(number, 0, PlaneAddress(), tile.box, core))
        labels.append(local)
        objects = seams.measure(local, len(ids) - 1, tile.box, core, truth.shape, margin)
        placed.append(grouping.Placed(number, tile.box, objects))
    pairs = {}
    for number in range(grid.count):
        for row, column in seams.neighbours(grid, *divmod(number, grid.columns.count)):
            other = row * grid.columns.count + column
            pairs[number, other] = seams.match(
                labels[number],
                labels[other],
                (tiles[number].window, tiles[other].window),
                (placed[number].objects.cut, placed[other].objects.cut),
                truth.shape,
                margin,
            )
    grouper = grouping.Grouping(placed, grid)
    groups = grouper.join(pairs)
    named = []
    for number, (tile, local) in enumerate(zip(tiles, labels, strict=True)):
        part = grouper.positions(number)
        ids = np.append(0, groups.ids[part])
        named.append(TileLabels(tile, local, ids, np.append(0, groups.modes[part]).astype("u1")))
    return render(Box.of_shape(truth.shape), lambda box: iter(named)), groups


def compared(truth, found):
    """Return for each true object its best IoU, the count found, and the number of mergers."""
    size = int(found.max()) + 1
    table = np.bincount(truth.ravel() * size + found.ravel(), minlength=(truth.max() + 1) * size)
    table = table.reshape(-1, size)
    areas, own = table.sum(1, keepdims=True), table.sum(0, keepdims=True)
    iou = table / np.maximum(areas + own - table, 1)
    real = areas[1:, 0] > 0
    merged = ((table[1:, 1:] > 0.5 * areas[1:]) & real[:, None]).sum(0)
    count = len(np.unique(found[found > 0]))
    return iou[1:, 1:].max(1)[real], count, int((merged > 1).sum())


def test_tissue_of_a_perfect_model_comes_out_whole(capsys):
    found, truths, wrong, merged = [], 0, 0, 0
    for seed in SEEDS:
        for density in DENSITIES:
            truth = tissue(density, np.random.default_rng(seed))
            for window, halo in TILINGS:
                iou, count, mergers = compared(truth, tiled(truth, window, halo)[0])
                found.append(iou)
                truths += len(iou)
                wrong += abs(count - len(iou))
                merged += mergers
    good = float((np.concatenate(found) >= 0.9).mean())
    with capsys.disabled():
        print(f"\ntissue: {good:.2%} of {truths} at IoU .9, count off by {wrong}, {merged} merged")
    assert good >= 0.995
    assert wrong <= 0.002 * truths
    assert merged == 0


def test_tissue_with_jitter_at_the_borders(capsys):
    found, alone = [], []
    for seed in SEEDS:
        for density in DENSITIES:
            rng = np.random.default_rng(seed)
            truth = tissue(density, rng)
            alone.append(compared(truth, jittered(truth, rng, 2))[0])
            for window, halo in TILINGS:
                labels, _ = tiled(truth, window, halo, lambda crop, r=rng: jittered(crop, r, 2))
                found.append(compared(truth, labels)[0])
    good, most = (float((np.concatenate(x) >= 0.9).mean()) for x in (found, alone))
    with capsys.disabled():
        print(f"\n2 px of jitter: {good:.2%} at IoU .9; {most:.2%} if nothing is tiled")
    # The jitter alone spoils some small cells; seams may add next to nothing to that.
    assert good >= most - 0.005
    assert good >= (0.99 if STRESS else 0.98)


def test_objects_over_four_and_more_tiles(capsys):
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        truth = tissue(12 if STRESS else 4, rng)
        grid = Grid(SHAPE, 256, 48)
        cores = np.zeros(SHAPE, dtype=int)
        for number in range(grid.count):
            tile = grid.tile(*divmod(number, grid.columns.count))
            cores[grid.core(tile).slices] = number
        met = np.unique(truth * grid.count + cores) // grid.count
        large = np.flatnonzero(np.bincount(met) >= 4) - 1
        for pixels in (0, 2):
            see = lambda crop, r=rng, p=pixels: jittered(crop, r, p)  # noqa: E731
            found.append(compared(truth, tiled(truth, 256, 24, see)[0])[0][large])
    good = float((np.concatenate(found) >= 0.9).mean())
    with capsys.disabled():
        print(f"\nover four and more tiles: {good:.1%} of {len(np.concatenate(found))} at IoU .9")
    assert good >= 0.95


def test_a_ring_over_nine_tiles_is_one_object():
    y, x = np.indices((300, 300)) - 150
    truth = ((np.hypot(y, x) > 100) & (np.hypot(y, x) < 115)).astype(int)
    from scipy.ndimage import label

    labels, groups = tiled(truth, 140, 20, lambda crop: label(crop)[0])
    assert groups.count == 1
    assert np.array_equal(labels > 0, truth > 0)


def test_what_only_a_neighbour_sees_is_left_out():
    truth = np.zeros((100, 300), dtype=int)
    truth[40:60, 155:175] = 1
    seen = iter((truth[:, :180], np.zeros((100, 180), dtype=int)))
    labels, groups = tiled(truth, 180, 30, lambda crop: next(seen))
    # Its middle lies in the second tile's core, which sees it best and finds nothing.
    assert groups.count == 0
    assert not labels.any()


@pytest.mark.parametrize("gap", [0, 2])
def test_two_halves_that_touch_at_a_seam_stay_two(gap):
    truth = np.zeros((100, 300), dtype=int)
    truth[30:70, 120 : 150 - gap], truth[30:70, 150:180] = 1, 2
    labels, groups = tiled(truth, 180, 30)
    assert groups.count == 2
    assert np.array_equal(labels, truth)
