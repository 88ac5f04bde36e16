"""Which SAM 2 becomes of which files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam2Config, Sam2Model

from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.errors import ModelError, WeightsError
from napari_ditto.models.numerics import agreement
from napari_ditto.models.protocols import PromptModel, VideoModel
from napari_ditto.models.registry import load_model


@pytest.fixture
def folder(checkpoints, tmp_path):
    return shutil.copytree(checkpoints.sam2_video, tmp_path / "video")


def edit(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def load(folder):
    return load_model(f"sam2:{folder}", device="cpu")


def test_the_published_kind_of_checkpoint_is_a_video_model(checkpoints):
    """The hub's sam2.1 repositories are of model type sam2_video."""
    model = load_model(str(checkpoints.sam2_video), device="cpu")
    assert model.spec.family == "sam2"
    assert isinstance(model, VideoModel)
    assert dict(model.reach) == {"features": 6, "pointer": 15}


def test_an_image_checkpoint_is_none(checkpoints):
    model = load(checkpoints.sam2)
    assert isinstance(model, PromptModel)
    assert not isinstance(model, VideoModel)


def test_its_image_half_is_the_image_model(checkpoints, network, tile):
    """Embeddings and masks of the library's Sam2Model, filled from the video checkpoint."""
    model, video = load(checkpoints.sam2_video), network("sam2_video")
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    raw = json.loads((checkpoints.sam2_video / "config.json").read_text())
    theirs = Sam2Model(Sam2Config(**{name: raw[name] for name in parts})).eval()
    theirs.load_state_dict({n: video.state_dict()[n] for n in theirs.state_dict()})
    image = tile(128, 128)
    pixels = torch.from_numpy(model._prepare(image))[None]
    embedding = model.encode(image[None])[0]
    with torch.no_grad():
        expected = theirs.get_image_embeddings(pixels)
        out = theirs(
            image_embeddings=expected,
            input_points=torch.tensor([[[[40.0, 30.0]]]]),
            input_labels=torch.tensor([[[1]]]),
        )
    for mine, other in zip(embedding.arrays.values(), expected, strict=True):
        np.testing.assert_allclose(mine, other[0].numpy(), atol=1e-5)
    found = model.decode(embedding, [PromptSet((PointPrompt(30, 40),))])
    full = torch.nn.functional.interpolate(out.pred_masks[0], (128, 128), mode="bilinear")
    np.testing.assert_allclose(found.logits[0], full[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(found.scores[0], out.iou_scores[0, 0].numpy(), atol=1e-5)


def test_a_checkpoint_that_left_its_memory_out_serves_images(folder):
    """With the same embeddings, so that nothing is encoded twice."""
    path = folder / "model.safetensors"
    whole = load(folder)
    kept = {n: t for n, t in load_file(path).items() if not n.startswith("memory_")}
    save_file(kept, path)
    model = load(folder)
    assert not isinstance(model, VideoModel)
    image = np.random.default_rng(0).random((1, 60, 80, 3), dtype=np.float32)
    ours, theirs = (m.encode(image)[0].arrays for m in (model, whole))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert model.decode(model.encode(image)[0], [PromptSet(box=BoxPrompt(1, 1, 9, 9))]).scores.any()


def test_half_a_memory_is_an_error(folder):
    path = folder / "model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if "memory_attention" not in n}, path)
    with pytest.raises(WeightsError, match="is missing"):
        load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 256},
        {"memory_attention_rope_feat_sizes": [64, 64]},
        {"num_maskmem": 1},
        {"max_object_pointers_in_encoder": 1},
    ],
)
def test_a_memory_that_does_not_fit_the_images_is_refused(folder, changes):
    if "num_maskmem" in changes:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        name = "memory_temporal_positional_encoding"
        save_file({**tensors, name: tensors[name][:1].clone()}, path)
    edit(folder, **changes)
    with pytest.raises(WeightsError, match="the memory is not that of SAM 2 at 128 pixels"):
        load(folder)


def test_the_older_spelling_of_a_setting_is_read(folder):
    """Configurations written before transformers 5 name the base of the rotation otherwise."""
    older = {"memory_attention_rope_theta": 10000.0, "memory_attention_rope_k_sizes": [64, 64]}
    edit(folder, rope_parameters=None, **older)
    model = load(folder)
    assert model._network.config.rope_parameters["rope_theta"] == 10000.0


def test_settings_that_are_none_of_ours_are_not_read(folder):
    """An attention implementation, say, that transformers would fetch from the hub."""
    edit(folder, _attn_implementation="kernels-community/nobody", auto_map={"AutoModel": "x.y"})
    assert load(folder)._network.config._attn_implementation == "sdpa"


def test_sam2_0_has_no_time_on_its_pointers_and_no_mark_of_absence(checkpoints, tmp_path, tile):
    """The first release lacks two weights; what they do is left out."""
    network_class, config = _network_without_extras(checkpoints)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network_class(config).save_pretrained(tmp_path)
    model = load(tmp_path)
    embedding = model.encode(tile(60, 80)[None])[0]
    mask = np.zeros((1, 60, 80), dtype=bool)
    assert np.isfinite(model.memorize(embedding, mask)["features"]).all()


def _network_without_extras(checkpoints):
    from transformers import Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig.from_pretrained(checkpoints.sam2_video)
    config.enable_occlusion_spatial_embedding = False
    config.enable_temporal_pos_encoding_for_object_pointers = False
    return Sam2VideoModel, config


# --- precision ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sam2", "sam2_video"])
def test_half_precision_is_another_model_with_the_same_masks(checkpoints, tile, kind):
    """Their embeddings must not mix, but one answers as the other."""
    name, image, masks = f"sam2:{getattr(checkpoints, kind)}", tile(128, 128), []
    plain, half = (load_model(name, "cpu", p) for p in ("auto", "bfloat16"))
    assert plain.spec.precision == "float32"  # too small to be tried
    assert half.spec.key == plain.spec.key + "+bfloat16"
    for model in (plain, half):
        embedding = model.encode(image[None])[0]
        assert all(a.dtype == np.float32 for a in embedding.arrays.values())
        masks.append(model.decode(embedding, [PromptSet((PointPrompt(30, 40),))]).logits[0] > 0)
    assert agreement(*masks) > 0.8  # wild weights


def test_a_trial_takes_a_small_picture(checkpoints):
    name = f"sam2:{checkpoints.sam2}"
    single, half = (load_model(name, "cpu", p).try_out() for p in ("float32", "bfloat16"))
    assert single.seconds > 0
    assert single.masks.any()
    assert agreement(single.masks, half.masks) > 0.8


def test_an_encoder_that_is_the_librarys_has_no_precisions(network, tmp_path, tile):
    theirs = network("sam2")
    theirs.config.vision_config.backbone_config.hidden_act = "relu"
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no precision 'bfloat16'"):
        load_model(f"sam2:{tmp_path}", "cpu", "bfloat16")
    model = load(tmp_path)
    assert model.spec.precision == "float32"
    image = tile(128, 128)
    pixels = torch.from_numpy(model._prepare(image))[None]
    expected = model._network.get_image_embeddings(pixels)
    found = model.encode(image[None])[0].arrays
    assert all(
        np.array_equal(f, e[0].numpy()) for f, e in zip(found.values(), expected, strict=True)
    )
