"""A small SAM 3 of random weights with words of its own, in the formats of the published one.

It finds nothing that anybody would name, but always the same things for the same word: enough to
compare with the library, and to see that every road is open.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.models.transformers_guard import transformers

if TYPE_CHECKING:
    import torch

SIZE = 112
"""Side of its tile, pixels."""

WORDS = ("nucleus", "cell", "red", "coin")
"""What it reads in one piece; anything else letter by letter."""

START, END = "<|startoftext|>", "<|endoftext|>"


def make_words() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges as CLIP has them: bytes, bytes at an end, merges, two marks."""
    letters = _bytes_as_letters()
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        left, rest = word[0], [*word[1:-1], f"{word[-1]}</w>"]
        for piece in rest:
            if (left, piece) not in merges:
                merges.append((left, piece))
            left += piece
    tokens = [*letters, *(f"{c}</w>" for c in letters), *dict.fromkeys(a + b for a, b in merges)]
    return {token: i for i, token in enumerate([*tokens, START, END])}, merges


def make_network(seed: int = 5) -> torch.nn.Module:
    """Return the library's network with weights that make lively, unlike masks."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: Any = transformers().Sam3Model(_config())
        with torch.no_grad():
            for name, p in network.named_parameters():
                norm = "norm" in name and name.endswith("weight")
                p.copy_(torch.randn_like(p) * 0.25 + (1.0 if norm else 0.0))
            # Its queries look all over the tile, not only in the middle.
            network.detr_decoder.reference_points.weight.mul_(8)
    return network.eval()  # type: ignore[no-any-return]


def save_small_sam3(folder: Path | str, network: torch.nn.Module | None = None) -> Path:
    """Save the network as the published repository has it; return the folder.

    The detector lies beside a tracker, under names of its own, and the words in plain files.

    Parameters
    ----------
    folder : path
        Where the files go.
    network : torch.nn.Module, optional
        From :func:`make_network`, which is asked by default.
    """
    import torch
    from safetensors.torch import save_file

    folder, network = Path(folder), network or make_network()
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"detector_model.{n}": t.contiguous() for n, t in network.state_dict().items()}
    tensors["tracker_model.memory.weight"] = torch.ones(3)
    tensors["tracker_neck.conv.weight"] = torch.ones(3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    detector = network.config.to_dict()  # type: ignore[operator, union-attr]
    config = {"model_type": "sam3_video", "detector_config": detector, "tracker_config": {}}
    _write(folder / "config.json", config)
    vocabulary, merges = make_words()
    _write(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    _write(folder / "processor_config.json", {"image_processor": pixels})
    return folder


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _bytes_as_letters() -> list[str]:
    """Return the letters that stand for bytes in CLIP's vocabulary, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def _config() -> Any:  # noqa: ANN401
    vocabulary, _ = make_words()
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
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
        "pad_token_id": 1,
    }
    return transformers().Sam3Config(
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
