"""SAM 3 from its files: what fits is loaded, anything else is refused in one line."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.everything import segment_all
from napari_ditto.errors import ModelError, PromptError, WeightsError
from napari_ditto.models.added import add_steps
from napari_ditto.models.estimate import measure
from napari_ditto.models.protocols import ContextModel, PromptModel, TextModel
from napari_ditto.models.registry import load_model
from napari_ditto.models.sam3.loading import _check
from napari_ditto.models.sam3.model import Instances, pick
from napari_ditto.testing.small_sam3 import SIZE


@pytest.fixture(scope="module")
def model(sam3_published):
    return load_model(f"sam3:{sam3_published}", device="cpu")


def test_it_says_who_it_is(model, sam3_published):
    assert isinstance(model, PromptModel)
    assert isinstance(model, TextModel)
    assert not isinstance(model, ContextModel)
    assert model.spec.input_size == SIZE
    assert {"text", "box", "points"} <= model.spec.capabilities
    assert "examples" not in model.spec.capabilities
    assert load_model(str(sam3_published), device="cpu").spec.family == "sam3"
    assert measure(model).encode_seconds > 0


def test_both_layouts_are_the_same_network(model, sam3_folder, tile):
    other = load_model(f"sam3:{sam3_folder}", device="cpu")
    image = tile(SIZE, SIZE)[None]
    one, two = (m.encode(image)[0].arrays["state"] for m in (model, other))
    np.testing.assert_array_equal(one, two)
    assert other.spec.key != model.spec.key


def test_the_published_sizes_fit():
    import transformers

    _check(transformers.Sam3Config(), "config.json")


def test_answers_do_not_depend_on_what_was_asked_before(model, tile):
    embedding = model.encode(tile(SIZE, SIZE)[None])[0]
    asked = model.suggest_text(embedding, "cell")[:3]
    first = model.decode(embedding, asked)
    for text in ("coin", "red", "nucleus"):
        model.suggest_text(embedding, text)
    again = model.decode(embedding, asked[::-1])
    np.testing.assert_array_equal(first.logits, again.logits[::-1])


def test_the_same_answers_in_any_thread(model, tile):
    tiles = [model.encode(tile(SIZE, SIZE, seed)[None])[0] for seed in (1, 2)]
    asked = [(e, text) for e in tiles for text in ("cell", "coin", "red")] * 2
    expected = [model.suggest_text(*one) for one in asked]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: model.suggest_text(*one), asked)) == expected


def test_an_embedding_from_a_cache_is_read_only(model, tile):
    embedding = model.encode(tile(60, 90)[None])[0]
    embedding.arrays["state"].flags.writeable = False
    assert model.suggest_text(embedding, "cell")


@pytest.mark.parametrize(
    ("prompts", "match"),
    [
        (PromptSet((PointPrompt(5, 5),)), "by their name, or by a box"),
        (PromptSet((PointPrompt(5, 5),), text="word " * 35), "longer than 30 pieces"),
    ],
)
def test_prompts_that_say_too_little_or_too_much(model, tile, prompts, match):
    embedding = model.encode(tile(SIZE, SIZE)[None])[0]
    with pytest.raises(PromptError, match=match):
        model.decode(embedding, [prompts])


def test_tiles_and_embeddings_of_others_are_refused(model, sam3_folder, tile):
    with pytest.raises(ModelError, match="up to 112"):
        model.encode(np.zeros((1, SIZE + 1, 8, 3), np.float32))
    other = load_model(f"sam3:{sam3_folder}", device="cpu")
    with pytest.raises(ModelError, match="of another model"):
        model.suggest_text(other.encode(tile(SIZE, SIZE)[None])[0], "cell")


def test_the_whole_way_over_tiles(model, tile):
    source = open_source((tile(150, 180) * 255).astype(np.uint8), axes="yxc")
    labels = segment_all(source, model, text="nucleus", score_threshold=0.2)
    assert labels.shape == (150, 180)
    found = Annotator(source, model).predict(points=[(60, 70)], text="nucleus")
    assert found.prompts.text == "nucleus"


# --- which of them is meant ---------------------------------------------------------------------


def three():
    """Two instances side by side, and one that holds both."""
    import torch

    masks = torch.full((3, 8, 8), -1.0)
    masks[0, 1:4, 1:4], masks[1, 1:4, 5:8], masks[2, 0:8, 0:8] = 1, 1, 1
    boxes = np.array([[9.5, 9.5, 39.5, 39.5], [9.5, 49.5, 39.5, 79.5], [-0.5, -0.5, 79.5, 79.5]])
    return Instances(masks, boxes, np.array([0.9, 0.8, 0.7], np.float32))


BLOCK = MaskPrompt(Box(10, 50, 40, 80), np.ones((30, 30), bool))


@pytest.mark.parametrize(
    ("prompts", "meant"),
    [
        (PromptSet((PointPrompt(20, 20),)), 0),
        (PromptSet((PointPrompt(20, 60),)), 1),
        (PromptSet((PointPrompt(60, 60),)), 2),
        (PromptSet((PointPrompt(20, 20), PointPrompt(20, 60))), 2),
        (PromptSet((PointPrompt(20, 20), PointPrompt(20, 60, positive=False))), 0),
        (PromptSet((PointPrompt(20, 45), PointPrompt(70, 45, positive=False))), None),
        (PromptSet(box=BoxPrompt(8, 48, 41, 81)), 1),
        (PromptSet(box=BoxPrompt(0, 0, 78, 78)), 2),
        (PromptSet(mask=BLOCK), 1),
        (PromptSet(mask=BLOCK, box=BoxPrompt(9.5, 9.5, 39.5, 39.5)), 1),
    ],
)
def test_prompts_pick_the_instance_that_is_meant(prompts, meant):
    assert pick(three(), prompts, (80, 80)) == meant


def test_of_nothing_nothing_is_picked():
    found = three()
    none = Instances(found.masks[:0], found.boxes[:0], found.scores[:0])
    assert pick(none, PromptSet((PointPrompt(20, 20),)), (80, 80)) is None


# --- damaged files ------------------------------------------------------------------------------


def refused(folder, match):
    with pytest.raises(WeightsError, match=match) as caught:
        load_model(f"sam3:{folder}", device="cpu")
    assert "\n" not in str(caught.value)


def change(path, **values):
    config = json.loads(path.read_text())
    part = config["detector_config"]
    for name, value in values.items():
        *parents, last = name.split("__")
        place = part
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "values",
    [
        {"vision_config__backbone_config__image_size": 113},
        {"vision_config__backbone_config__image_size": 10**7},
        {"vision_config__backbone_config__window_size": 10**9},
        {"vision_config__backbone_config__patch_size": 0},
        {"vision_config__backbone_config__num_hidden_layers": 10**9},
        {"vision_config__backbone_config__hidden_size": 33},
        {"vision_config__backbone_config__num_attention_heads": 0},
        {"text_config__num_attention_heads": 3},
        {"detr_encoder_config__num_attention_heads": 5},
        {"vision_config__backbone_config__rope_parameters": {"rope_type": "no"}},
        {"vision_config__scale_factors": [4.0, 2.0]},
        {"vision_config__fpn_hidden_size": 64},
        {"text_config__vocab_size": 10**12},
        {"text_config__max_position_embeddings": 8},
        {"text_config__model_type": "bert"},
        {"detr_decoder_config__num_queries": -1},
        {"detr_decoder_config": 3},
        {"vision_config": None},
    ],
    ids=lambda v: next(iter(v)),
)
def test_a_configuration_that_does_not_fit(damaged, values):
    change(damaged / "config.json", **values)
    refused(damaged, r"configuration is not|another architecture|numbers for a network")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("vocab.json", "[]", "words of the model are damaged"),
        ("vocab.json", "{", "words of the model are damaged"),
        ("vocab.json", '{"a": 0}', "vocabulary lacks"),
        ("vocab.json", '{"a": 99999999}', "vocabulary is not of"),
        ("vocab.json", '{"a": "b"}', "vocabulary is not of"),
        ("merges.txt", "a b c\n", "words of the model are damaged"),
        ("merges.txt", "zz qq\n", "vocabulary lacks"),
        ("processor_config.json", '{"image_mean": [1, 2]}', "no three numbers"),
        ("processor_config.json", '{"image_std": [0, 1, 1]}', "not above 0"),
    ],
)
def test_words_that_are_damaged(damaged, name, content, match):
    (damaged / name).write_text(content)
    refused(damaged, match)


def test_words_that_are_missing_or_too_large(damaged):
    (damaged / "vocab.json").unlink()
    refused(damaged, "words of the model are missing")
    (damaged / "tokenizer.json").write_text('{"model": {"merges": 3}}')
    refused(damaged, "words of the model are damaged")
    with (damaged / "tokenizer.json").open("wb") as file:
        file.truncate(17 << 20)
    refused(damaged, "words of the model are damaged")


def test_a_link_out_of_the_folder(damaged, tmp_path):
    (damaged / "vocab.json").rename(tmp_path / "vocab.json")
    (damaged / "vocab.json").symlink_to(tmp_path / "vocab.json")
    refused(damaged, "leads out of its folder")


def test_it_can_be_added(sam3_published, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path))
    added = drain(add_steps(sam3_published))
    assert added.id == f"sam3:{sam3_published}"
