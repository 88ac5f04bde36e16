"""Slices joined into volumes: one object, one id, neighbours apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core import synthetic
from napari_ditto.core.jobs import drain
from napari_ditto.engine.joining import join, join_steps
from napari_ditto.errors import LabelsError


def shuffled(truth: np.ndarray, seed: int, most: int = 100_000) -> np.ndarray:
    """The same objects under new ids in every slice."""
    rng = np.random.default_rng(seed)
    names = (rng.permutation(most)[: truth.max() + 1] + 1 for _ in truth)
    return np.stack([np.where(f, new[f], 0) for f, new in zip(truth, names, strict=True)])


def pairs(a: np.ndarray, b: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(a[a > 0].tolist(), b[a > 0].tolist(), strict=True))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_ellipsoids_get_one_id_each(seed):
    truth = synthetic.stack((16, 96, 96), 5, seed)[1]
    found = join(shuffled(truth, seed))
    assert ((found > 0) == (truth > 0)).all()
    # Two ids of one object only where another hides a part of it.
    assert len(pairs(truth, found)) <= len(np.unique(truth[truth > 0])) + 1
    assert found.dtype == np.uint32


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), other=st.integers(0, 1000))
def test_ids_of_slices_play_no_part(seed, other):
    truth = synthetic.stack((8, 64, 64), 6, seed)[1]
    assert (join(shuffled(truth, seed)) == join(shuffled(truth, other))).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_neighbours_in_a_slice_never_merge(seed):
    rng = np.random.default_rng(seed)
    slices = np.stack([synthetic.tissue((48, 48), 12, int(s)) for s in rng.integers(0, 99, 4)])
    found = join(slices)
    for old, new in zip(slices, found, strict=True):
        assert len(pairs(old, new)) == len(np.unique(old)) == len(np.unique(new))


def test_a_missing_slice_is_bridged_and_stays_empty():
    stack = np.zeros((5, 20, 20), int)
    stack[[0, 1, 3, 4], 5:12, 5:12] = [[[7]], [[8]], [[9]], [[7]]]
    found = join(stack)
    assert found[[0, 1, 3, 4]].max() == 1
    assert not found[2].any()
    assert join(stack, gap=0).max() == 2


def test_slices_shifted_by_the_microscope_are_joined():
    still = synthetic.blobs((240, 240), 5, 8.0, seed=1)
    still[:, 180:] = 0
    slices = np.stack([np.roll(still, 14 * z, axis=1) for z in range(4)])
    assert (join(slices)[2] > 0).sum() == (still > 0).sum()
    assert join(slices).max() == len(np.unique(still)) - 1


def test_sizes_are_progress_and_the_stack_is_read_slice_by_slice():
    stack = synthetic.stack((4, 32, 32), 2, 0)[1]
    steps = list(_run(stack))
    assert [s.stage for s in steps] == ["read"] * 4 + ["write"] * 4


def _run(stack):
    yield from join_steps(stack)


def test_empty_and_single_slices():
    assert join(np.zeros((3, 8, 8), int)).max() == 0
    assert join(np.eye(8, dtype=int)[None]).max() == 1
    assert drain(join_steps([])).shape == (0, 0, 0)


def test_no_labels():
    with pytest.raises(LabelsError, match="float64"):
        join(np.zeros((2, 8, 8)))
