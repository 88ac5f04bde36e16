"""The stand-ins keep the contract, and do what their names say."""

import time

import numpy as np
import pytest

from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import AutoPromptModel, PromptModel
from napari_ditto.testing.contracts.models import PromptModelContract
from napari_ditto.testing.fakes import (
    TRUTH_WINDOW,
    CountingModel,
    FailingModel,
    PerfectModel,
    SlowModel,
    paint_truth,
    read_truth,
)
from napari_ditto.testing.scenes import snake

CLICK = PromptSet((PointPrompt(3.0, 3.0),))


class TestPerfectModel(PromptModelContract):
    seeks_objects = False

    @pytest.fixture
    def model(self):
        return PerfectModel(96)

    def test_it_suggests(self, model):
        assert isinstance(model, AutoPromptModel)


class TestCountingModel(TestPerfectModel):
    @pytest.fixture
    def model(self):
        return CountingModel(PerfectModel(96))

    def test_it_suggests(self, model):
        """It hides suggestions, so that the grid of points can be tested."""
        assert not isinstance(model, AutoPromptModel)


def test_ids_go_through_the_pixels_unchanged():
    ids = np.array([[0, 1, 255, 256], [65_535, 65_536, 1_000_000, 2**24 - 1]])
    assert np.array_equal(read_truth(TRUTH_WINDOW.apply(paint_truth(ids))), ids)


def tile(truth):
    return TRUTH_WINDOW.apply(paint_truth(truth))[None]


def test_the_object_under_the_prompt_is_returned():
    truth = np.zeros((20, 20), int)
    truth[2:6, 2:6], truth[2:18, 8:18] = 7, 300
    model = PerfectModel()
    (embedding,) = model.encode(tile(truth))
    asked = [CLICK, PromptSet(box=BoxPrompt(1, 7, 18, 18)), PromptSet((PointPrompt(19.0, 0.0),))]
    masks = model.decode(embedding, asked).logits[:, 0] > 0
    assert np.array_equal(masks[0], truth == 7)
    assert np.array_equal(masks[1], truth == 300)
    assert not masks[2].any()
    assert len(model.suggest(embedding)) == 2


def test_connected_returns_the_prompted_piece():
    truth = snake((40, 40)).astype(int)
    truth[12:30] = 0
    for connected in (False, True):
        model = PerfectModel(connected=connected)
        (embedding,) = model.encode(tile(truth))
        mask = model.decode(embedding, [PromptSet((PointPrompt(8.0, 20.0),))]).logits[0, 0] > 0
        assert mask[:12].any()
        assert mask[30:].any() == (not connected and truth[30:].any())


def test_slow_counting_and_failing():
    slow = SlowModel(0.05)
    start = time.perf_counter()
    slow.encode(tile(np.ones((8, 8), int)))
    assert time.perf_counter() - start >= 0.05
    assert (slow.encoded, slow.calls) == (1, 1)
    failing = FailingModel(at=1)
    assert isinstance(failing, PromptModel)
    (embedding,) = failing.encode(tile(np.ones((8, 8), int)))
    with pytest.raises(ModelError, match="broke"):
        failing.encode(tile(np.ones((8, 8), int)))
    failing.encode(tile(np.ones((8, 8), int)))
    failing.decode(embedding, [CLICK, CLICK])
    assert (failing.decoded, failing.asked) == (2, [CLICK, CLICK])
