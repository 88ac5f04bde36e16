"""What must not change what is carried: the order of examples, the ids, the direction."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.data.source import open_source
from napari_ditto.engine.propagate import propagate
from napari_ditto.models.registry import load_model
from napari_ditto.testing.fakes import CountingModel

PLANES, SHAPE = 7, (96, 112)
MODELS = ("classic", "ditto")


def discs() -> np.ndarray:
    y, x = np.indices(SHAPE)
    out = np.zeros((PLANES, *SHAPE), np.uint32)
    for z in range(PLANES):
        out[z][np.hypot(y - 26, x - 28 - 2 * z) <= 14] = 3
        out[z][np.hypot(y - 68 + z, x - 78) <= 18] = 8
    return out


def image(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(4).normal(0, 6, labels.shape)
    return np.clip(60 + 110 * (labels > 0) + noise, 0, 255).astype(np.uint8)


def carried(pixels: np.ndarray, examples: dict[int, np.ndarray], model: str) -> np.ndarray:
    source = open_source(pixels, axes="zyx", window=(0, 255))
    return np.asarray(propagate(source, examples, "z", load_model(model)).labels)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def usual(model: str) -> np.ndarray:
    truth = discs()
    return carried(image(truth), {0: truth[0], 6: truth[6]}, model)


def test_drifting_discs_are_followed(usual: np.ndarray) -> None:
    truth = discs()
    for label in (3, 8):
        a, b = usual == label, truth == label
        assert (a & b).sum() / (a | b).sum() > 0.85


def test_the_order_of_examples_does_not_matter(model: str, usual: np.ndarray) -> None:
    truth = discs()
    again = carried(image(truth), {6: truth[6], 0: truth[0]}, model)
    assert np.array_equal(usual, again)


@pytest.mark.parametrize("ids", [(8, 3), (70_000, 5), (5, 4_000_000_000)])
def test_other_ids_give_the_same_masks(model: str, usual: np.ndarray, ids: tuple[int, int]) -> None:
    truth = discs()
    renamed = np.where(truth == 3, ids[0], np.where(truth == 8, ids[1], 0)).astype(np.uint32)
    found = carried(image(truth), {0: renamed[0], 6: renamed[6]}, model)
    assert np.array_equal(found == ids[0], usual == 3)
    assert np.array_equal(found == ids[1], usual == 8)


def test_a_mirrored_stack_is_followed_alike(model: str) -> None:
    truth = discs()
    pixels = image(truth)
    ahead = carried(pixels, {1: truth[1]}, model)
    back = carried(pixels[::-1].copy(), {PLANES - 2: truth[1]}, model)
    assert np.array_equal(ahead, back[::-1])


def test_an_object_is_followed_alike_with_and_without_others_far_away(
    model: str, usual: np.ndarray
) -> None:
    truth = np.where(discs() == 3, 3, 0).astype(np.uint32)
    alone = carried(image(discs()), {0: truth[0], 6: truth[6]}, model) == 3
    both = usual == 3
    assert (alone & both).sum() / (alone | both).sum() > 0.95


def test_every_plane_is_encoded_once(model: str) -> None:
    truth = discs()
    counting = CountingModel(load_model(model))
    source = open_source(image(truth), axes="zyx", window=(0, 255))
    propagate(source, {3: truth[3]}, "z", counting)
    assert counting.encoded == PLANES
