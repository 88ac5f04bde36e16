"""Many prompts at once: whole tiles or crops, in any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.synthetic import blobs
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.models.classic.proposals import DEPTH
from napari_ditto.models.protocols import Crop, CroppingModel

SHAPE = (96, 128)


def picture(seed: int) -> np.ndarray:
    bright = blobs(SHAPE, 6, radius=9, seed=seed) > 0
    noise = 0.03 * np.random.default_rng(seed).standard_normal(SHAPE)
    grey = np.clip(np.where(bright, 0.7, 0.25) + noise, 0, 1)
    return np.repeat(grey[..., None], 3, -1).astype(np.float32)


def ask(model: ClassicModel, seed: int) -> list[Crop]:
    (embedding,) = model.encode(picture(seed)[None])
    return model.decode_crops(embedding, model.suggest(embedding))


def test_a_crop_is_the_best_candidate() -> None:
    model = ClassicModel()
    (embedding,) = model.encode(picture(0)[None])
    click = PromptSet((PointPrompt(50, 70), PointPrompt(10, 10, False)))
    rough = PromptSet(mask=MaskPrompt(Box(20, 30, 40, 60), np.ones((20, 30), bool)))
    asked = [*model.suggest(embedding), click, rough]
    whole, crops = model.decode(embedding, asked), model.decode_crops(embedding, asked)
    assert isinstance(model, CroppingModel)
    for i, crop in enumerate(crops):
        assert (crop.choice, crop.score) == (whole.best[i], whole.scores[i, crop.choice])
        rest = np.full(SHAPE, -DEPTH, np.float32)
        rest[crop.box.slices] = crop.logits
        assert np.array_equal(rest, whole.logits[i, crop.choice])


def test_four_threads_share_a_model_and_get_the_same_bits() -> None:
    model = ClassicModel()
    expected = [ask(ClassicModel(), seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: ask(model, k % 4), range(8)))
    for k, crops in enumerate(found):
        for a, b in zip(crops, expected[k % 4], strict=True):
            assert (a.box, a.score, a.choice) == (b.box, b.score, b.choice)
            assert np.array_equal(a.logits, b.logits)
