"""Prototypes of labelled cells."""

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.models.matching.dense import unit
from napari_ditto.models.matching.prototypes import Cells, Coreset


def test_every_look_has_a_prototype(looks):
    cells, middles = looks(300)
    bank = Coreset(cells, (3, 3)).bank()
    for place, own in ((slice(0, 3), middles[:3]), (slice(3, 6), middles[3:])):
        assert (bank.directions[place] @ own.T).max(axis=0) == pytest.approx(1, abs=0.01)
        assert bank.weights[place].sum() == pytest.approx(1)


def test_a_few_cells_leave_places_free(looks):
    cells, _ = looks(6)
    bank = Coreset(cells, (64, 32)).bank()
    assert bank.directions.shape == (96, 8)
    assert (bank.weights > 0).sum() == 6


def test_a_group_is_taken_out_as_if_it_had_not_been_there(looks):
    cells, _ = looks(48)
    coreset = Coreset(cells, (2, 2))
    for chosen, bank in coreset.left_out():
        members = ~np.isin(coreset.member, chosen)
        for place in range(4):
            own = coreset.member[members & (coreset.place == place)]
            middle = unit(cells.features[own].sum(axis=0))
            assert bank.directions[place] == pytest.approx(middle, abs=1e-4)


def test_every_cell_is_left_out_once(looks):
    coreset = Coreset(looks(50)[0], (8, 8))
    chosen = np.concatenate([c for c, _ in coreset.left_out()])
    assert np.array_equal(np.sort(chosen), np.arange(50))


def test_the_only_group_of_a_class_is_not_taken_out(looks):
    cells, _ = looks(12)
    shares = np.zeros_like(cells.shares)
    shares[4:, 0], shares[:4, 1] = 1, 1
    coreset = Coreset(replace(cells, shares=shares), (4, 4))
    chosen, bank = next(coreset.left_out())
    assert chosen.tolist() == [0, 1, 2, 3]
    assert np.array_equal(bank.weights[4:], coreset.bank().weights[4:])


def test_weight_moves_a_prototype():
    features = unit(np.array([[1, 0], [0, 1]], np.float32))
    cells = Cells(features, np.array([[3], [1]], np.float32), np.arange(2))
    bank = Coreset(cells, (1,)).bank()
    assert bank.directions[0] == pytest.approx(unit(np.array([3, 1], np.float32)))
