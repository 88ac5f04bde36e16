"""Tuning of linear scores: the gradient is the loss's own, and what is tuned fits better."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from napari_ditto.models.logistic import IN_ALL, MOST, Objective, Pixels, draw, refine
from napari_ditto.models.protocols import UNKNOWN
from napari_ditto.models.ridge import RIDGE, solve


def make_pixels(classes=2, count=400, features=5, seed=0):
    """Classes around different places, the rarer the higher; a constant feature last."""
    rng = np.random.default_rng(seed)
    place = np.minimum(rng.geometric(0.6, count) - 1, classes)
    middles = rng.standard_normal((classes + 1, features))
    x = middles[place] + 0.7 * rng.standard_normal((count, features))
    x = np.concatenate([x, np.ones((count, 1))], axis=1).astype(np.float32)
    return Pixels(x, place, rng.uniform(0.5, 2, count))


def ridge_of(pixels):
    classes = pixels.place.max() + 1
    parts = [(pixels.features[pixels.place == c], pixels.weight[pixels.place == c])
             for c in range(classes)]  # fmt: skip
    return solve(np.stack([(x * w[:, None]).T @ x for x, w in parts]))


def penalty_of(pixels):
    return np.full(pixels.features.shape[1], RIDGE)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_gradient_is_that_of_the_loss(classes):
    pixels = make_pixels(classes)
    objective = Objective.of(pixels, ridge_of(pixels), penalty_of(pixels))
    at = objective.anchor.ravel() + 0.1 * np.random.default_rng(1).standard_normal(
        objective.anchor.size
    )
    loss, gradient = objective.loss(at)
    # Features are float32, so the step must be large against their rounding.
    wrong = check_grad(
        lambda x: objective.loss(x)[0], lambda x: objective.loss(x)[1], at, epsilon=1e-3
    )
    assert np.isfinite(loss)
    assert wrong < 0.01 * np.linalg.norm(gradient)


def test_the_loss_falls_and_fewer_pixels_are_wrong():
    pixels = make_pixels()
    anchor = ridge_of(pixels)
    objective = Objective.of(pixels, anchor, penalty_of(pixels))
    losses = [
        objective.loss(
            (refine(pixels, anchor, anchor, penalty_of(pixels), n) * objective.scale).ravel()
        )[0]
        for n in (1, 3, 30)
    ]
    assert objective.loss(objective.anchor.ravel())[0] > losses[0] > losses[1] > losses[2]


def test_what_is_held_firmly_stays():
    pixels = make_pixels()
    anchor = ridge_of(pixels)
    found = refine(pixels, anchor, anchor, 1e9 * penalty_of(pixels), 10)
    np.testing.assert_allclose(found, anchor, atol=1e-6)


def test_a_feature_that_is_always_nothing_stays_as_it_was():
    pixels = make_pixels()
    pixels.features[:, 2] = 0
    anchor = ridge_of(pixels)
    anchor[:, 2] = 7
    found = refine(pixels, anchor, anchor, penalty_of(pixels), 10)
    np.testing.assert_allclose(found[:, 2], 7)
    assert np.isfinite(found).all()


def test_known_pixels_are_drawn_and_stand_for_all():
    rng = np.random.default_rng(0)
    labels = rng.choice([UNKNOWN, 0, 5, 9], (200, 300), p=[0.1, 0.6, 0.29, 0.01])
    at, place, weight = draw(labels, (5, 9, 11), 1)
    assert np.array_equal(labels.ravel()[at], np.array([0, 5, 9, 11])[place])
    assert np.bincount(place).tolist()[:2] == [MOST, MOST]
    for k, label in enumerate((0, 5, 9)):
        assert weight[place == k].sum() == pytest.approx((labels == label).sum())
    many = sum(len(draw(labels, (5, 9), 100)[0]) for _ in range(100))
    assert many <= IN_ALL
    assert all(
        np.array_equal(a, b)
        for a, b in zip(draw(labels, (5, 9), 1), draw(labels, (5, 9), 1), strict=True)
    )
