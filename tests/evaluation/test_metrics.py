from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_ditto.evaluation import metrics

MASKS = arrays(bool, (6, 7))
LABELS = arrays(np.int32, (6, 7), elements=st.integers(0, 4))


def mask(*pixels: int) -> np.ndarray:
    found = np.zeros((2, 3), dtype=bool)
    found.ravel()[list(pixels)] = True
    return found


def test_iou_and_dice_by_hand() -> None:
    a, b = mask(0, 1, 2), mask(1, 2, 3, 4)
    assert metrics.iou(a, b) == 2 / 5
    assert metrics.dice(a, b) == 4 / 7
    assert metrics.iou(mask(), mask()) == metrics.dice(mask(), mask()) == 1.0
    assert metrics.iou(a, mask()) == metrics.dice(a, mask()) == 0.0


@given(MASKS, MASKS)
def test_iou_and_dice_are_symmetric_and_agree(a: np.ndarray, b: np.ndarray) -> None:
    iou, dice = metrics.iou(a, b), metrics.dice(a, b)
    assert iou == metrics.iou(b, a)
    assert dice == metrics.dice(b, a)
    assert dice == pytest.approx(2 * iou / (1 + iou))


@given(LABELS)
def test_the_truth_itself_is_perfect_whatever_its_ids(labels: np.ndarray) -> None:
    ious = metrics.match_ious(labels * 7, labels)
    assert metrics.accuracy(ious, 0.5) == metrics.mean_accuracy(ious) == 1.0


@given(LABELS)
def test_an_empty_answer_finds_nothing(labels: np.ndarray) -> None:
    ious = metrics.match_ious(np.zeros_like(labels), labels)
    assert metrics.accuracy(ious, 0.5) == (0.0 if labels.any() else 1.0)


def test_accuracy_by_hand() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0]])
    found = np.array([[5, 5, 5, 0, 0, 6, 0, 0, 0, 9]])  # IoU .75, .25 and a false one
    ious = metrics.match_ious(found, truth)
    assert ious.tolist() == [[0.75, 0.0, 0.0], [0.0, 0.25, 0.0]]
    assert metrics.accuracy(ious, 0.5) == 1 / 4  # one hit, two false, one missed
    assert metrics.mean_accuracy(ious) == pytest.approx(6 / 10 / 4)  # .50 to .75


def test_two_answers_cannot_both_count_for_one_object() -> None:
    ious = np.array([[0.5, 0.5]])
    assert metrics.accuracy(ious, 0.5) == 1 / 2


def test_rank_correlation_and_calibration_by_hand() -> None:
    assert metrics.rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert metrics.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert np.isnan(metrics.rank_correlation([1, 1, 1], [1, 2, 3]))
    assert metrics.calibration_error([0.9, 0.9, 0.1], [0.7, 0.9, 0.1]) == pytest.approx(0.2 / 3)
    assert metrics.calibration_error([1.0], [1.0]) == 0.0


def test_images_count_alike_however_many_objects_they_have() -> None:
    assert metrics.mean([0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"]) == 0.5


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_an_interval_holds_its_mean(values: list[float], images: int, seed: int) -> None:
    groups = [str(k % images) for k in range(len(values))]
    low, high = metrics.interval(values, groups, seed)
    spread = max(values) - min(values)
    # A percentile interval is of the draws: for tiny, skewed samples the mean may lie at its rim.
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert low - 0.1 * spread <= metrics.mean(values, groups) <= high + 0.1 * spread


def test_objects_of_one_image_do_not_count_as_independent() -> None:
    values = [0.0] * 50 + [1.0] * 50
    alike = ["a"] * 50 + ["b"] * 50
    apart = [str(k) for k in range(100)]
    assert metrics.interval(values, alike) == (0.0, 1.0)
    low, high = metrics.interval(values, apart)
    assert 0.35 < low < 0.45
    assert 0.55 < high < 0.65
