"""Examples for models that have none of their own."""

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.masks import deepest_pixels
from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like
from napari_ditto.errors import ModelError
from napari_ditto.models.ditto.model import load_ditto
from napari_ditto.models.matching.matcher import BACKGROUND, OBJECTS, Learnt, dice
from napari_ditto.models.protocols import UNKNOWN, ContextModel, Example
from napari_ditto.models.registry import load_model
from napari_ditto.testing.contracts.models import ContextModelContract, make_tile, size
from napari_ditto.testing.fakes import CountingModel
from napari_ditto.testing.matching import MatchingModel, ditto_features


@pytest.fixture(scope="module")
def ditto():
    return load_ditto("cpu")


class TestMeaningfulFeatures(ContextModelContract):
    """The encoder and decoder of the bundled network, as if it could not learn from examples."""

    @pytest.fixture
    def model(self, ditto):
        return MatchingModel(ditto, lambda e: ditto_features(e, 4))


@pytest.fixture(scope="module", params=["sam", "sam_hq", "sam2"])
def network(request, checkpoints):
    return load_model(f"{request.param}:{getattr(checkpoints, request.param)}", device="cpu")


class TestNetworks(ContextModelContract):
    """Seeded checkpoints: every weight is random, so only form is asked for."""

    seeks_objects = False

    @pytest.fixture
    def model(self, network):
        return network


def same(a, b):
    """Whether two memories are equal bit for bit."""
    return a.classes == b.classes and all(
        x.dtype == b.arrays[n].dtype and np.array_equal(x, b.arrays[n]) for n, x in a.arrays.items()
    )


def test_networks_say_so(network):
    assert isinstance(network, ContextModel)
    assert "examples" in network.spec.capabilities


def test_networks_remember_the_same_twice(network):
    tile = make_tile((100, 128))
    labels = (tile[..., 0] > 0.5).astype(int)
    memories = [network.remember([Example(network.encode(tile[None])[0], labels)]) for _ in "ab"]
    assert same(*memories)
    found = [network.recall(network.encode(tile[None])[0], m).probability for m in memories]
    assert np.array_equal(*found)


@pytest.mark.parametrize("instances", [False, True])
def test_networks_segment_like(network, instances):
    tile = make_tile((128, 128))
    labels = (tile[..., 0] > 0.5).astype(int)
    counting = CountingModel(network)
    model = MatchingModel(counting, network._dense)
    source = open_source(tile[..., 0], axes="yx", window=(0, 1))
    found = segment_like(source, [(source, labels)], model, instances=instances)
    assert found.shape == labels.shape
    assert counting.encoded == 1
    assert counting.decoded < 200


def test_networks_do_not_look_into_their_padding(network):
    dense = network._dense(network.encode(make_tile((32, 128))[None])[0])
    rows = 2 if network.spec.family != "sam2" else 8
    assert dense.shape == (rows, 8)
    assert dense.values.dtype == np.float32


def test_memory_of_one_network_is_refused_by_another(network, knowing, shown):
    memory = knowing.remember([shown(0)])
    with pytest.raises(ModelError, match="perfect"):
        network.recall(network.encode(make_tile()[None])[0], memory)
    with pytest.raises(ModelError, match="perfect"):
        network.remember([shown(0)])


def test_kinds_are_found_and_outlined(knowing, shown, scene):
    memory = knowing.remember([shown(0)])
    tile, labels = scene(5)
    found = knowing.recall(knowing.encode(tile)[0], memory).probability
    sharp = dice(found, labels, memory.classes)
    blurred = replace(Learnt.of(memory), trust=0.0).to_memory(memory.classes, memory.model)
    plain = knowing.recall(knowing.encode(tile)[0], blurred).probability
    assert sharp > 0.97
    assert sharp > dice(plain, labels, memory.classes) + 0.02


def test_order_of_examples_does_not_matter(knowing, shown):
    examples = [shown(s) for s in range(3)]
    assert same(knowing.remember(examples), knowing.remember(examples[::-1]))


def test_relabelling_relabels_and_nothing_else(knowing, shown, scene):
    example = shown(0)
    other = replace(example, labels=np.array([0, 70_000, 200, 90])[example.labels])
    query = knowing.encode(scene(5)[0])[0]
    maps = [knowing.recall(query, knowing.remember([e])).probability for e in (example, other)]
    assert knowing.remember([other]).classes == (90, 200, 70_000)
    assert maps[1] == pytest.approx(maps[0][::-1], abs=1e-3)


def test_memory_is_as_large_for_one_example_as_for_many(knowing, shown):
    one, many = knowing.remember([shown(0)]), knowing.remember([shown(s) for s in range(6)])
    assert size(many) == size(one)
    assert len(many.arrays["directions"]) == BACKGROUND + 3 * OBJECTS


def test_nothing_is_learnt_from_what_is_unknown(knowing, shown):
    example = shown(0)
    labels = example.labels.copy()
    labels[:, 56:] = UNKNOWN
    # Whatever lies in the unknown part may change.
    truth = example.embedding.arrays["truth"].copy()
    truth[:, 56:] = 7
    changed = Embedding({"truth": truth}, example.embedding.tile_shape, example.embedding.model)
    first = knowing.remember([replace(example, labels=labels)])
    second = knowing.remember([Example(changed, labels)])
    for name in ("middle", "directions", "weights", "bias"):
        assert np.array_equal(first.arrays[name], second.arrays[name])


def test_an_example_of_no_weight_adds_nothing(knowing, shown):
    wrong = shown(1)
    wrong = replace(wrong, labels=np.where(wrong.labels == 1, 2, 1), weight=1e-6)
    alone, both = knowing.remember([shown(0)]), knowing.remember([shown(0), wrong])
    query = shown(5).embedding
    maps = [knowing.recall(query, m).probability for m in (alone, both)]
    assert np.abs(maps[0] - maps[1]).mean() < 0.02


def test_objects_without_background(knowing, shown):
    example = shown(0)
    labels = np.where(example.labels == 1, 1, UNKNOWN)
    memory = knowing.remember([replace(example, labels=labels)])
    query = shown(5)
    found = knowing.recall(query.embedding, memory).probability
    assert dice(found, (query.labels == 1).astype(int), (1,)) > 0.8


def test_classes_that_fill_the_image(knowing, shown):
    example = shown(0)
    labels = np.where(example.labels == 0, 9, example.labels)
    memory = knowing.remember([replace(example, labels=labels)])
    query = shown(5)
    expected = np.where(query.labels == 0, 9, query.labels)
    assert dice(knowing.recall(query.embedding, memory).probability, expected, (1, 2, 3, 9)) > 0.9


def test_a_few_pixels_are_enough(knowing, shown):
    example = shown(0)
    labels = np.full_like(example.labels, UNKNOWN)
    for value in range(4):
        y, x = deepest_pixels(example.labels == value)[0]
        labels[y, x] = value
    memory = knowing.remember([replace(example, labels=labels)])
    query = shown(5)
    found = knowing.recall(query.embedding, memory).probability
    assert dice(found, query.labels, (1, 2, 3)) > 0.7


def test_without_background_nothing_is_tuned(knowing, shown):
    example = shown(0)
    example = replace(example, labels=np.where(example.labels == 0, UNKNOWN, example.labels))
    memory = knowing.remember([example])
    assert knowing.tune(memory, [example]) is memory


def test_tuning_is_never_worse(knowing, shown):
    examples = [shown(0), shown(1)]
    memory = knowing.remember(examples[:1])
    broken = Learnt.of(memory)
    bias = broken.kernel.bias + np.array([0, 9, -9, 0], np.float32)
    broken = replace(broken, kernel=replace(broken.kernel, bias=bias))
    for start in (memory, broken.to_memory(memory.classes, memory.model)):
        tuned = knowing.tune(start, examples, steps=20)
        worth = [knowing._matcher._worth(m, examples) for m in (start, tuned)]
        assert worth[1] >= worth[0]
        assert size(tuned) == size(memory)
    assert worth[1] > worth[0] + 0.05


def test_classes_that_are_not_shown_are_not_forgotten(knowing, shown):
    memory = knowing.remember([shown(0)])
    example = shown(1)
    partly = replace(example, labels=np.where(example.labels == 3, UNKNOWN, example.labels))
    assert knowing.tune(memory, [partly]) is memory


def test_unknown_classes_are_refused(knowing, shown):
    memory = knowing.remember([shown(0)])
    other = replace(shown(1), labels=shown(1).labels * 5)
    with pytest.raises(ModelError, match=r"\[5, 10, 15\]"):
        knowing.tune(memory, [other])


def test_three_hundred_classes(knowing):
    labels = np.arange(300).reshape(15, 20).repeat(4, axis=0).repeat(4, axis=1) + 1
    embedding = knowing.encode(np.zeros((1, 60, 80, 3), np.float32))[0]
    memory = knowing.remember([Example(embedding, labels)])
    assert len(memory.classes) == 300
    found = knowing.recall(embedding, memory).probability
    assert found.sum(axis=0).max() <= 1 + 1e-5
    assert np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 3)])
def test_small_tiles(network, shape):
    embedding = network.encode(np.full((1, *shape, 3), 0.5, np.float32))[0]
    memory = network.remember([Example(embedding, np.ones(shape, int))])
    found = network.recall(embedding, memory).probability
    assert found.shape == (1, *shape)
    assert np.isfinite(found).all()


def test_without_trust_nothing_is_decoded(knowing, shown):
    memory = knowing.remember([shown(0)])
    plain = replace(Learnt.of(memory), trust=0.0).to_memory(memory.classes, memory.model)
    counting = CountingModel(knowing.model)
    model = MatchingModel(counting, knowing._matcher.dense)
    model.recall(shown(5).embedding, plain)
    assert counting.decoded == 0
    model.recall(shown(5).embedding, memory)
    assert 0 < counting.decoded <= 2 * 32
