"""Checkpoints of the original segment-anything code, as Meta and micro-sam publish them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.errors import WeightsError
from napari_ditto.models.registry import load_model
from napari_ditto.models.sam.original import infer_config, translate

# Names as segment_anything's modules define them (modeling/{image_encoder, prompt_encoder,
# mask_decoder, transformer, common}.py at commit dca509f), written down by hand: attribute paths
# of the modules, with the layers of the Sequentials that hold parameters.
ENCODER_LAYER = {
    "norm1.weight", "norm1.bias", "attn.rel_pos_h", "attn.rel_pos_w",
    "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
    "norm2.weight", "norm2.bias",
    "mlp.lin1.weight", "mlp.lin1.bias", "mlp.lin2.weight", "mlp.lin2.bias",
}  # fmt: skip
ATTENTION = {
    f"{p}.{k}" for p in ("q_proj", "k_proj", "v_proj", "out_proj") for k in ("weight", "bias")
}


def documented_names(depth):
    """Every parameter and buffer of ``segment_anything.modeling.Sam`` with `depth` ViT blocks."""
    both = ("weight", "bias")
    names = {"image_encoder.pos_embed"}
    names |= {f"image_encoder.patch_embed.proj.{k}" for k in both}
    names |= {f"image_encoder.blocks.{i}.{n}" for i in range(depth) for n in ENCODER_LAYER}
    names |= {"image_encoder.neck.0.weight", "image_encoder.neck.2.weight"}
    names |= {f"image_encoder.neck.{i}.{k}" for i in (1, 3) for k in both}
    names |= {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"}
    names |= {f"prompt_encoder.point_embeddings.{i}.weight" for i in range(4)}
    names |= {"prompt_encoder.not_a_point_embed.weight", "prompt_encoder.no_mask_embed.weight"}
    names |= {f"prompt_encoder.mask_downscaling.{i}.{k}" for i in (0, 1, 3, 4, 6) for k in both}
    decoder = "mask_decoder"
    names |= {f"{decoder}.iou_token.weight", f"{decoder}.mask_tokens.weight"}
    names |= {f"{decoder}.output_upscaling.{i}.{k}" for i in (0, 1, 3) for k in both}
    for i in range(4):
        head = f"{decoder}.output_hypernetworks_mlps.{i}.layers"
        names |= {f"{head}.{j}.{k}" for j in range(3) for k in both}
    names |= {f"{decoder}.iou_prediction_head.layers.{j}.{k}" for j in range(3) for k in both}
    way = f"{decoder}.transformer"
    for i in range(2):
        layer = f"{way}.layers.{i}"
        for part in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"):
            names |= {f"{layer}.{part}.{n}" for n in ATTENTION}
        names |= {f"{layer}.norm{j}.{k}" for j in (1, 2, 3, 4) for k in both}
        names |= {f"{layer}.mlp.{lin}.{k}" for lin in ("lin1", "lin2") for k in both}
    names |= {f"{way}.final_attn_token_to_image.{n}" for n in ATTENTION}
    return names | {f"{way}.norm_final_attn.{k}" for k in both}


# The way back, by another route than the one under test: whole parts of names, one by one.
BACK = {
    "vision_encoder": "image_encoder", "projection": "proj", "shared_embedding": "pe_layer",
    "positional_embedding": "positional_encoding_gaussian_matrix",
    "point_embed": "point_embeddings", "layer_norm_final_attn": "norm_final_attn",
}  # fmt: skip
MASK_EMBED = {"conv1": "0", "layer_norm1": "1", "conv2": "3", "layer_norm2": "4", "conv3": "6"}
NECK = {"conv1": "0", "layer_norm1": "1", "conv2": "2", "layer_norm2": "3"}
UPSCALE = {"upscale_conv1": "0", "upscale_layer_norm": "1", "upscale_conv2": "3"}
MLP_LAYER = {"proj_in": ["layers", "0"], "proj_out": ["layers", "2"]}


def to_original(state):
    """Return a transformers state dict under the names of segment_anything."""
    return {
        _back(name.split(".")): t for name, t in state.items() if not name.startswith("shared_")
    }


def _back(parts):
    if "mask_embed" in parts:
        return ".".join(["prompt_encoder", "mask_downscaling", MASK_EMBED[parts[2]], parts[3]])
    if "neck" in parts:
        return ".".join(["image_encoder", "neck", NECK[parts[2]], parts[3]])
    if parts[1] in UPSCALE:
        return ".".join(["mask_decoder", "output_upscaling", UPSCALE[parts[1]], parts[2]])
    if parts[1] in ("output_hypernetworks_mlps", "iou_prediction_head"):
        inner = parts[:-1]
        if inner[-1] in MLP_LAYER:
            inner = inner[:-1] + MLP_LAYER[inner[-1]]
        else:
            inner[-1] = str(int(inner[-1]) + 1)
        return ".".join([*inner, parts[-1]])
    if parts[0] == "vision_encoder" and parts[1] == "layers":
        parts = ["image_encoder", "blocks", *parts[2:]]
    renamed = [BACK.get(p, p.replace("layer_norm", "norm")) for p in parts]
    return ".".join(renamed)


@pytest.fixture(scope="module")
def original(network):
    return to_original(network("sam").state_dict())


@pytest.fixture(scope="module")
def expected(checkpoints, tile):
    return answer(load_model(f"sam:{checkpoints.sam}", device="cpu"), tile)


def answer(model, tile):
    embedding = model.encode(tile(96, 128)[None])[0]
    return model.decode(embedding, [PromptSet((PointPrompt(40, 50),))]).logits


def test_the_seeded_state_dict_has_the_documented_names(original):
    assert set(original) == documented_names(depth=2)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_an_original_checkpoint_equals_its_hub_folder(original, expected, tile, tmp_path, suffix):
    path = tmp_path / f"sam_tiny{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({n: t.contiguous() for n, t in original.items()}, path)
    else:
        torch.save(original, path)
    if suffix != ".safetensors":  # what lies beside an original checkpoint is not its own
        (tmp_path / "config.json").write_text('{"model_type": "sam2"}')
        (tmp_path / "preprocessor_config.json").write_text('{"image_mean": "none"}')
    for name in (f"sam:{path}", str(path)):
        np.testing.assert_array_equal(answer(load_model(name, device="cpu"), tile), expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model_state": s, "decoder_state": {"x": torch.zeros(3)}, "epoch": 5},
        lambda s: {"model_state": {f"sam.{n}": t for n, t in s.items()}},
        lambda s: {"model": s},
        lambda s: {f"module.{n}": t for n, t in s.items()},
        lambda s: {**s, "pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)},
        lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()},
    ],
    ids=["micro-sam", "micro-sam prefix", "model", "parallel", "pixel buffers", "half"],
)
def test_training_checkpoints_are_unwrapped(original, expected, tile, tmp_path, wrap):
    torch.save(wrap(original), tmp_path / "best.pt")
    found = answer(load_model(f"sam:{tmp_path / 'best.pt'}", device="cpu"), tile)
    assert found.shape == expected.shape
    half = wrap({"x": torch.zeros(1)}).get("x", torch.zeros(1)).dtype == torch.float16
    np.testing.assert_allclose(found, expected, atol=0.5 if half else 0)


@pytest.mark.parametrize(
    ("width", "depth", "heads", "blocks"),
    [
        (768, 12, 12, [2, 5, 8, 11]),
        (1024, 24, 16, [5, 11, 17, 23]),
        (1280, 32, 16, [7, 15, 23, 31]),
    ],
    ids=["vit_b", "vit_l", "vit_h"],
)
def test_the_published_architectures_are_recognised(width, depth, heads, blocks):
    """Shapes alone, as build_sam.py makes them; no memory is taken for the weights."""
    from transformers import SamConfig, SamModel, SamVisionConfig

    vision = SamVisionConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        global_attn_indexes=blocks,
    )
    with torch.device("meta"):
        model = SamModel(SamConfig(vision_config=vision))
    state = to_original(model.state_dict())
    assert set(state) == documented_names(depth)
    found = infer_config(state, "memory")
    expected = {
        "hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads,
        "global_attn_indexes": blocks, "window_size": 14, "image_size": 1024, "patch_size": 16,
        "mlp_dim": 4 * width, "output_channels": 256, "num_pos_feats": 128,
    }  # fmt: skip
    assert found["vision_config"] == expected
    assert set(translate(state)) == {
        n for n in model.state_dict() if not n.startswith("shared_image_embedding")
    }


def test_an_original_hq_checkpoint_has_the_hub_names(network):
    """Names of SAM-HQ's MaskDecoderHQ (segment_anything/modeling/mask_decoder_hq.py)."""
    state = network("sam_hq").state_dict()
    hq = {
        "hq_token": "hf_token", "hq_mask_mlp.proj_in": "hf_mlp.layers.0",
        "hq_mask_mlp.layers.0": "hf_mlp.layers.1", "hq_mask_mlp.proj_out": "hf_mlp.layers.2",
        "compress_vit_conv1": "compress_vit_feat.0", "compress_vit_norm": "compress_vit_feat.1",
        "compress_vit_conv2": "compress_vit_feat.3", "encoder_conv1": "embedding_encoder.0",
        "encoder_norm": "embedding_encoder.1", "encoder_conv2": "embedding_encoder.3",
        "mask_conv1": "embedding_maskfeature.0", "mask_norm": "embedding_maskfeature.1",
        "mask_conv2": "embedding_maskfeature.3",
    }  # fmt: skip
    own = {n for n in state if any(n.startswith(f"mask_decoder.{k}.") for k in hq)}
    plain = to_original({n: t for n, t in state.items() if n not in own})
    for name in own:
        part = next(k for k in hq if name.startswith(f"mask_decoder.{k}."))
        plain[name.replace(f".{part}.", f".{hq[part]}.")] = state[name]
    assert set(translate(plain)) == {n for n in state if not n.startswith("shared_image")}
    config = infer_config(plain, "memory")
    assert config["mask_decoder_config"]["vit_dim"] == 32


def test_mobile_sam_is_refused_by_name(tmp_path):
    tiny = {
        "image_encoder.patch_embed.seq.0.c.weight": torch.zeros(32, 3, 3, 3),
        "mask_decoder.iou_token.weight": torch.zeros(1, 256),
    }
    torch.save(tiny, tmp_path / "vit_t.pt")
    with pytest.raises(WeightsError, match="vit_t models are not supported"):
        load_model(f"sam:{tmp_path / 'vit_t.pt'}")
