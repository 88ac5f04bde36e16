"""Many prompts at once: the same answers in any company, in any thread, whole or cropped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.core.synthetic import blobs
from napari_ditto.models.device import threads
from napari_ditto.models.ditto.looks import BATCH
from napari_ditto.models.ditto.model import DittoModel, load_ditto
from napari_ditto.models.ditto.views import OUTSIDE
from napari_ditto.models.protocols import Crop, CroppingModel

SHAPE = (96, 128)


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Let the threads of a test be the only ones: bits may differ with more."""
    with threads(1):
        yield


def picture(seed: int) -> np.ndarray:
    bright = blobs(SHAPE, 6, radius=9, seed=seed) > 0
    noise = 0.03 * np.random.default_rng(seed).standard_normal(SHAPE)
    grey = np.clip(np.where(bright, 0.7, 0.25) + noise, 0, 1)
    return np.repeat(grey[..., None], 3, -1).astype(np.float32)


@pytest.fixture(scope="module")
def ditto() -> DittoModel:
    return load_ditto("cpu")


def embedded(model: DittoModel, seed: int = 0) -> Embedding:
    return model.encode(picture(seed)[None])[0]


def prompts(model: DittoModel, embedding: Embedding) -> list[PromptSet]:
    box = PromptSet(box=BoxPrompt(20, 30, 60, 75))
    click = PromptSet((PointPrompt(50, 70), PointPrompt(10, 10, False)))
    return [*model.suggest(embedding), box, click]


def same(a: Crop, b: Crop) -> bool:
    return (a.box, a.score, a.choice) == (b.box, b.score, b.choice) and np.array_equal(
        a.logits, b.logits
    )


def test_a_crop_is_the_candidate_shown_first(ditto: DittoModel) -> None:
    embedding = embedded(ditto)
    asked = prompts(ditto, embedding)
    whole, crops = ditto.decode(embedding, asked), ditto.decode_crops(embedding, asked)
    assert isinstance(ditto, CroppingModel)
    for i, crop in enumerate(crops):
        assert Box.of_shape(SHAPE).covers(crop.box)
        rest = np.full(SHAPE, OUTSIDE, np.float32)
        rest[crop.box.slices] = crop.logits
        assert np.array_equal(rest, whole.logits[i, whole.best[i]])
        assert (crop.choice, crop.score) == (whole.best[i], whole.scores[i, crop.choice])


def test_answers_do_not_depend_on_the_company(ditto: DittoModel) -> None:
    """Alone, in another order or with half of them: the same bits."""
    embedding = embedded(ditto)
    asked = prompts(ditto, embedding)
    expected = load_ditto("cpu").decode_crops(embedding, asked)
    for order in (asked[::-1], asked[::2], asked[3:4]):
        fresh = dict(zip(order, load_ditto("cpu").decode_crops(embedding, order), strict=True))
        for prompt, crop in zip(asked, expected, strict=True):
            if prompt in fresh:
                assert same(fresh[prompt], crop)


def test_a_batch_of_any_size_gives_the_same_bits(ditto: DittoModel) -> None:
    """Of as many questions as are asked at once, with one thread."""
    rng = np.random.default_rng(0)
    tile = rng.random((1, 128, 128, 3), np.float32)
    embedding = ditto.encode(tile)[0]
    sides = rng.uniform(30, 90, BATCH)
    asked = [PromptSet((PointPrompt(60, 4 * k + 30),), diameter=d) for k, d in enumerate(sides)]
    together = load_ditto("cpu").decode(embedding, asked)
    for k in (0, 7, BATCH - 1):
        alone = load_ditto("cpu").decode(embedding, asked[k : k + 1])
        assert np.array_equal(alone.logits[0], together.logits[k])
        assert np.array_equal(alone.scores[0], together.scores[k])


def test_a_click_has_the_same_bits_with_two_threads(ditto: DittoModel) -> None:
    embedding, found = embedded(ditto), []
    for count in (1, 2):
        with threads(count):
            click = PromptSet((PointPrompt(50, 70), PointPrompt(10, 10, False)))
            found.append(load_ditto("cpu").decode(embedding, [click]))
    assert np.array_equal(found[0].logits, found[1].logits)
    assert np.array_equal(found[0].scores, found[1].scores)


def test_four_threads_share_a_model_and_get_the_same_bits(ditto: DittoModel) -> None:
    """Tiles are more than are kept, and threads take them in different orders."""
    tiles = [embedded(ditto, seed) for seed in range(5)]
    asked = [prompts(ditto, tile) for tile in tiles]
    alone = load_ditto("cpu")
    expected = [alone.decode_crops(*item) for item in zip(tiles, asked, strict=True)]

    def work(turn: int) -> list[tuple[int, list[Crop]]]:
        order = np.random.default_rng(turn).permutation(len(tiles)).tolist()
        return [(k, ditto.decode_crops(tiles[k], asked[k])) for k in order]

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for part in pool.map(work, range(4)) for answer in part]
    assert len(answers) == 20
    for k, crops in answers:
        assert all(same(a, b) for a, b in zip(crops, expected[k], strict=True))
