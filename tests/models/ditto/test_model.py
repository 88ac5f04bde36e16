"""The bundled model keeps the promises of every model, and some of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.ditto.model import DittoModel, load_ditto
from napari_ditto.models.protocols import AutoPromptModel
from napari_ditto.models.registry import available_models, load_model
from napari_ditto.testing.contracts.models import (
    ContextModelContract,
    PromptModelContract,
    iou,
    make_tile,
)

Floats = NDArray[np.float32]


@pytest.fixture(scope="session")
def ditto() -> DittoModel:
    """Return the model with the bundled weights."""
    return load_ditto("cpu")


class TestDittoPrompts(PromptModelContract):
    @pytest.fixture
    def model(self, ditto: DittoModel) -> DittoModel:
        return ditto


class TestDittoExamples(ContextModelContract):
    @pytest.fixture
    def model(self, ditto: DittoModel) -> DittoModel:
        return ditto


def discs(
    shape: tuple[int, int], centers: list[tuple[float, float]], radius: float, seed: int = 0
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return a picture of bright discs on a dark ground, and the first disc."""
    y, x = np.indices(shape)
    masks = [(y - cy) ** 2 + (x - cx) ** 2 <= radius**2 for cy, cx in centers]
    noise = 0.02 * np.random.default_rng(seed).standard_normal(shape)
    grey = np.clip(np.where(np.any(masks, axis=0), 0.75, 0.2) + noise, 0, 1)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32), masks[0]


def shown(model: DittoModel, embedding: Embedding, prompts: PromptSet) -> NDArray[np.bool_]:
    """Return the mask that is shown first."""
    found = model.decode(embedding, [prompts])
    return np.asarray(found.logits[0, found.best[0]] > 0)


def test_it_is_found_by_name() -> None:
    model = load_model("ditto", "cpu")
    assert isinstance(model, AutoPromptModel)
    assert model.spec.family == "ditto"
    assert "ditto" in [entry.id for entry in available_models() if entry.installed]


def test_a_new_model_encodes_the_same_bits(ditto: DittoModel) -> None:
    tile = make_tile((150, 90))[None]
    first, again = ditto.encode(tile)[0], load_ditto("cpu").encode(tile)[0]
    assert all(np.array_equal(first.arrays[k], again.arrays[k]) for k in first.arrays)


def test_what_was_asked_before_changes_nothing(ditto: DittoModel) -> None:
    tile, _ = discs((96, 96), [(40, 40), (70, 75)], 14)
    clicks = [PointPrompt(40, 40), PointPrompt(60, 60, False), PointPrompt(48, 40)]
    embedding = ditto.encode(tile[None])[0]
    for count in (1, 2, 3):
        cached = ditto.decode(embedding, [PromptSet(tuple(clicks[:count]))])
    fresh_model = load_ditto("cpu")
    fresh = fresh_model.decode(fresh_model.encode(tile[None])[0], [PromptSet(tuple(clicks))])
    assert np.array_equal(cached.logits, fresh.logits)
    assert np.array_equal(cached.scores, fresh.scores)


@pytest.mark.parametrize("radius", [6, 18, 60])
def test_a_click_finds_discs_of_every_size(ditto: DittoModel, radius: int) -> None:
    tile, truth = discs((256, 256), [(120, 130)], radius)
    embedding = ditto.encode(tile[None])[0]
    assert iou(shown(ditto, embedding, PromptSet((PointPrompt(120, 130),))), truth) > 0.7


def test_a_zoomed_picture_gives_a_zoomed_answer(ditto: DittoModel) -> None:
    masks = []
    for scale in (1, 2, 3):
        tile, _ = discs((80 * scale,) * 2, [(39.5 * scale, 39.5 * scale)], 16 * scale)
        box = BoxPrompt(*(v * scale for v in (23, 23, 56, 56)))
        mask = shown(ditto, ditto.encode(tile[None])[0], PromptSet(box=box))
        masks.append(mask[scale // 2 :: scale, scale // 2 :: scale])
    assert min(iou(masks[0], masks[1]), iou(masks[0], masks[2])) > 0.85


def test_tiles_agree_where_they_overlap(ditto: DittoModel) -> None:
    centers = [(128.0, 192.0), (60.0, 200.0), (200.0, 150.0), (180.0, 240.0)]
    tile, _ = discs((256, 384), centers, 20)
    asked = (PromptSet((PointPrompt(128, 192),)), PromptSet((PointPrompt(128, 64),)))
    left = shown(ditto, ditto.encode(tile[None, :, :256])[0], asked[0])[:, 128:]
    right = shown(ditto, ditto.encode(tile[None, :, 128:])[0], asked[1])[:, :128]
    assert iou(left, right) > 0.9


def test_three_ideas_about_one_click(ditto: DittoModel) -> None:
    y, x = np.indices((128, 128))
    distance = np.hypot(y - 64, x - 64)
    grey = np.select([distance < 10, distance < 34], [0.9, 0.55], 0.15)
    tile = np.repeat(grey[..., None], 3, -1).astype(np.float32)
    found = ditto.decode(ditto.encode(tile[None])[0], [PromptSet((PointPrompt(64, 64),))])
    areas = (found.logits[0] > 0).sum(axis=(1, 2))
    assert len(set(areas.tolist())) == 3
    assert found.best[0] == 0


def test_a_box_keeps_the_mask_in(ditto: DittoModel) -> None:
    tile, _ = discs((128, 128), [(60, 40), (60, 75)], 17)
    embedding = ditto.encode(tile[None])[0]
    mask = shown(ditto, embedding, PromptSet(box=BoxPrompt(42, 22, 78, 58)))
    assert mask[60, 40]
    assert not mask[:, 64:].any()


@pytest.mark.parametrize("at", [(0, 0), (0, 63), (95, 0), (95, 63), (0, 30), (50, 63)])
def test_prompts_at_the_very_edge(ditto: DittoModel, at: tuple[int, int]) -> None:
    tile, truth = discs((96, 64), [at], 12)
    embedding = ditto.encode(tile[None])[0]
    assert iou(shown(ditto, embedding, PromptSet((PointPrompt(*at),))), truth) > 0.5


@pytest.mark.parametrize("diameter", [1e-3, 1.0, 24.0, 1e4])
def test_any_diameter_is_taken(ditto: DittoModel, diameter: float) -> None:
    tile, truth = discs((96, 96), [(40, 50)], 12)
    prompts = PromptSet((PointPrompt(40, 50),), diameter=diameter)
    mask = shown(ditto, ditto.encode(tile[None])[0], prompts)
    assert mask.shape == (96, 96)
    if diameter == 24.0:
        assert iou(mask, truth) > 0.8


def test_a_mask_outside_the_tile_and_many_clicks(ditto: DittoModel) -> None:
    tile, _ = discs((64, 64), [(30, 30)], 12)
    embedding = ditto.encode(tile[None])[0]
    outside = MaskPrompt(Box(80, 80, 90, 90), np.ones((10, 10), bool))
    many = tuple(PointPrompt(20 + k, 30, k % 3 != 2) for k in range(20))
    found = ditto.decode(embedding, [PromptSet(mask=outside), PromptSet(many)])
    assert np.isfinite(found.logits).all()


def test_each_disc_is_suggested_once(ditto: DittoModel) -> None:
    centers = [(40.0, 40.0), (40.0, 110.0), (110.0, 40.0), (110.0, 110.0)]
    tile, _ = discs((150, 150), centers, 15)
    prompts = ditto.suggest(ditto.encode(tile[None])[0])
    places = [(p.points[0].y, p.points[0].x) for p in prompts]
    near = [[np.hypot(y - cy, x - cx) < 8 for y, x in places] for cy, cx in centers]
    assert [sum(row) for row in near] == [1, 1, 1, 1]
    sizes = [p.diameter for p, hit in zip(prompts, np.any(near, axis=0), strict=True) if hit]
    assert all(size is not None and 20 < size < 50 for size in sizes)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 200), (64, 64)])
def test_nothing_is_suggested_where_nothing_is(ditto: DittoModel, shape: tuple[int, int]) -> None:
    blank = np.full((1, *shape, 3), 0.5, np.float32)
    assert len(ditto.suggest(ditto.encode(blank)[0])) <= 2


@pytest.mark.parametrize("ask", ["decode", "suggest", "recall", "remember"])
def test_embeddings_of_others_are_refused(ditto: DittoModel, ask: str) -> None:
    from napari_ditto.models.protocols import Example, Memory

    foreign = Embedding({}, (8, 8), "someone@1#0")
    calls: dict[str, Callable[[], object]] = {
        "decode": lambda: ditto.decode(foreign, []),
        "suggest": lambda: ditto.suggest(foreign),
        "recall": lambda: ditto.recall(foreign, Memory({}, (1,), ditto.spec.key)),
        "remember": lambda: ditto.remember([Example(foreign, np.ones((8, 8), int))]),
    }
    with pytest.raises(ModelError, match="Encode the tile again"):
        calls[ask]()


def test_scores_are_in_range_when_every_look_is_cut(ditto: DittoModel) -> None:
    stripes = np.zeros((512, 512, 3), np.float32)
    stripes[:, ::40] = 0.6
    found = ditto.decode(
        ditto.encode(stripes[None])[0], [PromptSet((PointPrompt(256, y),)) for y in (20, 40, 250)]
    )
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_many_prompts_at_once_are_answered_as_one_by_one(ditto: DittoModel) -> None:
    tile, _ = discs((96, 96), [(30, 30), (65, 60)], 13)
    embedding = ditto.encode(tile[None])[0]
    prompts = [
        PromptSet((PointPrompt(30, 30),)),
        PromptSet(box=BoxPrompt(50, 45, 80, 75)),
        PromptSet((PointPrompt(65, 60), PointPrompt(30, 30, False))),
    ]
    together = ditto.decode(embedding, prompts)
    again = load_ditto("cpu")
    for i, asked in enumerate(prompts):
        alone = shown(again, again.encode(tile[None])[0], asked)
        assert iou(together.logits[i, 0] > 0, alone) > 0.99
