"""Every stepper keeps the contract; the right one is chosen for a model."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.protocols import Source
from napari_ditto.data.source import open_source
from napari_ditto.engine.context_stepper import ContextStepper
from napari_ditto.engine.prompt_stepper import PromptStepper
from napari_ditto.engine.propagate import propagate
from napari_ditto.engine.steppers import choose_stepper
from napari_ditto.errors import ModelError
from napari_ditto.models.registry import load_model
from napari_ditto.testing.contracts.steppers import StepperContract
from napari_ditto.testing.fakes import CountingModel, PerfectModel
from napari_ditto.testing.scenes import drifting, truth_stack
from napari_ditto.testing.steppers import CopyStepper, PerfectStepper


class TestCopy(StepperContract):
    least_iou = 0.6

    @pytest.fixture
    def stepper(self):
        return CopyStepper()


class TestPerfect(StepperContract):
    @pytest.fixture
    def source(self, truth):
        return truth_stack(truth)

    @pytest.fixture
    def stepper(self, source):
        return PerfectStepper(source)


class TestPromptsOfClassic(StepperContract):
    @pytest.fixture
    def stepper(self, source):
        return PromptStepper(load_model("classic"), source)


class TestContextOfClassic(StepperContract):
    @pytest.fixture
    def stepper(self, source):
        return ContextStepper(load_model("classic"), source)


class ContextOnly:
    """Hides that a model takes prompts."""

    def __init__(self, model):
        self.model = model
        self.remembered = []

    @property
    def spec(self):
        return self.model.spec

    def encode(self, tiles):
        return self.model.encode(tiles)

    def remember(self, examples):
        self.remembered.append([e.weight for e in examples])
        return self.model.remember(examples)

    def recall(self, embedding, memory):
        return self.model.recall(embedding, memory)

    def tune(self, memory, examples, steps=20):
        return self.model.tune(memory, examples, steps)


def blank() -> Source:
    return open_source(np.zeros((3, 20, 24), np.uint8), axes="zyx", window=(0, 255))


@pytest.mark.parametrize(
    ("model", "kinds", "stepper"),
    [
        ("classic", "objects", PromptStepper),
        ("classic", "classes", ContextStepper),
        ("context", "objects", ContextStepper),
    ],
)
def test_choice(model: str, kinds: str, stepper: type) -> None:
    classic = load_model("classic")
    loaded = ContextOnly(classic) if model == "context" else classic
    assert isinstance(choose_stepper(loaded, blank(), kinds=kinds), stepper)


def test_classes_without_examples_are_refused() -> None:
    with pytest.raises(ModelError, match="perfect learns nothing from examples"):
        choose_stepper(CountingModel(PerfectModel()), blank(), kinds="classes")


def test_objects_and_classes_have_different_keys() -> None:
    model, source = load_model("classic"), blank()
    keys = {ContextStepper(model, source, kinds=k).key for k in ("objects", "classes")}
    assert len(keys) == 2


def grey(truth: np.ndarray) -> Source:
    noise = np.random.default_rng(0).normal(0, 3, truth.shape)
    pixels = np.clip(50 + 50 * truth + noise, 0, 255).astype(np.uint8)
    return open_source(pixels, axes="zyx", window=(0, 255))


def test_the_cache_of_memory_is_gated() -> None:
    """At most three finished planes are taught, and none on which nothing was believed."""
    truth = drifting(9, (96, 112), 1, seed=4)
    source, model = grey(truth), ContextOnly(load_model("classic"))
    found = propagate(source, {0: truth[0]}, "z", model)
    assert (found.labels == 1).any(axis=(1, 2)).all()
    assert [len(w) for w in model.remembered] == [1, 2, 3, 4, 4, 4, 4, 4]
    assert model.remembered[-1] == [1.0, 0.5, 0.5, 0.5]


def test_every_tile_is_encoded_once() -> None:
    truth = drifting(6, (96, 112), 2, seed=4)
    source, model = grey(truth), CountingModel(load_model("classic"))
    model.remember, model.recall, model.tune = (
        getattr(model.model, name) for name in ("remember", "recall", "tune")
    )
    cache = EmbeddingCache(directory=None)
    for kinds in ("objects", "classes"):
        stepper = ContextStepper(model, source, cache, kinds)
        propagate(source, {2: truth[2]}, "z", stepper=stepper)
        assert model.encoded == 6


def test_classes_are_found_wherever_they_are() -> None:
    truth = np.zeros((3, 96, 112), np.int64)
    truth[:, 10:40, 10:40] = 2
    truth[:, 50:80, 10:40] = 7
    shown = truth.copy()
    truth[1:, 10:40, 60:100] = 2
    source = grey(np.where(truth == 7, 3, truth))
    found = propagate(source, {0: shown[0]}, "z", load_model("classic"), kinds="classes")
    assert found.ids == (2, 7)
    right = [(found.labels[1] == n) == (truth[1] == n) for n in (2, 7)]
    assert np.mean(right) > 0.95


def test_an_object_keeps_to_itself_among_its_like() -> None:
    """Equal neighbours that nobody has labelled are left alone."""
    truth = np.zeros((4, 96, 112), np.int64)
    truth[:, 30:60, 20:50] = 1
    image = truth.copy()
    image[:, 30:60, 53:83] = 1
    found = propagate(grey(image), {0: truth[0]}, "z", ContextOnly(load_model("classic")))
    assert np.mean((found.labels == 1) == truth) > 0.99


@pytest.mark.parametrize("kind", [PromptStepper, ContextStepper])
def test_a_mirrored_stack_gives_mirrored_labels(kind: type) -> None:
    truth = drifting(6, (72, 80), 2, seed=4)
    pixels = np.clip(50 + 50 * truth + np.random.default_rng(0).normal(0, 3, truth.shape), 0, 255)
    results = []
    for image, examples in (
        (pixels, {1: truth[1], 5: truth[5]}),
        (pixels[::-1], {4: truth[1], 0: truth[5]}),
    ):
        source = open_source(image.astype(np.uint8), axes="zyx", window=(0, 255))
        stepper = kind(load_model("classic"), source)
        results.append(propagate(source, examples, stepper=stepper))
    assert np.array_equal(results[0].labels, results[1].labels[::-1])
    assert np.allclose(results[0].confidence, results[1].confidence[:, ::-1], equal_nan=True)


def test_nothing_left_to_look_for() -> None:
    truth = np.zeros((4, 96, 112), np.int64)
    truth[0, :4, :4] = 1
    stepper = ContextStepper(load_model("classic"), grey(truth))
    found = propagate(grey(truth), {0: truth[0]}, "z", stepper=stepper)
    assert not found.labels[2:].any()
