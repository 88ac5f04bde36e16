"""Objects carried by looking alike, between learnt borders, outlined by models worth asking."""

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.propagation import Seen
from napari_ditto.data.source import open_source
from napari_ditto.engine import outlining, prompt_stepper
from napari_ditto.engine.borders import Borders, border_labels, restored
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.prompt_stepper import PromptStepper
from napari_ditto.engine.propagate import propagate
from napari_ditto.models.protocols import UNKNOWN
from napari_ditto.models.registry import load_model
from napari_ditto.testing.fakes import TRUTH_WINDOW, CountingModel, PerfectModel, paint_truth

SHAPE = (90, 110)


def discs(offset, radius=14.0):
    """Return three labelled discs, moved."""
    rows, columns = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint32)
    for label, (y, x) in {1: (25, 25), 2: (60, 35), 70_000: (45, 80)}.items():
        away = np.hypot(rows - y - offset[0], columns - x - offset[1])
        labels[away < radius + (label % 3)] = label
    return labels


def walls(labels, seed=0):
    """Return grey objects with dark borders on grey ground."""
    noise = np.random.default_rng(seed).normal(0, 6, labels.shape)
    image = 130 + noise
    image[border_labels(labels) == 1] = 40
    return image.clip(0, 255).astype(np.uint8)


def seen(source, labels, at, to=1):
    return Seen(source.plane({"z": at}), labels, True, abs(at - to))


def placed(step):
    labels = np.zeros(SHAPE, np.uint32)
    for carried in step.objects:
        labels[carried.mask.box.slices][carried.mask.mask] = carried.label
    return labels


def worst(found, true):
    ids = np.unique(true)[1:]
    return min(((found == n) & (true == n)).sum() / ((found == n) | (true == n)).sum() for n in ids)


@pytest.fixture
def stack():
    """Return truth of two planes: everything has moved and grown."""
    return np.stack([discs((0, 0)), discs((2, -3), 15.0)])


@pytest.fixture
def perfect(stack):
    return open_source(paint_truth(stack), axes="zyxc", window=TRUTH_WINDOW)


def test_a_model_that_knows_better_is_asked(stack, perfect):
    model = CountingModel(PerfectModel(tile=128))
    step = drain(
        PromptStepper(model, perfect).step(
            perfect.plane({"z": 1}), [seen(perfect, stack[0], 0)], [seen(perfect, stack[0], 0)]
        )
    )
    assert worst(placed(step), stack[1]) == 1
    assert model.decoded == 3 * 3 + 3  # a test of three tries each, then every object once
    assert model.encoded == 2


def test_what_the_model_gives_back_needs_no_patches(stack, perfect, monkeypatch):
    def compare(*_):
        raise AssertionError("patches were compared")

    monkeypatch.setattr(prompt_stepper, "transfer_labels", compare)
    given = [seen(perfect, stack[0], 0)]
    stepper = PromptStepper(PerfectModel(tile=128), perfect)
    assert worst(placed(drain(stepper.step(perfect.plane({"z": 1}), given, given))), stack[1]) == 1
    monkeypatch.setattr(outlining, "TRUSTED", 2.0)
    with pytest.raises(AssertionError, match="compared"):
        drain(PromptStepper(PerfectModel(tile=128), perfect).step(
            perfect.plane({"z": 1}), given, given
        ))  # fmt: skip


def test_an_answer_far_from_where_it_was_asked_is_asked_for_again(stack, perfect, monkeypatch):
    monkeypatch.setattr(prompt_stepper, "AS_TESTED", 2.0)
    model = CountingModel(PerfectModel(tile=128))
    given = [seen(perfect, stack[0], 0)]
    step = drain(PromptStepper(model, perfect).step(perfect.plane({"z": 1}), given, given))
    assert worst(placed(step), stack[1]) == 1
    assert model.decoded == 3 * 3 + 3 + 3


def test_borders_are_learnt_only_if_an_object_needs_them(stack, perfect, monkeypatch):
    learnt = []
    given = [seen(perfect, stack[0], 0)]
    model = load_model("classic")
    for trusted in (0.0, 2.0):
        stepper = PromptStepper(model, perfect)
        learn = stepper.borders.learn_steps
        monkeypatch.setattr(outlining, "TRUSTED", trusted)
        monkeypatch.setattr(
            stepper.borders, "learn_steps", lambda a, learn=learn: learnt.append(a) or learn(a)
        )
        drain(stepper.step(perfect.plane({"z": 1}), given, given))
        assert len(learnt) == (trusted > 1)


class Useless(PerfectModel):
    """Answers every prompt with the whole tile."""

    def decode(self, embedding, prompts):
        found = super().decode(embedding, prompts)
        found.logits[...] = 10
        return found


def test_a_model_that_does_not_is_not(stack, perfect):
    model = CountingModel(Useless(tile=128))
    stepper = PromptStepper(model, perfect)
    given = [seen(perfect, stack[0], 0)]
    step = drain(stepper.step(perfect.plane({"z": 1}), given, given))
    assert worst(placed(step), stack[1]) > 0.75
    assert model.decoded == 9
    assert model.encoded == 1, "the plane that is asked about was not encoded"
    drain(stepper.step(perfect.plane({"z": 1}), given, given))
    assert model.decoded == 9, "what the test said is remembered"


def test_objects_that_do_not_fit_a_tile_are_carried_without_the_model(stack, perfect):
    model = CountingModel(PerfectModel(tile=16))
    given = [seen(perfect, stack[0], 0)]
    step = drain(PromptStepper(model, perfect).step(perfect.plane({"z": 1}), given, given))
    assert {c.label for c in step.objects} == {1, 2, 70_000}
    assert model.decoded == 0


def test_each_object_is_read_from_the_nearest_plane_that_has_it():
    stack = np.stack([discs((0, 0)), discs((2, -3)), discs((3, -4))])
    near = np.where(stack[1] == 2, 0, stack[1]).astype(np.uint32)
    source = open_source(paint_truth(stack), axes="zyxc", window=TRUTH_WINDOW)
    before = [
        Seen(source.plane({"z": 1}), near, False, 1),
        Seen(source.plane({"z": 0}), stack[0], True, 2),
    ]
    stepper = PromptStepper(PerfectModel(tile=128), source)
    step = drain(stepper.step(source.plane({"z": 2}), before, before[1:]))
    assert sorted(c.label for c in step.objects) == [1, 2, 70_000]
    assert worst(placed(step), stack[2]) > 0.9


def test_planes_on_both_sides_give_one_object_each(stack, perfect):
    before = [seen(perfect, stack[0], 0, 1), Seen(perfect.plane({"z": 1}), stack[1], True, 1)]
    stepper = PromptStepper(Useless(tile=128), perfect)
    one = drain(stepper.step(perfect.plane({"z": 1}), before, before))
    other = drain(stepper.step(perfect.plane({"z": 1}), before[::-1], before[::-1]))
    assert [c.label for c in one.objects] == [1, 2, 70_000]
    np.testing.assert_array_equal(placed(one), placed(other))


def test_similarity_tells_what_looks_like_the_anchor(stack):
    pixels = walls(stack[0])[None].repeat(2, 0)
    pixels[1] = pixels[1] // 2
    source = open_source(pixels, axes="zyx", window=(0, 255))
    given = [seen(source, stack[0], 0)]
    stepper = PromptStepper(Useless(tile=128), source)
    (same, other) = (
        drain(stepper.step(source.plane({"z": z}), given, given)).objects[0] for z in (0, 1)
    )
    assert same.similarity > 0.9
    assert other.similarity < same.similarity / 2


def test_border_labels_know_only_what_is_near():
    labels = discs((0, 0))
    known = border_labels(labels)
    assert set(np.unique(known)) == {UNKNOWN, 0, 1}
    assert (known[labels > 0] != UNKNOWN).all()
    assert known[0, -1] == UNKNOWN


@pytest.mark.parametrize("name", ["classic", "ditto"])
def test_borders_are_learnt_where_there_are_any(name, stack):
    source = open_source(np.stack([walls(p, i) for i, p in enumerate(stack)]), axes="zyx")
    model = load_model(name)
    borders = Borders(TileEncoder(source, model), model)
    memory = drain(borders.learn_steps([seen(source, stack[0], 0)]))
    assert memory is not None
    found = drain(borders.see_steps(source.plane({"z": 1}), memory, Box.of_shape(SHAPE)))
    true = border_labels(stack[1]) == 1
    assert found[true].mean() > 3 * found[(border_labels(stack[1]) == 0)].mean()


def test_what_cannot_be_learnt_is_not_used(stack):
    noise = np.random.default_rng(0).integers(0, 255, stack.shape, dtype=np.uint8)
    source = open_source(noise, axes="zyx")
    model = load_model("classic")
    borders = Borders(TileEncoder(source, model), model)
    assert drain(borders.learn_steps([])) is None
    blank = Seen(source.plane({"z": 0}), np.zeros(SHAPE, np.uint32), True, 1)
    assert drain(borders.learn_steps([blank])) is None
    everywhere = np.full(SHAPE, 0.9, np.float32)
    assert restored(stack[0], everywhere) < restored(stack[0], border_labels(stack[0]) == 1)


def test_borders_make_the_difference_between_objects_that_look_alike(stack, monkeypatch):
    source = open_source(np.stack([walls(p, i) for i, p in enumerate(stack)]), axes="zyx")
    model = load_model("classic")
    given = [seen(source, stack[0], 0)]
    with_borders = drain(PromptStepper(model, source).step(source.plane({"z": 1}), given, given))
    without = PromptStepper(model, source)
    monkeypatch.setattr(without, "borders", None)
    monkeypatch.setattr(outlining, "TRUSTED", 2.0)
    plain = drain(without.step(source.plane({"z": 1}), given, given))
    assert worst(placed(with_borders), stack[1]) > worst(placed(plain), stack[1])


class Slow:
    """A model that learns from examples, and takes its time to encode."""

    def __init__(self, model):
        self.model = model
        self.spec = replace(model.spec, id="slow", encode_seconds=15.0)
        self.remembered = 0

    def encode(self, tiles):
        return [replace(e, model=self.spec.key) for e in self.model.encode(tiles)]

    def decode(self, embedding, prompts):
        return self.model.decode(replace(embedding, model=self.model.spec.key), prompts)

    def remember(self, examples):
        self.remembered += 1
        return self.model.remember(examples)

    def recall(self, embedding, memory):
        return self.model.recall(embedding, memory)

    def tune(self, memory, examples, steps=20):
        return memory


def test_borders_are_not_learnt_by_a_slow_model(stack):
    source = open_source(np.stack([walls(p, i) for i, p in enumerate(stack)]), axes="zyx")
    model = Slow(load_model("classic"))
    stepper = PromptStepper(model, source)
    assert stepper.borders.model is not model
    assert "classic" in stepper.key
    given = [seen(source, stack[0], 0)]
    step = drain(stepper.step(source.plane({"z": 1}), given, given))
    assert worst(placed(step), stack[1]) > 0.8
    assert model.remembered == 0


def test_what_is_foreseen_changes_nothing(monkeypatch):
    truth = np.stack([discs((2 * z, -z)) for z in range(4)])
    pixels = np.stack([walls(labels, z) for z, labels in enumerate(truth)])
    source, model = open_source(pixels, axes="zyx", window=(0, 255)), load_model("classic")
    foreseen, expected = propagate(source, {0: truth[0]}, "z", model), []
    monkeypatch.setattr(PromptStepper, "expect", lambda self, address: expected.append(address))
    alone = propagate(source, {0: truth[0]}, "z", model)
    assert [at.index["z"] for at in expected] == [1, 2, 3]
    np.testing.assert_array_equal(foreseen.labels, alone.labels)
    np.testing.assert_array_equal(foreseen.confidence, alone.confidence)
