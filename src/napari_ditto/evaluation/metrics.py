"""Scores of masks and label images, and how sure a mean of them is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

IOU_STEPS = np.arange(10, 20) / 20
"""Thresholds of the mean segmentation accuracy."""

DRAWS = 2000
"""Bootstrap draws of an interval."""


def iou(a: Mask, b: Mask) -> float:
    """Return intersection over union in [0, 1]; 1 for two empty masks."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def dice(a: Mask, b: Mask) -> float:
    """Return twice the intersection over the sum of areas, in [0, 1]; 1 for two empty masks."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else 1.0


def boundary_f(found: Mask, truth: Mask, tolerance: float = 0.008) -> float:
    """Return the F-measure of two contours in [0, 1]; 1 if there is neither, 0 if one is missing.

    Perazzi et al. 2016 (DAVIS), section 5.1: a pixel of a contour is right if the other contour is
    within `tolerance` of the plane's diagonal, rounded up.

    Parameters
    ----------
    found, truth : ndarray of bool, shape (h, w)
        Masks.
    tolerance : float
        Part of the diagonal.
    """
    from scipy.ndimage import distance_transform_edt

    a, b = contour(found), contour(truth)
    if not a.any() or not b.any():
        return float(not a.any() and not b.any())
    reach = np.ceil(tolerance * np.hypot(*truth.shape))
    near_a, near_b = (distance_transform_edt(~c) <= reach for c in (a, b))
    precision, recall = float(near_b[a].mean()), float(near_a[b].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: Mask) -> Mask:
    """Return the pixels that differ from the one below, to the right or across, as in DAVIS."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    below, right, across = padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:]
    return np.asarray((mask ^ below) | (mask ^ right) | (mask ^ across))


def match_ious(found: NDArray[np.integer], truth: NDArray[np.integer]) -> Floats:
    """Return the IoU of every true object with every found one, shape (true, found).

    Parameters
    ----------
    found, truth : ndarray of int, shape (h, w)
        Label images, 0 is background; ids need not follow each other.
    """
    true_ids, t = np.unique(truth, return_inverse=True)
    found_ids, f = np.unique(found, return_inverse=True)
    common = np.zeros((len(true_ids), len(found_ids)), dtype=np.float64)
    np.add.at(common, (t.ravel(), f.ravel()), 1)
    union = common.sum(axis=1, keepdims=True) + common.sum(axis=0, keepdims=True) - common
    ious: Floats = common / union
    return np.asarray(ious[np.ix_(true_ids != 0, found_ids != 0)])


def accuracy(ious: Floats, threshold: float) -> float:
    """Return TP / (TP + FP + FN) of objects matched at an IoU; 1 if nothing is there to find.

    Matches are one to one and as many as possible (Hungarian algorithm), as in the evaluation of
    the 2018 Data Science Bowl (Caicedo et al. 2019), where the threshold makes them unique.
    """
    from scipy.optimize import linear_sum_assignment

    if not sum(ious.shape):
        return 1.0
    hits = ious >= threshold
    pairs = linear_sum_assignment(hits, maximize=True)
    true_positives = int(hits[pairs].sum())
    return true_positives / (sum(ious.shape) - true_positives)


def mean_accuracy(ious: Floats) -> float:
    """Return the mean of :func:`accuracy` over IoU .50, .55 to .95 (mSA)."""
    return float(np.mean([accuracy(ious, t) for t in IOU_STEPS]))


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's rank correlation; nan if either is constant or has under 3 values."""
    from scipy.stats import rankdata

    x, y = rankdata(np.asarray(a)), rankdata(np.asarray(b))
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def calibration_error(scores: ArrayLike, ious: ArrayLike, bins: int = 10) -> float:
    """Return the expected calibration error: mean over predictions of |score - IoU| by bin.

    Guo et al. 2017 (arXiv:1706.04599), with the true IoU in the place of being right.
    """
    said, true = np.asarray(scores, dtype=float), np.asarray(ious, dtype=float)
    if not said.size:
        return float("nan")
    place = np.clip((said * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(place, said - true, bins)
    return float(np.abs(gaps).sum() / said.size)


def mean(values: Sequence[float] | Floats, groups: Sequence[str]) -> float:
    """Return the mean over objects, then over images; nan of nothing.

    Parameters
    ----------
    values : sequence of float
        One per object.
    groups : sequence of str
        The image of each.
    """
    return float(np.mean(_group_means(values, groups))) if len(values) else float("nan")


def interval(
    values: Sequence[float] | Floats, groups: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of :func:`mean`, images drawn with replacement.

    With a single image objects are drawn, which is too sure: they are not independent.
    """
    if not len(values):
        return float("nan"), float("nan")
    means = _group_means(values, groups)
    if len(means) < 2:
        means = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(len(means), size=(DRAWS, len(means)))
    low, high = np.percentile(means[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _group_means(values: Sequence[float] | Floats, groups: Sequence[str]) -> Floats:
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(place, np.asarray(values, dtype=np.float64))
    return np.asarray(sums / np.bincount(place))
