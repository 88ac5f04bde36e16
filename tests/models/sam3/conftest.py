"""A small seeded SAM 3 with words of its own, laid out as the published one is."""

from __future__ import annotations

import json
import logging
import shutil

import pytest

SIZE = 112
WORDS = ("nucleus", "cell", "red", "coin")


def bytes_as_letters():
    """The letters that stand for bytes in CLIP's vocabulary, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def make_words():
    """Return vocabulary and merges: bytes, bytes at a word's end, merges, and the two marks."""
    letters = bytes_as_letters()
    merges = []
    for word in WORDS:
        left, rest = word[0], [*word[1:-1], f"{word[-1]}</w>"]
        for piece in rest:
            if (left, piece) not in merges:
                merges.append((left, piece))
            left += piece
    tokens = [*letters, *(f"{c}</w>" for c in letters), *dict.fromkeys(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def make_config(vocabulary=None):
    import transformers as t

    vocabulary = vocabulary or make_words()[0]
    part = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    backbone = {
        **part,
        "model_type": "sam3_vit_model",
        "num_hidden_layers": 2,
        "image_size": SIZE,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
    }
    text = {
        **part,
        "model_type": "clip_text_model",
        "vocab_size": len(vocabulary),
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "max_position_embeddings": 32,
        "hidden_act": "gelu",
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
        "pad_token_id": 1,
    }
    return t.Sam3Config(
        vision_config={
            "backbone_config": backbone,
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config=text,
        geometry_encoder_config={**part, "num_layers": 1},
        detr_encoder_config={**part, "num_layers": 1},
        detr_decoder_config={**part, "num_layers": 2, "num_queries": 12},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )


@pytest.fixture(scope="session")
def sam3_network():
    """The library's network with weights that make lively, unlike masks."""
    import torch
    import transformers as t

    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = t.Sam3Model(make_config())
        with torch.no_grad():
            for name, p in network.named_parameters():
                norm = "norm" in name and name.endswith("weight")
                p.copy_(torch.randn_like(p) * 0.25 + (1.0 if norm else 0.0))
            # Reference boxes all over the tile, and a thing that is rather there than not.
            network.detr_decoder.reference_points.weight.mul_(8)
    return network.eval()


@pytest.fixture(scope="session")
def sam3_folder(tmp_path_factory, sam3_network):
    """``config.json`` of the detector alone, and ``tokenizer.json``."""
    import transformers as t

    folder = tmp_path_factory.mktemp("sam3")
    sam3_network.save_pretrained(folder)
    vocabulary, merges = make_words()
    t.CLIPTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sam3_published(tmp_path_factory, sam3_folder):
    """The layout of the published repository: a detector beside a tracker, and plain word files."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("sam3-published")
    tensors = load_file(sam3_folder / "model.safetensors")
    named = {f"detector_model.{name}": tensor for name, tensor in tensors.items()}
    named["tracker_model.memory.weight"] = torch.ones(3)
    named["tracker_neck.conv.weight"] = torch.ones(3)
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    detector = json.loads((sam3_folder / "config.json").read_text())
    config = {"model_type": "sam3_video", "detector_config": detector, "tracker_config": {}}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary, merges = make_words()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    processor = {"image_processor": {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture
def damaged(sam3_published, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(sam3_published, tmp_path / "copy")
