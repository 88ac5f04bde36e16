"""The contract, several classes and examples, refusals, settings, and a whole plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.window import Window
from napari_ditto.data.embeddings import EmbeddingCache, embedding_key
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.context import segment_like
from napari_ditto.engine.everything import segment_all
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import ContextModel, PromptModel
from napari_ditto.models.seggpt.look import Settings
from napari_ditto.models.seggpt.prompts import choose, groups
from napari_ditto.testing.contracts.models import ContextModelContract, iou, size

LEVELS = (0.45, 0.6, 0.75, 0.9)
PLACES = ((4, 4), (4, 40), (40, 4), (40, 40))
FOUR = [(y, x, level) for (y, x), level in zip(PLACES, LEVELS, strict=True)]
MOVED = [(y + 4, x + 8, level) for y, x, level in FOUR]  # by whole patches of the small network


class TestContract(ContextModelContract):
    @pytest.fixture
    def model(self, model):
        return model

    def test_memory_does_not_grow(self, model):
        """Examples are kept whole, so the memory grows, up to eight."""
        full = model.remember([self.example(model, seed) for seed in range(8)])
        more = model.remember([self.example(model, seed) for seed in range(20)])
        assert size(more) == size(full)


def test_it_reads_examples_and_no_prompts(model):
    assert isinstance(model, ContextModel)
    assert not isinstance(model, PromptModel)
    assert model.spec.capabilities == {"examples"}
    assert model.spec.input_size == 80
    assert model.spec.licence
    assert len(model.spec.weights_sha256) == 64


def test_the_embedding_is_the_tile_in_8_bit_and_lives_in_any_cache(model, picture, tmp_path):
    tile = picture(64, 72)
    (embedding,) = model.encode(tile[None])
    np.testing.assert_array_equal(embedding.arrays["pixels"], np.rint(tile * 255))
    assert embedding.nbytes == 64 * 72 * 3 <= model.spec.embedding_bytes
    cache = EmbeddingCache(directory=tmp_path)
    key = embedding_key(model.spec.key, tile, Window((0.0,), (1.0,)))
    cache.put(key, embedding)
    again = EmbeddingCache(directory=tmp_path).get(key)
    np.testing.assert_array_equal(again.arrays["pixels"], embedding.arrays["pixels"])


@pytest.mark.parametrize("shape", [(1, 81, 4, 3), (1, 0, 4, 3), (4, 4, 3), (1, 4, 4, 1)])
def test_tiles_of_another_shape_are_refused(model, shape):
    with pytest.raises(ModelError, match="tiles must be"):
        model.encode(np.zeros(shape, np.float32))


# --- several classes ----------------------------------------------------------------------------


@pytest.mark.parametrize("colors", [1, 2, 7])
def test_several_classes_by_colour_and_in_separate_passes(model, scene, example, colors, looks):
    asked = model.using(Settings(colors=colors))
    tile, labels = scene(FOUR)
    ids = np.array([0, 70_000, 3, 2**31, 12])[labels]
    memory = asked.remember([example(asked, tile, ids)])
    assert memory.classes == (3, 12, 70_000, 2**31)
    query, truth = scene(MOVED, seed=1)
    found = asked.recall(asked.encode(query[None])[0], memory).probability
    assert looks.count == {1: 4, 2: 2, 7: 1}[colors]
    assert found.sum(axis=0).max() <= 1 + 1e-5
    for label, own in zip(memory.classes, found, strict=True):
        number = [0, 70_000, 3, 2**31, 12].index(label)
        assert iou(own > 0.5, truth == number) > 0.65


@pytest.fixture
def looks(monkeypatch):
    """Counts how often the network is asked, and with how many examples."""
    from napari_ditto.models.seggpt.painter import Painter

    class Looks(list):
        count = property(len)

    seen, paint = Looks(), Painter.paint

    def counted(self, images, *rest):
        seen.append(len(images))
        return paint(self, images, *rest)

    monkeypatch.setattr(Painter, "paint", counted)
    return seen


def test_relabelling_relabels_the_result_and_nothing_else(model, scene, example):
    shown = [scene(FOUR[k:] + FOUR[:k], seed=k) for k in range(3)]
    query = model.encode(scene(MOVED, seed=9)[0][None])[0]
    answers = []
    for ids in ([0, 1, 2, 3, 4], [0, 9, 2, 40, 5]):
        memory = model.remember([example(model, t, np.array(ids)[n]) for t, n in shown])
        found = model.recall(query, memory).probability
        answers.append(dict(zip(memory.classes, found, strict=True)))
    for old, new in zip([1, 2, 3, 4], [9, 2, 40, 5], strict=True):
        np.testing.assert_array_equal(answers[0][old], answers[1][new])


def test_three_hundred_classes_take_forty_three_passes(model, example, looks):
    labels = np.arange(64 * 72).reshape(64, 72) // 15 % 301
    tile = np.repeat((labels % 7 / 7)[..., None], 3, axis=-1).astype(np.float32)
    memory = model.remember([example(model, tile, labels)])
    found = model.recall(model.encode(tile[None])[0], memory).probability
    assert found.shape == (300, 64, 72)
    assert looks.count == 43 == len(groups(300, 7))
    assert found.sum(axis=0).max() <= 1 + 1e-5


def test_more_classes_than_it_can_tell_apart_are_one_line(model, example):
    labels = np.arange(64 * 72).reshape(64, 72) % 514
    with pytest.raises(ModelError, match=r"513 classes.*at most 512") as caught:
        model.remember([example(model, np.zeros((64, 72, 3), np.float32), labels)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [1, 7, 8, 15, 300])
def test_passes_part_the_classes_evenly(classes):
    parts = groups(classes, 7)
    assert [r for part in parts for r in part] == list(range(1, classes + 1))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert max(map(len, parts)) <= 7


# --- several examples ---------------------------------------------------------------------------


@pytest.fixture
def many(model, scene, example):
    """Twelve examples of one square each, of different weights."""
    return [
        example(model, *scene([(4 + 2 * k, 3 * k, 0.8)], seed=k), weight=1 + (5 * k) % 12)
        for k in range(12)
    ]


def test_the_order_of_examples_does_not_matter(model, many):
    first, second = model.remember(many), model.remember(many[::-1])
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], array)


def test_the_heaviest_are_kept(model, many):
    kept = model.remember(many)
    heavy = sorted(many, key=lambda e: -e.weight)[:8]
    np.testing.assert_array_equal(kept.arrays["images"], model.remember(heavy).arrays["images"])


def test_an_example_given_twice_or_without_weight_or_label_is_left_out(model, many):
    silent = replace(many[1], weight=0.0)
    empty = replace(many[2], labels=0 * many[2].labels)
    memory = model.remember([many[0], replace(many[0], weight=3.0), silent, empty])
    assert len(memory.arrays["images"]) == 1


def test_of_equal_weight_those_that_show_most_are_kept(model, scene, example):
    """Tiles of a large example that touch a thing with a corner are the last choice."""
    corner = np.zeros((64, 72), int)
    corner[0, 0] = 1
    slivers = [example(model, scene([], seed=s)[0], corner) for s in range(20)]
    whole = example(model, *scene([(8, 8, 0.8)]))
    memory = model.remember([*slivers, whole])
    assert (memory.arrays["labels"][0] > 0).sum() > 200


def test_every_class_of_a_pass_is_shown(model, many):
    rare = replace(many[0], labels=7 * many[0].labels, weight=0.01)
    memory = model.remember([*many[1:], rare])
    assert memory.classes == (1, 7)
    assert len(memory.arrays["images"]) == 8
    assert set(np.unique(memory.arrays["labels"])) == {0, 1, 2}


def test_choosing_again_among_the_chosen_changes_nothing():
    rng = np.random.default_rng(0)
    for _ in range(200):
        present = [np.flatnonzero(rng.random(6) < 0.3) for _ in range(12)]
        group = tuple(sorted(rng.choice(np.arange(1, 6), 3, replace=False).tolist()))
        other = tuple(r for r in range(1, 6) if r not in group)
        kept = sorted({*choose(present, group, 4), *choose(present, other, 4)})
        again = choose([present[i] for i in kept], group, 4)
        assert [kept[i] for i in again] == choose(present, group, 4)


def test_all_examples_are_looked_at_or_all_at_once(model, many, looks):
    spatial = model.using(Settings(ensemble="spatial"))
    for asked in (model, spatial):
        own = [replace(e, embedding=asked.encode(tile(e)[None])[0]) for e in many]
        memory = asked.remember(own[:5])
        looks.clear()
        found = asked.recall(own[11].embedding, memory).probability[0] > 0.5
        assert looks == ([5] if asked is model else [1])
        assert iou(found, many[11].labels > 0) > 0.65


def tile(example):
    return example.embedding.arrays["pixels"].astype(np.float32) / 255


def test_the_grid_holds_every_example_shrunk_and_no_mixed_colour():
    import torch

    from napari_ditto.models.seggpt.painter import tiled

    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 63, 63) * 50
    colors = torch.where(images > 100, 255.0, 0.0)
    shrunk, painted = tiled(images, colors)
    assert shrunk.shape == painted.shape == (1, 3, 63, 63)
    middles = shrunk[0, 0, 10::21, 10::21]
    expected = torch.tensor([[0.0, 50, 100], [150, 200, 0], [50, 100, 150]])
    torch.testing.assert_close(middles, expected, atol=1e-3, rtol=0)
    assert set(painted.unique().tolist()) == {0, 255}


# --- refusals -----------------------------------------------------------------------------------


def test_other_settings_are_another_model(model, many):
    memory = model.remember(many)
    other = model.using(Settings(kind="semantic"))
    with pytest.raises(ModelError, match="other settings"):
        other.recall(other.encode(tile(many[0])[None])[0], memory)
    with pytest.raises(ModelError, match="other settings"):
        other.remember(many)


@pytest.mark.parametrize(
    "wrong", [{"ensemble": "mean"}, {"kind": "panoptic"}, {"colors": 0}, {"colors": 9}]
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ModelError, match="cannot be set"):
        Settings(**wrong)


@pytest.mark.parametrize("damage", ["missing", "shape", "order", "ranks"])
def test_a_memory_whose_arrays_do_not_fit(model, many, damage):
    memory = model.remember(many)
    arrays = dict(memory.arrays)
    if damage == "missing":
        del arrays["labels"]
    elif damage == "shape":
        arrays["images"] = arrays["images"][:, 1:]
    elif damage == "order":
        arrays["order"] = arrays["order"] + 1
    else:
        arrays["labels"] = arrays["labels"] + 1
    with pytest.raises(ModelError, match="the memory is damaged"):
        model.recall(many[0].embedding, replace(memory, arrays=arrays))


def test_labels_of_another_shape_and_nothing_known(model, many):
    with pytest.raises(ModelError, match="Labels of shape"):
        model.remember([replace(many[0], labels=np.ones((3, 3), int))])
    with pytest.raises(ModelError, match="No labelled pixel"):
        model.remember([replace(many[0], labels=np.full((64, 72), -1))])


def test_prompts_are_refused_in_one_line(model):
    source = open_source(np.zeros((64, 64), np.float32), axes="yx", window=(0, 1))
    for ask in (lambda: Annotator(source, model), lambda: segment_all(source, model)):
        with pytest.raises(ModelError, match=r"takes no prompts, only examples.*more like this"):
            ask()


# --- a whole plane ------------------------------------------------------------------------------


@pytest.mark.parametrize("instances", [False, True])
def test_more_like_this_in_a_plane_of_many_tiles(model, scene, instances):
    image, labels = scene([(8, 8, 0.8)], shape=(48, 48))
    places = [(10, 12, 0.8), (60, 100, 0.8), (90, 20, 0.8)]
    plane, truth = scene(places, shape=(120, 150), seed=1)
    source = open_source(plane, axes="yxc", window=(0, 1))
    found = segment_like(source, [(image, labels)], model, instances=instances)
    assert iou(found > 0, truth > 0) > 0.7
    assert len(np.unique(found)) == (4 if instances else 2)
