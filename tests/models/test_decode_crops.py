"""SAM-like models tell many objects by crops; what an embedding alone decides is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.prompt_network import KEPT_PLANS
from napari_ditto.models.protocols import CroppingModel, SiftingModel
from napari_ditto.models.registry import load_model

SHAPE = (90, 120)


@pytest.fixture(scope="module", params=["sam", "sam_hq", "sam2", "sam2_video"])
def model(request, checkpoints):
    family = request.param.removesuffix("_video")
    return load_model(f"{family}:{getattr(checkpoints, request.param)}", device="cpu")


@pytest.fixture
def embedding(model, tile):
    return model.encode(tile(*SHAPE)[None])[0]


def test_a_crop_is_the_candidate_shown_first(model, embedding, prompt_sets):
    asked = [*prompt_sets.values()] * 2
    whole, crops = model.decode(embedding, asked), model.decode_crops(embedding, asked)
    assert isinstance(model, CroppingModel)
    assert len(crops) == len(asked)
    for i, crop in enumerate(crops):
        assert (crop.choice, crop.score) == (whole.best[i], whole.scores[i, crop.choice])
        shown = whole.logits[i, crop.choice]
        assert Box.of_shape(SHAPE).covers(crop.box)
        assert crop.logits.shape == crop.box.shape
        np.testing.assert_allclose(crop.logits, shown[crop.box.slices], atol=1e-4)
        outside = shown.copy()
        outside[crop.box.slices] = -1
        assert not (outside > 0).any()


def test_sure_candidates_lie_in_crops_of_their_own(model, embedding, prompt_sets):
    asked = [*prompt_sets.values()] * 2
    whole = model.decode(embedding, asked)
    least, level = float(np.median(whole.scores)), float(np.quantile(whole.logits, 0.2))
    assert isinstance(model, SiftingModel)
    found = model.decode_sure(embedding, asked, least, min(level, 0.0))
    kept = [[int(k) for k in np.flatnonzero(scores >= least)] for scores in whole.scores]
    assert [[c.choice for c in crops] for crops in found] == kept
    for i, crops in enumerate(found):
        for crop in crops:
            shown = whole.logits[i, crop.choice]
            assert crop.score == whole.scores[i, crop.choice]
            np.testing.assert_allclose(crop.logits, shown[crop.box.slices], atol=1e-4)
            outside = shown.copy()
            outside[crop.box.slices] = level
            assert not (outside > level + 1e-4).any()


def test_no_object_is_an_empty_crop(model, embedding, monkeypatch):
    masks = model._decoder._masks
    monkeypatch.setattr(model._decoder, "_masks", lambda *args: -masks(*args).abs())
    (crop,) = model.decode_crops(embedding, [PromptSet((PointPrompt(5, 5),))])
    assert crop.box.is_empty
    assert crop.logits.shape == (0, 0)


def test_no_prompts_no_crops_and_a_foreign_embedding_is_refused(model, embedding):
    assert model.decode_crops(embedding, []) == []
    with pytest.raises(ModelError, match="another model"):
        model.decode_crops(replace(embedding, model="x@1#0"), [PromptSet((PointPrompt(1, 1),))])


def test_a_further_click_finds_its_plan_and_few_plans_are_kept(model, tile, monkeypatch):
    made, plan = [], model._decoder.plan
    monkeypatch.setattr(model._decoder, "plan", lambda f: made.append(1) or plan(f))
    tiles = [model.encode(tile(40, 50, seed=s)[None])[0] for s in range(KEPT_PLANS + 1)]
    asked = [PromptSet((PointPrompt(5, 5),))]
    for one in (tiles[0], tiles[0], *tiles[1:], tiles[-1]):
        model.decode(one, asked)
    assert len(made) == len(tiles)
    model.decode(tiles[0], asked)  # the oldest has gone
    assert len(made) == len(tiles) + 1
    assert len(model._plans) <= KEPT_PLANS
    del one, tiles
    assert len(model._plans) == 0  # a plan does not outlive its embedding


def test_threads_and_other_work_keep_their_number_of_pytorch_threads(model, embedding):
    asked = [PromptSet((PointPrompt(y, x),)) for y in (5, 50) for x in (4, 60)]
    before = torch.get_num_threads()
    expected = model.decode(embedding, asked).logits
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.decode(embedding, asked).logits, range(8)))
    assert all(np.array_equal(f, expected) for f in found)
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before
