"""What the decoder is asked about a map, and what is done with its answers."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.synthetic import blobs
from napari_ditto.models.matching.asking import MOST, ask, refine, regions
from napari_ditto.models.protocols import MaskLogits
from napari_ditto.testing.fakes import CountingModel, PerfectModel, paint_truth


class Careless:
    """Draws what it likes."""

    spec = PerfectModel().spec

    def decode(self, embedding, prompts):
        rng = np.random.default_rng(len(prompts))
        coarse = rng.standard_normal((len(prompts), 3, 8, 8)).repeat(16, axis=2).repeat(16, axis=3)
        logits = np.asarray(coarse[..., :128, :128], np.float32)
        return MaskLogits(
            logits, np.ones(logits.shape[:2], np.float32), np.zeros(len(prompts), int)
        )


@pytest.fixture
def truth():
    return blobs((128, 128), 9, radius=11, seed=2)


def seen(truth, model):
    """Return the embedding of a truth, and a blurred map of all that is not background."""
    embedding = model.encode(paint_truth(truth)[None] / np.float32(255))[0]
    return embedding, gaussian_filter((truth > 0).astype(np.float32), 4)[None]


def test_the_decoder_sharpens_the_map(truth):
    model = PerfectModel(128, connected=True)
    embedding, chances = seen(truth, model)
    found = refine(chances, list(ask(model, embedding, chances)), 0.5)
    wrong = [np.count_nonzero((c[0] > 0.5) != (truth > 0)) for c in (chances, found)]
    assert wrong[1] < wrong[0] / 3
    assert found.max() <= 1


def test_what_does_not_agree_is_not_heard(truth):
    _, chances = seen(truth, PerfectModel(128))
    embedding = Embedding({}, truth.shape, "")
    assert list(ask(Careless(), embedding, chances)) == []


def test_so_many_prompts_and_no_more():
    truth = blobs((128, 128), 60, radius=4, seed=3)
    model = CountingModel(PerfectModel(128))
    embedding, _ = seen(truth, PerfectModel(128))
    chances = (truth > 0).astype(np.float32)[None]
    assert len(regions(chances)) == MOST
    heard = list(ask(model, embedding, chances))
    assert len(heard) == MOST
    assert model.decoded == 2 * MOST


def test_an_empty_map_asks_nothing(truth):
    model = CountingModel(PerfectModel(128))
    embedding, chances = seen(truth, PerfectModel(128))
    assert list(ask(model, embedding, np.zeros_like(chances))) == []
    assert model.decoded == 0


def test_touching_objects_are_asked_about_one_by_one():
    truth = np.zeros((128, 128), int)
    truth[40:80, 20:60], truth[40:80, 60:100] = 1, 2
    model = CountingModel(PerfectModel(128, connected=True))
    embedding, chances = seen(truth, PerfectModel(128, connected=True))
    (heard,) = ask(model, embedding, chances)
    assert np.array_equal(heard[1] > 0.5, truth > 0)
    assert all(p.has_positive for p in model.asked)


def test_classes_share_each_pixel(truth):
    model = PerfectModel(128, connected=True)
    embedding, chances = seen(truth, model)
    both = np.concatenate([0.52 * chances, 0.48 * chances])
    found = refine(both, list(ask(model, embedding, both)), 0.8)
    assert found.sum(axis=0).max() <= 1 + 1e-6
