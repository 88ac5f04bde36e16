"""Seeded small checkpoints in the real formats: every weight is random, no number is zero."""

from __future__ import annotations

import inspect
import logging
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)

PROMPT = {"hidden_size": 32, "patch_size": 16, "mask_input_channels": 8}
DECODER = {"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32}


def _vision(size):
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": size,
        "window_size": 3,
        "global_attn_indexes": [1],
        "output_channels": 32,
        "num_pos_feats": 16,
        "mlp_dim": 64,
    }


def _hiera(size, channels=32):
    return {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 16,
            "image_size": [size, size],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [16, 32, 64, 128],
            "num_attention_heads_per_stage": [1, 2, 2, 4],
            "window_size_per_stage": [4, 2, 4, 2],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [128, 64, 32, 16],
        "backbone_feature_sizes": [[size // s] * 2 for s in (4, 8, 16)],
        "fpn_hidden_size": channels,
    }


def _video(size, channels=128):
    """The library's memory has 64 channels wherever it may; pointers are cut into such pieces."""
    return {
        "vision_config": _hiera(size, channels),
        "prompt_encoder_config": {**PROMPT, "hidden_size": channels, "image_size": size},
        "mask_decoder_config": {**DECODER, "hidden_size": channels},
        "image_size": size,
        "memory_attention_rope_feat_sizes": [size // 16] * 2,
        "memory_attention_num_layers": 2,
        "memory_attention_feed_forward_hidden_size": 64,
        "memory_attention_hidden_size": channels,
        "memory_encoder_hidden_size": channels,
        "mask_downsampler_embed_dim": channels,
        "memory_fuser_embed_dim": channels,
        "memory_fuser_intermediate_dim": 64,
    }


def mended_sam_hq():
    """Return the library's class with the image that its transformer gives, as 4.57 had it.

    Since release 5 it upscales the encoder's image instead, with rows and columns exchanged; the
    published decoder (SysCV/sam-hq, ``mask_decoder_hq.py``) upscales what the transformer gives.
    """
    import transformers.models.sam_hq.modeling_sam_hq as library

    source = textwrap.dedent(inspect.getsource(library.SamHQMaskDecoder.forward))
    wrong, right = "point_embedding, iou_token_out = ", "point_embedding, image_embeddings = "
    names = dict(vars(library))
    exec(source.replace(wrong, right), names)  # noqa: S102  # the library's own code
    decoder = type("Mended", (library.SamHQMaskDecoder,), {"forward": names["forward"]})

    class MendedModel(library.SamHQModel):
        def __init__(self, config):
            super().__init__(config)
            self.mask_decoder.__class__ = decoder

    MendedModel.__name__ = "SamHQModel"
    return MendedModel


def make_network(family, size=128):
    """Return a small network of the library with weights that make lively masks."""
    import torch
    import transformers as t

    prompt = {**PROMPT, "image_size": size}
    parts = {"prompt_encoder_config": prompt, "mask_decoder_config": DECODER}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        if family == "sam":
            network = t.SamModel(t.SamConfig(vision_config=_vision(size), **parts))
        elif family == "sam_hq":
            parts["mask_decoder_config"] = {**DECODER, "vit_dim": 32}
            network = mended_sam_hq()(t.SamHQConfig(vision_config=_vision(size), **parts))
        elif family == "sam2":
            network = t.Sam2Model(t.Sam2Config(vision_config=_hiera(size), **parts))
        else:
            network = t.Sam2VideoModel(t.Sam2VideoConfig(**_video(size)))
        # Memory feeds on itself: with wild weights a last bit grows to a different mask.
        usual = 0.08 if family == "sam2_video" else 0.25
        with torch.no_grad():
            for name, p in network.named_parameters():
                spread = 1.0 if "positional" in name or "embed" in name else usual
                p.copy_(torch.randn_like(p) * spread + (1.0 if _is_norm(name) else 0.0))
    return network.eval()


def _is_norm(name):
    return "norm" in name and name.endswith("weight")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folders of seeded checkpoints, ``checkpoints.<family>``."""
    import torch
    from transformers.utils import logging as library

    torch.set_num_threads(1)  # networks this small only wait for each other's threads
    library.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    root = tmp_path_factory.mktemp("checkpoints")
    folders = {}
    for family in ("sam", "sam_hq", "sam2", "sam2_video"):
        folders[family] = root / family
        make_network(family).save_pretrained(root / family)
    return SimpleNamespace(**folders)


@pytest.fixture(scope="session")
def network():
    return make_network


@pytest.fixture
def models_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder for weights, no other cache in sight, and no network."""
    folder = tmp_path / "models"
    monkeypatch.setenv("NAPARI_DITTO_MODELS", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "NAPARI_DITTO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def make_tile(height, width, seed=3):
    """Return a tile of 8-bit values in [0, 1] with some structure."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(y / 7), np.cos(x / 11), np.sin((x + y) / 5)], axis=-1)
    noisy = 0.5 + 0.3 * waves + 0.1 * rng.standard_normal((height, width, 3))
    return (np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)


@pytest.fixture(scope="session")
def tile():
    return make_tile


def _mask():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 5:20] = True
    return MaskPrompt(Box(20, 20, 40, 50), mask)


PROMPT_SETS = {
    "point": PromptSet((PointPrompt(30, 40),)),
    "negative": PromptSet((PointPrompt(30, 40, False),)),
    "points": PromptSet((PointPrompt(30, 40), PointPrompt(3.5, 4.25, False))),
    "box": PromptSet(box=BoxPrompt(10, 12.5, 50, 60)),
    "box+points": PromptSet(
        (PointPrompt(30, 40), PointPrompt(60, 5, False)), box=BoxPrompt(10, 10, 50, 60)
    ),
    "mask": PromptSet(mask=_mask()),
    "mask+point": PromptSet((PointPrompt(30, 40),), mask=_mask()),
    "everything": PromptSet(
        (PointPrompt(30, 40),),
        (ScribblePrompt(((5, 5), (8, 40)), positive=False),),
        BoxPrompt(10, 10, 50, 60),
        _mask(),
    ),
    "scribble": PromptSet(scribbles=(ScribblePrompt(((10, 10), (50, 60), (20, 70))),)),
}


@pytest.fixture(scope="session")
def prompt_sets():
    return PROMPT_SETS
