"""Names, folders, and files that are damaged, foreign, or cannot be."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_ditto.errors import ModelNotFoundError, WeightsError
from napari_ditto.models.manifest import find
from napari_ditto.models.registry import available_models, load_model

PUBLISHED = "seggpt:BAAI/seggpt-vit-large"


@pytest.fixture
def folder(random_folder, tmp_path):
    """A copy of a good checkpoint that a test may spoil."""
    return shutil.copytree(random_folder, tmp_path / "seggpt")


@pytest.fixture
def nothing_here(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_published_weights_are_known_and_how_to_get_them_is_said(nothing_here):
    (entry,) = [e for e in available_models() if e.id == PUBLISHED]
    assert entry.family == "seggpt"
    assert entry.size_bytes > 1e9
    assert "MIT" in entry.licence
    assert "2304.03284" in entry.citation
    assert not entry.hash_known
    with pytest.raises(ModelNotFoundError, match=f"napari-ditto models get {PUBLISHED}"):
        load_model(PUBLISHED)


def test_any_other_repository_can_be_named():
    assert find("seggpt", "someone/our-seggpt").repo == "someone/our-seggpt"


def test_a_folder_and_its_file_are_recognised(random_folder):
    for path in (random_folder, random_folder / "model.safetensors"):
        model = load_model(str(path), "cpu")
        assert model.spec.family == "seggpt"
        assert model.spec.input_size == 64
    assert load_model(f"seggpt:{random_folder}", "cpu").spec.device == "cpu"


def test_the_folders_own_normalisation_is_used(folder, picture, labelling, example):
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    assert load_model(f"seggpt:{folder}", "cpu")._painter.mean.sum() == 0


def test_another_family_is_named(folder):
    change(folder, model_type="sam")
    with pytest.raises(WeightsError, match="'sam', not 'seggpt'"):
        load_model(f"seggpt:{folder}", "cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 64},
        {"image_size": [64, 64]},
        {"image_size": [128, 60]},
        {"image_size": [130, 65]},
        {"patch_size": [16, 16]},
        {"patch_size": 0},
        {"hidden_size": 33},
        {"num_attention_heads": 0},
        {"num_hidden_layers": "many"},
        {"num_hidden_layers": None},
        {"hidden_act": "no such thing"},
        {"merge_index": 3},
        {"merge_index": -1},
        {"intermediate_hidden_state_indices": [2, 9]},
        {"intermediate_hidden_state_indices": []},
        {"pretrain_image_size": 1},
        {"num_channels": 1},
        {"beta": 0},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be(folder, wrong):
    change(folder, **wrong)
    with pytest.raises(WeightsError, match="the configuration is not valid") as caught:
        load_model(f"seggpt:{folder}", "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("larger", [{"hidden_size": 1 << 20}, {"decoder_hidden_size": 9}])
def test_a_configuration_with_other_sizes_does_not_fit(folder, larger):
    change(folder, **larger)
    with pytest.raises(WeightsError, match="another architecture"):
        load_model(f"seggpt:{folder}", "cpu")


def test_what_else_a_configuration_says_is_not_listened_to(folder, random_model, picture):
    change(folder, auto_map={"AutoModel": "evil.py"}, drop_path_rate=0.9, torch_dtype="float16")
    model = load_model(f"seggpt:{folder}", "cpu")
    assert not model._painter.network.training
    np.testing.assert_array_equal(
        model.encode(picture()[None])[0].arrays["pixels"],
        random_model.encode(picture()[None])[0].arrays["pixels"],
    )
