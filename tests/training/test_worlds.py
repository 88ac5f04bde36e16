"""Worlds repeat for a seed, keep their ranges, and nest their layers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage as ndi

from training import scenes, shapes
from training.appearance import paint
from training.worlds import render

SIDE = 96


@pytest.mark.parametrize("seed", range(4))
def test_a_seed_gives_one_world(seed: int) -> None:
    first, again = (render(np.random.default_rng(seed), SIDE) for _ in range(2))
    other = render(np.random.default_rng(seed + 100), SIDE)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_the_standard_side_is_160() -> None:
    image, layers = render(np.random.default_rng(0))
    assert image.shape == (160, 160, 3)
    assert image.dtype == np.uint8
    assert layers.shape == (3, 160, 160)
    assert layers.dtype == np.uint8


@pytest.mark.parametrize("family", scenes.FAMILIES)
def test_every_family_nests_its_layers_and_numbers_from_one(family: str) -> None:
    depths = []
    for seed in range(8):
        made = scenes.FAMILIES[family][1](np.random.default_rng(seed), SIDE)
        for outer, inner in pairwise(made.layers):
            assert not np.any((inner > 0) & (outer == 0))
        for count, layer in zip(made.counts, made.layers, strict=True):
            np.testing.assert_array_equal(np.unique(layer[layer > 0]), np.arange(1, count + 1))
        depths.append(sum(count > 0 for count in made.counts))
    assert max(depths) >= {"nested": 3, "single": 2, "packed": 2, "rings": 2}.get(family, 1)


@pytest.mark.parametrize("family", scenes.FAMILIES)
def test_an_inner_object_has_one_parent(family: str) -> None:
    for seed in range(8):
        layers = scenes.FAMILIES[family][1](np.random.default_rng(seed), SIDE).layers
        for outer, inner in pairwise(layers):
            for value in range(1, inner.max() + 1):
                assert len(np.unique(outer[inner == value])) == 1


def test_a_lobed_nucleus_is_one_piece() -> None:
    for seed in range(20):
        _, pieces = ndi.label(scenes.lobes(np.random.default_rng(seed), SIDE, (48, 48), 20))
        assert pieces == 1


def test_objects_differ_from_their_surroundings_in_most_worlds() -> None:
    apart = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        made = scenes.scene(rng, SIDE)
        grey, mask = paint(rng, made).mean(-1), made.layers[0] > 0
        near = ndi.binary_dilation(mask, iterations=4) & ~mask
        if near.any():
            apart.append(abs(grey[mask].mean() - grey[near].mean()) > 8)
    assert np.mean(apart) > 0.7


@pytest.mark.parametrize("slope", [0.0, 1.5, 3.0])
def test_a_field_is_standardised_and_smoother_for_a_steeper_slope(slope: float) -> None:
    field = shapes.random_field(np.random.default_rng(3), 64, slope)
    rougher = shapes.random_field(np.random.default_rng(3), 64, slope - 0.5)
    assert abs(float(field.mean())) < 1e-5
    assert float(field.std()) == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(field)).mean() < np.abs(np.diff(rougher)).mean()


def test_a_smooth_outline_is_a_disc_of_its_radius() -> None:
    disc = shapes.blob(64, (31.5, 31.5), shapes.outline(np.random.default_rng(0), 20, 0))
    assert disc.sum() == pytest.approx(np.pi * 20**2, rel=0.02)


def test_nothing_is_added_where_it_would_be_hidden() -> None:
    made = scenes.Scene.empty(32)
    square = np.zeros((32, 32), bool)
    square[4:20, 4:20] = True
    assert made.add(square) is not None
    assert made.add(square) is None
    assert made.add(~square, depth=1) is None
    assert made.counts == [1, 0, 0]
