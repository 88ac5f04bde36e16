"""The checkpoints of the original segment-anything and SAM-HQ code, as micro-sam publishes them.

Their names are translated to those of transformers, and the architecture is read off the
shapes, so that any width and depth of the ViT works. MobileSAM's TinyViT is another network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from napari_ditto.errors import WeightsError

if TYPE_CHECKING:
    import torch

_ENCODER = "image_encoder."
_QUERY = "attn.rel_pos_h"
_POSITION = "embedding.positional_embedding"

# (name in segment_anything, name in transformers), applied in this order.
_RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", f".shared_{_POSITION}"),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.hf_token\.", ".hq_token."),
    (r"\.hf_mlp\.", ".hq_mask_mlp."),
    (r"\.compress_vit_feat\.0\.", ".compress_vit_conv1."),
    (r"\.compress_vit_feat\.1\.", ".compress_vit_norm."),
    (r"\.compress_vit_feat\.3\.", ".compress_vit_conv2."),
    (r"\.embedding_encoder\.0\.", ".encoder_conv1."),
    (r"\.embedding_encoder\.1\.", ".encoder_norm."),
    (r"\.embedding_encoder\.3\.", ".encoder_conv2."),
    (r"\.embedding_maskfeature\.0\.", ".mask_conv1."),
    (r"\.embedding_maskfeature\.1\.", ".mask_norm."),
    (r"\.embedding_maskfeature\.3\.", ".mask_conv2."),
)
_MLP = re.compile(r"(.*(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|hq_mask_mlp))"
                  r"\.layers\.(\d+)\.(.*)")  # fmt: skip


def is_original(names: Iterable[str]) -> bool:
    """Whether these are the names of the original code."""
    return any(name.startswith(_ENCODER) for name in names)


def is_hq(names: Iterable[str]) -> bool:
    """Whether these are the names of an original SAM-HQ checkpoint."""
    return any(".hf_token." in name for name in names)


def translate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors under the names that transformers uses."""
    kept = {n: t for n, t in tensors.items() if n not in {"pixel_mean", "pixel_std"}}
    depth = _mlp_depths(kept)
    return {_rename(name, depth): tensor for name, tensor in kept.items()}


def _rename(name: str, depth: Mapping[str, int]) -> str:
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    found = _MLP.fullmatch(name)
    if not found:
        return name
    head, index, rest = found[1], int(found[2]), found[3]
    last = depth[head] - 1
    inner = {0: "proj_in", last: "proj_out"}.get(index, f"layers.{index - 1}")
    return f"{head}.{inner}.{rest}"


def _mlp_depths(names: Iterable[str]) -> dict[str, int]:
    """Return the number of layers of every small perceptron, by its new name."""
    depths: dict[str, int] = {}
    for name in names:
        for old, new in _RENAMED:
            name = re.sub(old, new, name)
        if found := _MLP.fullmatch(name):
            depths[found[1]] = max(depths.get(found[1], 0), int(found[2]) + 1)
    return depths


def infer_config(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, Any]:
    """Return the transformers configuration that fits an original checkpoint.

    Raises
    ------
    WeightsError
        If the encoder is no ViT with relative positions, such as MobileSAM's.
    """
    try:
        vision = _vision(tensors)
        decoder = _decoder(tensors)
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(
            f"the checkpoint is not a SAM with a ViT encoder (no {error})",
            where=where,
            todo="MobileSAM and other vit_t models are not supported; use vit_b, vit_l or vit_h",
        ) from error
    if is_hq(tensors):
        decoder["vit_dim"] = vision["hidden_size"]
    prompt = {
        "hidden_size": vision["output_channels"],
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "mask_input_channels": len(tensors["prompt_encoder.mask_downscaling.4.weight"]),
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": prompt,
        "mask_decoder_config": decoder,
    }


def _vision(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    width, _, patch, _ = tensors[f"{_ENCODER}patch_embed.proj.weight"].shape
    grid = tensors[f"{_ENCODER}pos_embed"].shape[1]
    depth = _count(tensors, rf"{_ENCODER}blocks\.(\d+)\.")
    # Relative positions cover 2 * side - 1 offsets; a global block's side is the whole grid.
    spans = [tensors[f"{_ENCODER}blocks.{i}.{_QUERY}"] for i in range(depth)]
    sides = [(len(s) + 1) // 2 for s in spans]
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // spans[0].shape[1],
        "mlp_dim": len(tensors[f"{_ENCODER}blocks.0.mlp.lin1.weight"]),
        "image_size": grid * patch,
        "patch_size": patch,
        "window_size": min(sides),
        "global_attn_indexes": [i for i, side in enumerate(sides) if side == grid],
        "output_channels": len(tensors[f"{_ENCODER}neck.0.weight"]),
        "num_pos_feats": tensors[
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        ].shape[1],
    }


def _decoder(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    layer = "mask_decoder.transformer.layers.0"
    hidden = tensors["mask_decoder.iou_token.weight"].shape[1]
    inner = len(tensors[f"{layer}.cross_attn_token_to_image.q_proj.weight"])
    return {
        "hidden_size": hidden,
        "mlp_dim": len(tensors[f"{layer}.mlp.lin1.weight"]),
        "num_hidden_layers": _count(tensors, r"mask_decoder\.transformer\.layers\.(\d+)\."),
        "attention_downsample_rate": hidden // inner,
        "num_multimask_outputs": len(tensors["mask_decoder.mask_tokens.weight"]) - 1,
        "iou_head_depth": _count(tensors, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
        "iou_head_hidden_dim": len(tensors["mask_decoder.iou_prediction_head.layers.0.weight"]),
    }


def _count(names: Iterable[str], pattern: str) -> int:
    return 1 + max(int(m[1]) for m in map(re.compile(pattern).match, names) if m)
