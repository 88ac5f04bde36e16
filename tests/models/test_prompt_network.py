"""The rules that hold for every SAM-like model: batches, proposals, refusals, devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)
from napari_ditto.errors import DeviceError, ModelError, PromptError
from napari_ditto.models import prompt_network
from napari_ditto.models.prompt_tokens import batches, tokenize
from napari_ditto.models.protocols import PromptModel
from napari_ditto.models.registry import load_model


@pytest.fixture(scope="module", params=["sam", "sam_hq", "sam2"])
def model(request, checkpoints):
    return load_model(f"{request.param}:{getattr(checkpoints, request.param)}", device="cpu")


@pytest.fixture
def embedding(model, tile):
    return model.encode(tile(90, 120)[None])[0]


def test_it_is_a_prompt_model_with_a_full_spec(model):
    assert isinstance(model, PromptModel)
    assert model.spec.input_size == 128
    assert len(model.spec.weights_sha256) == 64
    assert model.spec.memory_bytes > 0
    assert model.spec.device == "cpu"


def test_a_batch_equals_one_by_one(model, embedding, prompt_sets):
    sets = list(prompt_sets.values())
    together = model.decode(embedding, sets)
    assert together.logits.shape == (len(sets), 3, 90, 120)
    assert together.logits.dtype == together.scores.dtype == np.float32
    assert together.scores.min() >= 0
    assert together.scores.max() <= 1
    for i, one in enumerate(sets):
        alone = model.decode(embedding, [one])
        np.testing.assert_allclose(together.logits[i], alone.logits[0], atol=1e-4)
        np.testing.assert_allclose(together.scores[i], alone.scores[0], atol=1e-5)
        assert together.best[i] == alone.best[0]


def test_read_only_arrays_as_a_cache_gives_them_are_welcome(model, embedding):
    locked = {name: array.copy() for name, array in embedding.arrays.items()}
    for array in locked.values():
        array.setflags(write=False)
    prompts = [PromptSet((PointPrompt(40, 60),))]
    torch.set_warn_always(True)  # torch warns once per process otherwise
    try:
        again = model.decode(replace(embedding, arrays=locked), prompts)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(again.logits, model.decode(embedding, prompts).logits)


def test_more_prompts_than_a_batch(model, embedding, monkeypatch):
    sets = [PromptSet((PointPrompt(y, x),)) for y in (5, 50, 80) for x in (4, 60, 110)]
    whole = model.decode(embedding, sets)
    monkeypatch.setattr(prompt_network, "DECODE_BATCH", 2)
    np.testing.assert_allclose(model.decode(embedding, sets).logits, whole.logits, atol=1e-4)


def test_tiles_encoded_together_equal_tiles_encoded_alone(model, tile):
    tiles = np.stack([tile(64, 80, seed=s) for s in range(3)])
    for together, one in zip(model.encode(tiles), tiles, strict=True):
        alone = model.encode(one[None])[0]
        assert together.tile_shape == (64, 80)
        for name, array in alone.arrays.items():
            np.testing.assert_allclose(together.arrays[name], array, atol=1e-5)


def test_no_prompts_and_no_tiles(model, embedding):
    assert model.decode(embedding, []).logits.shape == (0, 3, 90, 120)
    assert model.encode(np.zeros((0, 64, 64, 3), dtype=np.float32)) == []


def test_float16_embeddings_move_borders_which_is_why_they_are_float32(model, embedding):
    """Measured, so that nobody halves them for free: the masks must be the same."""
    rounded = {n: a.astype(np.float16).astype(np.float32) for n, a in embedding.arrays.items()}
    sets = [PromptSet((PointPrompt(y, x),)) for y in range(5, 90, 20) for x in range(5, 120, 20)]
    exact = model.decode(embedding, sets).logits
    other = model.decode(replace(embedding, arrays=rounded), sets).logits
    assert ((exact > 0) != (other > 0)).sum() > 0


@pytest.mark.parametrize("shape", [(1, 129, 64, 3), (1, 64, 64, 1), (64, 64, 3), (1, 0, 0, 3)])
def test_tiles_of_another_shape_are_refused(model, shape):
    with pytest.raises(ModelError, match="tiles must be"):
        model.encode(np.zeros(shape, dtype=np.float32))


def test_an_embedding_of_another_model_is_refused(model, embedding):
    foreign = replace(embedding, model="sam:other@1#0000")
    with pytest.raises(ModelError, match="another model"):
        model.decode(foreign, [PromptSet((PointPrompt(1, 1),))])


# --- prompts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompts",
    [
        PromptSet(),
        PromptSet((PointPrompt(-5, 3),)),
        PromptSet(box=BoxPrompt(200, 200, 300, 300)),
        PromptSet(box=BoxPrompt(10, 10, 10, 20)),
        PromptSet(mask=MaskPrompt(Box(0, 0, 2, 2), np.zeros((2, 2), dtype=bool))),
    ],
)
def test_nothing_in_the_tile_is_an_error(prompts):
    with pytest.raises(PromptError, match="no prompt"):
        tokenize(prompts, (64, 64))


@pytest.mark.parametrize(
    "prompts",
    [
        PromptSet((PointPrompt(float("nan"), 3),)),
        PromptSet(box=BoxPrompt(0, 0, float("inf"), 3)),
        PromptSet(scribbles=(ScribblePrompt(((0, 0), (float("nan"), 1))),)),
    ],
)
def test_not_a_number_is_an_error(prompts):
    with pytest.raises(PromptError, match="not a number"):
        tokenize(prompts, (64, 64))


def test_what_lies_outside_the_tile_is_left_out_and_a_box_is_clipped():
    tokens = tokenize(
        PromptSet(
            (PointPrompt(3, 4), PointPrompt(3, 99), PointPrompt(-0.4, 63.4, False)),
            box=BoxPrompt(-20, 5, 30, 99),
        ),
        (64, 64),
    )
    np.testing.assert_array_equal(tokens.points, [[4, 3], [63, 0]])
    np.testing.assert_array_equal(tokens.labels, [1, 0])
    np.testing.assert_array_equal(tokens.box, [5, -0.5, 63.5, 30])


def test_a_stroke_becomes_a_few_points_along_it():
    stroke = ScribblePrompt(((10, 10), (10, 50)), positive=False)
    tokens = tokenize(PromptSet((PointPrompt(1, 1),), (stroke,)), (64, 64))
    assert tokens.labels.tolist() == [1] + [0] * 8
    np.testing.assert_array_equal(tokens.points[1:, 1], 10)
    assert tokens.points[1, 0] == 10
    assert tokens.points[-1, 0] == 50


def test_a_mask_alone_is_clicked_at_its_innermost_pixel():
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:31, 30:61] = True
    mask[24:27, 0:30] = True  # a long thin tail does not pull the click out of the body
    tokens = tokenize(PromptSet(mask=MaskPrompt(Box(0, 0, 64, 64), mask)), (64, 64))
    x, y = tokens.points[0]
    assert (tokens.labels.tolist(), y) == ([1], 25)
    assert 35 <= x <= 55


def test_only_equal_kinds_share_a_batch(prompt_sets):
    tokens = [tokenize(p, (90, 120)) for p in [*prompt_sets.values()] * 3]
    groups = list(batches(tokens, 2))
    assert sorted(i for g in groups for i in g) == list(range(len(tokens)))
    assert all(len(g) <= 2 and len({tokens[i].kind for i in g}) == 1 for g in groups)


def test_padding_points_would_change_the_masks(checkpoints, network, tile):
    """Why batches are not padded: label -10 is not ignored by the library's attention."""
    sam = network("sam")
    pixels = torch.from_numpy(load_model(f"sam:{checkpoints.sam}")._prepare(tile(128, 128)))[None]
    point, padded = [[[[40.0, 30.0]]]], [[[[40.0, 30.0], [-10.0, -10.0]]]]
    with torch.no_grad():
        plain = sam(pixels, torch.tensor(point), torch.tensor([[[1]]])).pred_masks
        other = sam(pixels, torch.tensor(padded), torch.tensor([[[1, -10]]])).pred_masks
    assert (plain - other).abs().max() > 1e-3


# --- memory -----------------------------------------------------------------------------------


def test_a_batch_is_halved_when_memory_runs_out(model, tile, monkeypatch):
    sizes = []
    features = model._features

    def scarce(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return features(pixels)

    monkeypatch.setattr(model, "_features", scarce)
    monkeypatch.setattr(model, "_encode_batch", 4)
    assert len(model.encode(np.stack([tile(32, 32)] * 3))) == 3
    assert sizes == [3, 1, 1, 1]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
        MemoryError(),
    ],
)
def test_one_tile_that_does_not_fit_is_one_clear_line(model, tile, monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(model, "_features", fail)
    with pytest.raises(DeviceError, match=r"out of memory .* smaller model"):
        model.encode(tile(32, 32)[None])


def test_decoding_without_memory_is_the_same_line(model, embedding, monkeypatch):
    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model._decoder, "_answer", fail)
    with pytest.raises(DeviceError, match="out of memory"):
        model.decode(embedding, [PromptSet((PointPrompt(1, 1),))])


def test_any_other_fault_keeps_its_name(model, tile, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("the network is broken")

    monkeypatch.setattr(model, "_features", fail)
    with pytest.raises(RuntimeError, match="is broken"):
        model.encode(tile(32, 32)[None])
