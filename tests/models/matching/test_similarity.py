"""Similarity that is calibrated on left out cells, and its tuning."""

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.models.matching.prototypes import Coreset
from napari_ditto.models.matching.similarity import balance, calibrate, softmax
from napari_ditto.models.matching.weighing import reweigh


def told(kernel, cells):
    """Return the probability of class 1 of each cell."""
    return softmax(kernel.logits(cells.features))[1]


def part(cells, chosen):
    """Return some of the cells."""
    return replace(
        cells,
        features=cells.features[chosen],
        shares=cells.shares[chosen],
        group=cells.group[chosen],
    )


def test_unseen_cells_are_told_apart_at_one_half(looks):
    cells, _ = looks(240)
    kernel = calibrate(Coreset(part(cells, slice(120)), (8, 8)))
    rest = part(cells, slice(120, None))
    assert np.array_equal(told(kernel, rest) > 0.5, rest.shares[:, 1] > 0)


def test_noise_is_not_believed(looks):
    cells, _ = looks(200)
    shuffled = np.random.default_rng(0).permutation(cells.shares)
    sure = told(calibrate(Coreset(cells, (16, 16))), cells)
    unsure = told(calibrate(Coreset(replace(cells, shares=shuffled), (16, 16))), cells)
    assert np.abs(sure - 0.5).mean() > 0.4
    assert np.abs(unsure - 0.5).mean() < 0.15


def test_a_class_without_background_takes_what_is_like_it(looks):
    cells, middles = looks(120)
    learnt = part(cells, cells.shares[:, 1] > 0)
    found = softmax(calibrate(Coreset(learnt, (8, 8))).logits(middles))[1]
    assert found[3:].min() > 0.5
    assert found[:3].max() < 0.5


def test_balance_lifts_rare_classes():
    shares = np.array([[1, 0]] * 99 + [[0, 1]], np.float32)
    mass = balance(shares).sum(axis=0)
    assert mass.sum() == pytest.approx(1)
    assert mass[1] == pytest.approx(1 / (1 + 99**0.5))


def test_tuning_follows_its_gradient(looks):
    cells, _ = looks(60, seed=2)
    coreset = Coreset(cells, (8, 8))
    kernel = calibrate(coreset)
    wrong = replace(kernel, slope=0.02, bias=np.array([4, -4], np.float32))
    tuned = reweigh(wrong, coreset, 30)
    assert told(wrong, cells).max() < 0.5
    assert np.array_equal(told(tuned, cells) > 0.5, cells.shares[:, 1] > 0)
    assert np.array_equal(tuned.bank.directions, kernel.bank.directions)
