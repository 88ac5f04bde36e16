"""One-to-one assignment: the best choice, whatever the groups."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from napari_ditto.engine.assignment import assign


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_each_row_and_column_once_and_never_a_cost_above_the_limit(seed, rows, columns):
    rng = np.random.default_rng(seed)
    i, j = np.nonzero(rng.random((rows, columns)) < 0.6)
    costs = rng.uniform(0, 1.5, len(i))
    chosen = assign(i, j, costs, 1.0)
    assert len(set(i[chosen])) == len(set(j[chosen])) == len(chosen)
    assert (costs[chosen] < 1.0).all()
    assert (np.diff(chosen) > 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 6))
def test_the_best_of_all_complete_choices(seed, size):
    table = np.random.default_rng(seed).uniform(0, 0.4, (size, size))
    i, j = (x.ravel() for x in np.indices((size, size)))
    chosen = assign(i, j, table.ravel(), 1.0)
    best = table[linear_sum_assignment(table)].sum()
    assert len(chosen) == size
    assert abs(table.ravel()[chosen].sum() - best) < 1e-5


def test_groups_are_solved_apart_and_in_any_order():
    i, j = np.array([0, 0, 1, 7, 9, 9]), np.array([0, 1, 1, 3, 8, 9])
    costs = np.array([0.1, 0.2, 0.9, 0.5, 0.3, 0.2])
    order = np.random.default_rng(0).permutation(6)
    assert assign(i, j, costs, 1.0).tolist() == [0, 2, 3, 5]
    assert sorted(order[assign(i[order], j[order], costs[order], 1.0)]) == [0, 2, 3, 5]


def test_settled_pairs_go_first_whatever_they_cost():
    i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    costs = np.array([5.0, 0.1, 0.1, 0.3])
    settled = np.array([True, False, False, False])
    assert assign(i, j, costs, 1.0, settled).tolist() == [0, 3]


def test_nothing_to_choose():
    none = np.zeros(0, dtype=np.int64)
    assert assign(none, none, np.zeros(0), 1.0).size == 0
