"""More like this: classes and objects after one example, over many tiles."""

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like, segment_like_steps
from napari_ditto.engine.lessons import remember_steps
from napari_ditto.engine.like_objects import ABOVE_OTHERS, LEAST_SHARE, MOST_SHARE, Sizes, veto
from napari_ditto.errors import SourceError
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.models.protocols import UNKNOWN, ContextMap, Memory, ModelSpec
from napari_ditto.models.registry import load_model
from napari_ditto.testing.fakes import TRUTH_WINDOW, PerfectModel, paint_truth


class ByBrightness:
    """Knows each class by the mean brightness of its pixels; a stand-in with small tiles."""

    spec = ModelSpec("brightness", "fake", "1", "0" * 64, "BSD-3-Clause", "none", input_size=48)

    def encode(self, tiles):
        return [Embedding({"light": t[..., 0]}, t.shape[:2], self.spec.key) for t in tiles]

    def remember(self, examples):
        classes = sorted({int(c) for e in examples for c in np.unique(e.labels) if c > 0})
        light = np.concatenate([e.embedding.arrays["light"].ravel() for e in examples])
        labels = np.concatenate([e.labels.ravel() for e in examples])
        means = [light[labels == c].mean() for c in (0, *classes)]
        return Memory({"means": np.array(means)}, tuple(classes), self.spec.key)

    def recall(self, embedding, memory):
        away = -abs(embedding.arrays["light"] - memory.arrays["means"][:, None, None])
        odds = np.exp(40 * away)
        return ContextMap((odds / odds.sum(axis=0))[1:].astype(np.float32))

    def tune(self, memory, examples, steps=20):
        return memory


def two_kinds(seed):
    cells = blobs((130, 170), 30, radius=9, seed=seed)
    kinds = np.where(cells > 0, cells % 2 + 1, 0)
    image = np.array([20, 120, 220], np.uint8)[kinds]
    return image, kinds, cells


def test_classes_are_found_over_many_tiles():
    (shown, kinds, _), (image, expected, _) = two_kinds(0), two_kinds(1)
    source = open_source(image, axes="yx", window=(0, 255))
    found = segment_like(source, [(shown, kinds)], ByBrightness())
    assert np.array_equal(found, expected)


def test_objects_get_ids_of_their_own():
    shown, image = blobs((100, 100), 15, seed=0), blobs((130, 170), 25, radius=10, seed=3)
    source = open_source((image > 0).astype(np.uint8) * 200, axes="yx", window=(0, 255))
    example = ((shown > 0).astype(np.uint8) * 200, shown)
    found = segment_like(source, [example], ByBrightness(), instances=True)
    assert np.array_equal(found > 0, image > 0)
    assert abs(int(found.max()) - int(image.max())) <= 2


def test_classic_learns_from_one_example():
    shown, truth = blobs((120, 120), 20, seed=0), blobs((140, 160), 25, seed=1)
    source = open_source(render(truth, seed=1), axes="yx", window=(0, 255))
    found = segment_like(source, [(render(shown), (shown > 0).astype(int))], ClassicModel())
    assert ((found > 0) & (truth > 0)).sum() / ((found > 0) | (truth > 0)).sum() > 0.8


def test_progress_names_each_tile():
    image, kinds, _ = two_kinds(0)
    source = open_source(image, axes="yx", window=(0, 255))
    steps = list(segment_like_steps(source, [(image, kinds)], ByBrightness()))
    tiles = [p for p in steps if p.stage == "decode"]
    assert [p.done for p in tiles] == list(range(tiles[0].total))


def test_labels_of_another_shape_are_refused():
    image, kinds, _ = two_kinds(0)
    source = open_source(image, axes="yx", window=(0, 255))
    with pytest.raises(SourceError, match="example 1"):
        segment_like(source, [(image, kinds[:50])], ByBrightness())


class Telling(PerfectModel):
    """Knows every object, and its kind by the parity of its id; does not suggest some."""

    def __init__(self, tile=64, silent=()):
        super().__init__(tile)
        self.silent = set(silent)

    def suggest(self, embedding):
        truth = embedding.arrays["truth"]
        asked = super().suggest(embedding)
        spots = [(round(p.points[0].y), round(p.points[0].x)) for p in asked]
        return [p for p, at in zip(asked, spots, strict=True) if truth[at] not in self.silent]

    def remember(self, examples):
        pairs = [(e.embedding.arrays["truth"], e.labels) for e in examples]
        shown = {int(t) % 2 for truth, labels in pairs for t in truth[labels > 0]}
        denied = [truth[(x == 0) & (truth > 0)] for truth, x in pairs if not (x > 0).any()]
        shown -= {int(t) % 2 for found in denied for t in found}
        return Memory({"kinds": np.array(sorted(shown))}, (1,), self.spec.key)

    def recall(self, embedding, memory):
        truth = embedding.arrays["truth"].astype(int)
        likely = np.isin(truth % 2, memory.arrays["kinds"]) & (truth > 0)
        chance = np.where(likely, 0.9, 0.1).astype(np.float32)
        return ContextMap(chance[None], center=np.zeros(truth.shape, np.float32))

    def tune(self, memory, examples, steps=20):
        return memory


class CountedTelling(Telling):
    """Notes what it is asked."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def encode(self, tiles):
        self.calls.append("encode")
        return super().encode(tiles)

    def decode(self, embedding, prompts):
        self.calls.append("decode")
        return super().decode(embedding, prompts)

    def recall(self, embedding, memory):
        self.calls.append("recall")
        return super().recall(embedding, memory)


def told(labels):
    return open_source(paint_truth(labels), axes="yxc", window=TRUTH_WINDOW)


def same_objects(found, truth):
    """Whether two label images have the same objects under any ids."""
    pairs = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(found)) == len(np.unique(truth))


@pytest.fixture
def scene():
    """Objects of two kinds, by the parity of their ids, over many tiles, and those of one."""
    cells = blobs((150, 190), 30, radius=9, seed=4)
    return cells, np.where(cells % 2 == 1, cells, 0)


def test_only_the_shown_kind_is_found(scene):
    cells, odd = scene
    found = segment_like(told(cells), [(told(cells), odd)], Telling(), instances=True)
    assert same_objects(found, odd)


def test_all_kinds_shown_are_found(scene):
    cells, _ = scene
    found = segment_like(told(cells), [(told(cells), cells)], Telling(), instances=True)
    assert same_objects(found, cells)


def test_what_the_model_does_not_suggest_is_found_by_the_map(scene):
    cells, odd = scene
    silent = np.unique(odd)[1:6]
    found = segment_like(told(cells), [(told(cells), odd)], Telling(silent=silent), instances=True)
    assert same_objects(found, odd)


def test_objects_of_another_size_are_left_out():
    truth = np.zeros((128, 128), int)
    truth[4:14, 4:14], truth[4:14, 24:34], truth[50:110, 50:110], truth[4:7, 50:53] = 1, 3, 5, 7
    shown = np.where(truth <= 3, truth, 0)
    found = segment_like(told(truth), [(told(truth), shown)], Telling(128), instances=True)
    assert same_objects(found, shown)


def test_a_part_of_the_plane_is_as_in_the_whole():
    (shown, kinds, _), (image, expected, _) = two_kinds(0), two_kinds(1)
    source = open_source(image, axes="yx", window=(0, 255))
    region = Box(17, 40, 97, 151)
    model = ByBrightness()
    steps = segment_like_steps(source, [(shown, kinds)], model, region=region)
    found = drain(steps)
    assert found.box == region
    assert found.probability.shape == (2, *region.shape)
    assert np.array_equal(found.labels, expected[region.slices])
    small = drain(segment_like_steps(source, [(shown, kinds)], model, region=Box(0, 0, 9, 9)))
    assert small.labels.shape == (9, 9)


def test_objects_of_a_part_may_reach_out_of_it(scene):
    cells, odd = scene
    region = Box(30, 40, 100, 120)
    steps = segment_like_steps(
        told(cells), [(told(cells), odd)], Telling(), instances=True, region=region
    )
    found = drain(steps)
    assert same_objects(found.labels, odd[region.slices])
    assert any(not region.covers(mask.box) for mask in found.objects)


def test_confidence_is_cut_again_without_asking_the_model(scene):
    cells, odd = scene
    model = CountedTelling()
    found = drain(segment_like_steps(told(cells), [(told(cells), odd)], model, instances=True))
    before = list(model.calls)
    labels, scores = found.above(0.0)
    assert np.array_equal(labels, found.labels)
    assert np.array_equal(scores, found.scores)
    assert len(scores) == labels.max() == len(np.unique(odd)) - 1
    assert (np.diff(scores) <= 0).all()
    middle = float(np.median(scores))
    fewer, sure = found.above(middle)
    assert np.array_equal(sure, scores[scores >= middle])
    assert len(np.unique(fewer)) == len(sure) + 1
    none, nothing = found.above(1.1)
    assert not none.any()
    assert len(nothing) == 0
    assert {"encode", "decode"} <= set(before)
    assert model.calls == before


def test_unsure_pixels_of_classes_become_background():
    image, kinds, _ = two_kinds(0)
    source = open_source(image, axes="yx", window=(0, 255))
    found = drain(segment_like_steps(source, [(image, kinds)], ByBrightness()))
    labels, scores = found.above(0.0)
    assert np.array_equal(labels, found.labels)
    assert np.array_equal(scores, found.scores)
    assert (scores > 0.9).all()
    assert found.objects == ()
    assert not found.above(1.1)[0].any()


def test_examples_from_several_places_are_learnt_together():
    (first, kinds, _), (image, expected, _) = two_kinds(0), two_kinds(1)
    source = open_source(image, axes="yx", window=(0, 255))
    stack = open_source(np.stack([first * 0, first]), axes="zyx", window=(0, 255))
    one = PlaneExample(stack, stack.plane({"z": 1}), kinds, ids=(1,))
    two = PlaneExample(stack, stack.plane({"z": 1}), kinds, ids=(2,))
    off = PlaneExample(stack, stack.plane({"z": 0}), kinds, enabled=False)
    found = segment_like(source, [one, two, off], ByBrightness())
    assert np.array_equal(found, expected)


def test_none_of_this_takes_a_kind_away(scene):
    cells, _ = scene
    both, none = (told(cells) for _ in range(2))
    given = [
        PlaneExample(both, both.plane(), cells),
        PlaneExample(none, none.plane(), np.where(cells % 2 == 0, cells, 0), negative=True),
    ]
    found = segment_like(told(cells), given, Telling(), instances=True)
    assert same_objects(found, np.where(cells % 2 == 1, cells, 0))


def test_the_order_of_examples_does_not_matter(scene):
    (image, kinds, _), (other, more, _) = two_kinds(0), two_kinds(5)
    target = open_source(two_kinds(1)[0], axes="yx", window=(0, 255))
    pairs = [(image, kinds), (other, more), (image, np.where(kinds == 1, 1, -1))]
    found = [segment_like(target, p, ClassicModel()) for p in (pairs, pairs[::-1])]
    assert np.array_equal(*found)


def test_other_names_of_classes_change_nothing_else():
    (image, kinds, _), (target, _, _) = two_kinds(0), two_kinds(1)
    source = open_source(target, axes="yx", window=(0, 255))
    names = np.array([0, 4_000_000_000, 17])
    plain = segment_like(source, [(image, kinds)], ClassicModel())
    renamed = segment_like(source, [(image, names[kinds])], ClassicModel())
    assert np.array_equal(renamed, names[plain])


def test_a_memory_takes_the_place_of_examples(scene):
    cells, odd = scene
    model, given = Telling(), [(told(cells), odd)]
    memory = drain(remember_steps(told(cells), given, model, instances=True))
    expected = drain(segment_like_steps(told(cells), given, model, instances=True))
    for examples in (given, []):
        steps = segment_like_steps(told(cells), examples, model, instances=True, memory=memory)
        assert same_objects(drain(steps).labels, expected.labels)


def test_it_can_be_stopped_at_every_step(scene):
    cells, odd = scene
    given = told(cells), [(told(cells), odd)]
    count = sum(1 for _ in segment_like_steps(*given, Telling(), instances=True))
    for stop in range(0, count, 7):
        steps = segment_like_steps(*given, Telling(), instances=True)
        for _ in range(stop + 1):
            assert isinstance(next(steps), Progress)
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)


def test_the_veto_lies_above_what_the_examples_show_beside_the_kind():
    chance, labels = np.full((64, 64), 0.02, np.float32), np.zeros((64, 64), int)
    chance[8:20, 8:20], labels[8:20, 8:20] = 0.9, 1
    sizes = Sizes.of([labels])
    assert veto([chance], [labels], sizes) == LEAST_SHARE
    chance[40:52, 40:52] = 0.3
    assert veto([chance], [labels], sizes) == pytest.approx(ABOVE_OTHERS * 0.3, rel=0.01)
    chance[40:52, 40:52] = 0.9
    assert veto([chance], [labels], sizes) == MOST_SHARE
    assert veto([chance], [np.where(labels > 0, 1, UNKNOWN)], sizes) == LEAST_SHARE
    assert veto([], [], sizes) == LEAST_SHARE


def test_a_similar_kind_is_left_out():
    ditto = load_model("ditto")
    scenes = []
    for seed in (0, 1):
        cells = blobs((256, 256), 20, radius=14, seed=seed)
        image = np.array([60, 150, 190])[np.where(cells > 0, cells % 2 + 1, 0)]
        noise = np.random.default_rng(seed).normal(0, 6, image.shape)
        scenes.append(((image + noise).astype(np.uint8), cells))
    (shown, cells), (target, truth) = scenes
    source = open_source(target, axes="yx", window=(0, 255))
    example = (shown, np.where(cells % 2 == 0, cells, 0))
    found = segment_like(source, [example], ditto, instances=True)
    covered = {int(i) for i in np.unique(truth) if i and (found[truth == i] > 0).mean() > 0.5}
    kind = {i for i in covered if i % 2 == 0}
    assert len(kind) >= len(np.unique(truth[truth % 2 == 0])) - 2
    others = np.unique(truth[truth % 2 == 1])
    assert len(covered - kind) < len(others) / 2
