"""Learning from examples with the bundled network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like
from napari_ditto.errors import ModelError
from napari_ditto.models.ditto import context_features
from napari_ditto.models.ditto.context import BLENDS
from napari_ditto.models.ditto.model import load_ditto
from napari_ditto.models.protocols import Example
from napari_ditto.testing.contracts.models import ContextModelContract, disc, iou, make_tile, size


@pytest.fixture(scope="module")
def ditto():
    return load_ditto("cpu")


@pytest.fixture(scope="module")
def shown(ditto):
    """Three labelled tiles: a bright disc of class 1, a dim square of 2, a bar of none."""
    return [Example(ditto.encode(scene(s)[0][None])[0], scene(s)[1]) for s in range(3)]


@pytest.fixture(scope="module")
def memory(ditto, shown):
    return ditto.remember(shown)


def scene(seed, shape=(96, 80)):
    """Return a tile and its labels; the places differ from seed to seed."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, 0.2) + 0.02 * rng.standard_normal(shape)
    labels = np.zeros(shape, int)
    y, x = np.indices(shape)
    cy, cx = rng.integers(16, 44), rng.integers(16, 60)
    labels[(y - cy) ** 2 + (x - cx) ** 2 <= 100] = 1
    at = rng.integers(4, 56)
    labels[70:88, at : at + 18] = 2
    image[labels == 1] += 0.6
    image[labels == 2] += 0.25
    image[62:64] -= 0.15
    tile = np.clip(image, 0, 1).astype(np.float32)
    return np.repeat(tile[..., None], 3, axis=-1), labels


class TestContract(ContextModelContract):
    @pytest.fixture
    def model(self, ditto):
        return ditto


def test_several_classes_are_told_apart(ditto, memory):
    tile, labels = scene(7)
    found = ditto.recall(ditto.encode(tile[None])[0], memory)
    for k, label in enumerate(memory.classes):
        assert iou(found.probability[k] > 0.5, labels == label) > 0.75
    assert found.center.shape == found.boundary.shape == labels.shape
    assert found.center.dtype == np.float32


def test_order_of_examples_does_not_matter(ditto, shown, memory):
    again = ditto.remember(shown[::-1])
    assert set(again.arrays) == set(memory.arrays)
    assert all(np.array_equal(again.arrays[n], a) for n, a in memory.arrays.items())


def test_memory_and_its_use_are_bounded(ditto, shown, memory):
    many = ditto.remember([replace(shown[i % 3], weight=1 + i) for i in range(9)])
    assert size(many) == size(memory) < 1_000_000


def test_embedding_is_within_its_budget(ditto):
    embedding = ditto.encode(np.zeros((1, 256, 256, 3), np.float32))[0]
    kept = sum(a.nbytes for n, a in embedding.arrays.items() if n.startswith("context"))
    assert kept <= 6_000_000 / 4


def test_inverted_masks_invert_the_answer(ditto, shown):
    inverted = [replace(e, labels=(e.labels != 1).astype(int)) for e in shown]
    tile, labels = scene(8)
    found = ditto.recall(ditto.encode(tile[None])[0], ditto.remember(inverted)).probability[0]
    assert iou(found < 0.5, labels == 1) > 0.7


def test_shuffled_masks_teach_nothing(ditto, shown):
    masks = [np.roll((e.labels == 1).astype(int), (0, 40), (0, 1)) for e in shown]
    wrong = [replace(e, labels=m) for e, m in zip(shown, masks, strict=True)]
    tile, labels = scene(9)
    found = ditto.recall(ditto.encode(tile[None])[0], ditto.remember(wrong)).probability[0]
    assert iou(found > 0.5, labels == 1) < 0.2


def test_nothing_is_found_where_nothing_is(ditto, memory):
    tile, labels = scene(10)
    tile[labels > 0] = 0.2
    found = ditto.recall(ditto.encode(tile[None])[0], memory).probability
    assert (found > 0.5).mean() < 0.02


def test_tuning_fits_the_examples_better(ditto, shown):
    rng = np.random.default_rng(0)
    noisy = [
        replace(e, labels=np.where(rng.random(e.labels.shape) < 0.1, 2, e.labels)) for e in shown
    ]
    memory = ditto.remember(noisy)
    tuned = ditto.tune(memory, shown, steps=3)

    def fit(m):
        maps = [ditto.recall(e.embedding, m).probability for e in shown]
        return np.mean(
            [
                2 * p[k][e.labels == c].sum() / (p[k].sum() + (e.labels == c).sum())
                for p, e in zip(maps, shown, strict=True)
                for k, c in enumerate(m.classes)
            ]
        )

    assert fit(tuned) > fit(memory) + 0.01


def test_tuning_towards_an_unknown_class_is_refused(ditto, shown, memory):
    with pytest.raises(ModelError, match="values \\[7\\]"):
        ditto.tune(memory, [replace(shown[0], labels=shown[0].labels + 6 * (shown[0].labels == 1))])


def test_without_any_background_everything_is_of_the_class(ditto, shown):
    memory = ditto.remember([replace(shown[0], labels=np.full(shown[0].labels.shape, 3))])
    found = ditto.recall(shown[1].embedding, memory)
    assert memory.classes == (3,)
    assert (found.probability[0] > 0.5).mean() > 0.95


def test_an_example_without_labels_shows_the_background(ditto, shown):
    bare = replace(shown[1], labels=np.zeros_like(shown[1].labels))
    assert ditto.remember([shown[0], bare]).classes == (1, 2)


def test_labels_of_another_shape_are_refused(ditto, shown):
    with pytest.raises(ModelError, match="example 1"):
        ditto.remember([replace(shown[0], labels=np.ones((5, 5), int))])


def test_examples_and_tiles_may_differ_in_size(ditto):
    example = Example(ditto.encode(make_tile()[None])[0], disc().astype(int))
    memory = ditto.remember([example])
    for shape in ((8, 8), (1, 1), (130, 40)):
        found = ditto.recall(ditto.encode(np.full((1, *shape, 3), 0.5, np.float32))[0], memory)
        assert found.probability.shape == (1, *shape)
        assert np.isfinite(found.probability).all()


def test_tiny_and_constant_examples_teach_something_finite(ditto):
    labels = np.zeros((8, 8), int)
    labels[2:5, 2:5] = 1
    embedding = ditto.encode(np.full((1, 8, 8, 3), 0.5, np.float32))[0]
    found = ditto.recall(embedding, ditto.remember([Example(embedding, labels)])).probability
    assert found.shape == (1, 8, 8)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_examples_may_be_of_another_type_than_the_image(ditto, dtype):
    (shown, labels), (image, expected) = scene(11), scene(12)
    source = open_source(np.rint(image[..., 0] * 255).astype(np.uint8), axes="yx", window=(0, 255))
    example = (np.rint(shown[..., 0] * 255).astype(dtype), labels)
    found = segment_like(source, [example], ditto)
    assert iou(found == 1, expected == 1) > 0.6


def test_examples_may_have_other_channels_than_the_image(ditto):
    (shown, labels), (image, expected) = scene(11), scene(12)
    source = open_source(image[..., 0], axes="yx", window=(0, 1))
    found = segment_like(source, [(shown, labels)], ditto)
    assert iou(found == 1, expected == 1) > 0.6


def test_a_single_example_is_judged_by_both(ditto, shown):
    blend = ditto.remember(shown).arrays["blend"]
    assert tuple(blend) in BLENDS
    assert tuple(ditto.remember(shown[:1]).arrays["blend"]) == BLENDS[0]


def test_a_linear_function_of_maps_is_one_of_enlarged_maps(ditto):
    (embedding,) = ditto.encode(scene(3, (94, 81))[0][None])
    found = context_features.maps(embedding)
    weights = {s: torch.randn(5, len(x), generator=random(s)) for s, x in found.items()}
    shown = context_features._double(context_features._enlarge(found), found[2])
    constant = torch.arange(5.0)
    expected = torch.tensordot(torch.cat([*weights.values()], 1), torch.cat([shown, found[2]]), 1)
    expected += constant[:, None, None]
    total = context_features.project(found, weights, constant)
    torch.testing.assert_close(total, expected, atol=1e-3, rtol=1e-4)


def random(seed):
    return torch.Generator().manual_seed(seed)
