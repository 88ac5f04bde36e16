"""Labels carried by patches that look alike, and settled between borders."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ditto.core import settling
from napari_ditto.core import transfer as transfer_module
from napari_ditto.core.geometry import Box
from napari_ditto.core.numbering import boxes
from napari_ditto.core.settling import settle
from napari_ditto.core.transfer import REACH, Transfer, transfer_labels


def scene(shift=(0, 0), noise=0.01, seed=0):
    """Return a plane with three discs of other brightness, (h, w, 3), and their labels."""
    rows, columns = np.indices((80, 96))
    labels = np.zeros(rows.shape, np.int64)
    for label, (y, x) in {7: (24, 24), 300: (50, 40), 70_000: (40, 72)}.items():
        labels[np.hypot(rows - y - shift[0], columns - x - shift[1]) < 12] = label
    texture = gaussian_filter(np.random.default_rng(9).random((200, 200)), 1.5)
    grey = 0.2 + 0.2 * np.searchsorted([0, 7, 300, 70_000], labels)
    grey = grey + texture[60 - shift[0] : 140 - shift[0], 60 - shift[1] : 156 - shift[1]] * 0.3
    grey = grey + np.random.default_rng(seed).normal(0, noise, grey.shape)
    return np.repeat(grey.clip(0, 1)[..., None], 3, 2).astype(np.float32), labels


def agreement(found, true):
    return min(
        ((found == n) & (true == n)).sum() / ((found == n) | (true == n)).sum()
        for n in np.unique(true)
    )


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 3)])
def test_labels_follow_what_moves_within_reach(shift):
    then, labels = scene()
    now, true = scene(shift, seed=1)
    found = transfer_labels(then, labels, now).paint(labels.shape)
    assert agreement(found, true) > 0.9
    if shift != (0, 0):
        assert agreement(found, true) > agreement(labels, true) + 0.1


def test_chances_lie_between_0_and_1_and_sum_to_at_most_1():
    then, labels = scene()
    found = transfer_labels(then, labels, scene((2, 1), seed=1)[0])
    total = np.zeros(labels.shape)
    for box, chance in found.chances.values():
        assert chance.shape == box.shape
        assert chance.dtype == np.float32
        assert chance.min() >= 0
        total[box.slices] += chance
    assert total.max() <= 1 + 1e-5


def test_other_ids_give_the_same_picture():
    then, labels = scene()
    now, _ = scene((2, 1), seed=1)
    names = {0: 0, 7: 4_000_000_000, 300: 2, 70_000: 9}
    renamed = np.vectorize(names.get)(labels)
    first = transfer_labels(then, labels, now).paint(labels.shape)
    second = transfer_labels(then, renamed, now).paint(labels.shape)
    np.testing.assert_array_equal(np.vectorize(names.get)(first), second)


def test_a_mirrored_plane_gives_the_mirrored_result():
    then, labels = scene()
    now, _ = scene((2, 1), seed=1)
    first = transfer_labels(then, labels, now).paint(labels.shape)
    second = transfer_labels(then[:, ::-1], labels[:, ::-1], now[:, ::-1]).paint(labels.shape)
    assert (first == second[:, ::-1]).mean() > 0.999


def test_blocks_change_nothing(monkeypatch):
    then, labels = scene()
    now, _ = scene((2, 1), seed=1)
    whole = transfer_labels(then, labels, now)
    monkeypatch.setattr(transfer_module, "BLOCK", 17)
    cut = transfer_labels(then, labels, now)
    for label, (box, chance) in whole.chances.items():
        assert cut.chances[label][0] == box
        np.testing.assert_allclose(chance, cut.chances[label][1], atol=1e-4)


def test_colours_count():
    then, labels = scene()
    red = then * np.where((labels == 7)[..., None], [1, 0.3, 0.3], [0.3, 0.3, 1])
    found = transfer_labels(red.astype(np.float32), labels, red.astype(np.float32))
    assert agreement(found.paint(labels.shape), labels) > 0.95


def test_nothing_labelled_gives_nothing():
    then, labels = scene()
    found = transfer_labels(then, np.zeros_like(labels), then)
    assert not found.chances
    assert not found.paint(labels.shape).any()


def test_boxes_of_labels_of_any_size():
    labels = np.zeros((6, 8), np.uint32)
    labels[1:3, 2:5] = 4_000_000_000
    labels[4, 7] = 3
    assert list(boxes(labels)) == [(3, Box(4, 7, 5, 8)), (4_000_000_000, Box(1, 2, 3, 5))]
    assert [label for label, _ in boxes(np.ones((2, 2), np.int64))] == [1]


def corridor(border):
    """Return a label left of column 20, unsure up to 26, and borders at one column."""
    chance = np.zeros((30, 60), np.float32)
    chance[:, :20] = 1
    chance[:, 20:26] = 0.45
    borders = np.zeros((30, 60), np.float32)
    borders[:, border] = 1
    box = Box(0, 0, 30, 40)
    return Transfer({1: (box, chance[:, :40])}), borders


def test_labels_settle_at_a_border():
    transfer, borders = corridor(border=25)
    settled = settle(transfer, borders).paint((30, 60))
    assert (settled[:, :24] == 1).all()
    assert (settled[:, 27:] == 0).all()
    assert not (transfer.paint((30, 60))[:, 21:24] == 1).any()


def test_sure_labels_stay_without_borders():
    transfer, borders = corridor(border=25)
    settled = settle(transfer, np.zeros_like(borders)).paint((30, 60))
    assert (settled[:, :16] == 1).all()
    assert (settled[:, 30:] == 0).all()


def test_settling_keeps_chances_in_range():
    transfer, borders = corridor(border=25)
    box, chance = settle(transfer, borders).chances[1]
    assert chance.shape == box.shape
    assert box.covers(transfer.chances[1][0])
    assert chance.min() >= 0
    assert chance.max() <= 1 + 1e-4


def test_a_few_steps_settle_what_many_would(monkeypatch):
    transfer, borders = corridor(border=25)
    borders += gaussian_filter(np.random.default_rng(0).random(borders.shape), 2, output=np.float32)
    soon = settle(transfer, borders.clip(0, 1)).chances[1][1]
    monkeypatch.setattr(settling, "STEPS", 400)
    late = settle(transfer, borders.clip(0, 1)).chances[1][1]
    np.testing.assert_allclose(soon, late, atol=5e-3)
    assert np.abs(late - transfer.chances[1][1].max()).max() > 0.1


def test_reach_is_what_motion_leaves_over():
    then, labels = scene()
    now, true = scene((REACH + 8, 0), seed=1)
    assert agreement(transfer_labels(then, labels, now).paint(labels.shape), true) < 0.9
