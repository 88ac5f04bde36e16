"""From files to SAM 3: the part that finds things by name; its tracker is not used."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isfinite
from typing import Any

import torch  # noqa: TID253  # this module is imported when the family is used

from napari_ditto.errors import WeightsError
from napari_ditto.models.build import MAX_SIDE, Recipe, build, spec_of
from napari_ditto.models.canvas import Canvas
from napari_ditto.models.checkpoint import Tensors, read_config
from napari_ditto.models.sam3.model import Sam3PromptModel
from napari_ditto.models.sam3.words import MAX_TOKENS, make_reader
from napari_ditto.models.weights import Weights, inside

MAX_GRID = 256
"""Patches along a side; the published network has 72."""

CPU_RATE = 57e9
"""Multiply-adds per second on two cores of 2024: a backbone of the published size in about 40 s."""

DECODE_SHARE = 0.12
"""Of that time, what the pyramid, the detector and the masks take for each name."""

SCALES = [4.0, 2.0, 1.0, 0.5]
_DETECTOR = "detector_model."
_HALF = (0.5, 0.5, 0.5)


def _detector(tensors: Tensors) -> Tensors:
    """Return the tensors under the names that they have without a tracker beside them."""
    return {name.removeprefix(_DETECTOR): tensor for name, tensor in tensors.items()}


def _check(config: Any, where: str) -> None:  # noqa: ANN401
    """Refuse a configuration whose parts disagree: it would fail only much later."""
    vision, text = config.vision_config, config.text_config
    backbone = vision.backbone_config
    parts = (
        config.geometry_encoder_config,
        config.detr_encoder_config,
        config.detr_decoder_config,
        config.mask_decoder_config,
    )
    size, patch = _side(backbone.image_size), _side(backbone.patch_size)
    side = size // patch if patch > 0 else 0
    fits = (
        backbone.model_type == "sam3_vit_model"
        and text.model_type == "clip_text_model"
        and 0 < side <= MAX_GRID
        and size == side * patch <= MAX_SIDE
        and 0 < backbone.window_size <= side
        and list(vision.scale_factors) == SCALES
        and {part.hidden_size for part in parts} == {vision.fpn_hidden_size}
        and all(_has_whole_heads(part) for part in (backbone, text, *parts))
        and text.max_position_embeddings >= MAX_TOKENS
    )
    if not fits:
        raise WeightsError("the configuration is not of SAM 3", where=where)


def _side(size: object) -> int:
    """Return a side, told as a number or as a pair; 0 for anything else."""
    if isinstance(size, list | tuple) and len(set(size)) == 1:
        size = size[0]
    return size if isinstance(size, int) else 0


def _has_whole_heads(part: Any) -> bool:  # noqa: ANN401
    heads = part.num_attention_heads
    return bool(heads > 0 and part.hidden_size > 0 and part.hidden_size % heads == 0)


SAM3 = Recipe(
    family="sam3",
    version="1",
    model_class="Sam3Model",
    config_class="Sam3Config",
    model_types=("sam3", "sam3_video"),
    complete=_detector,
    ignored=("tracker_model", "tracker_neck"),  # the same list as the library's own
    settings=r"(text|geometry_encoder|detr_encoder|detr_decoder)_config",
    part="detector_config",
    check=_check,
)


def load_sam3(name: str, weights: Weights, device: str) -> Sam3PromptModel:
    """Load SAM 3 from a folder that holds its words as well, in the format of transformers."""
    network, config, sha256 = build(weights, SAM3)
    _fill_constants(network)
    backbone = config.vision_config.backbone_config
    size = _side(backbone.image_size)
    side = size // _side(backbone.patch_size)
    spec = spec_of(
        name,
        SAM3,
        weights,
        sha256,
        device=device,
        network=network,
        input_size=size,
        # Features of three sizes, and attention over all patches, several of each at a time.
        work_bytes=40 * (4 * side) ** 2 * config.vision_config.fpn_hidden_size,
        embedding_bytes=4 * side**2 * backbone.hidden_size,
    )
    encoder: Any = network.vision_encoder
    parameters = sum(p.numel() for p in encoder.backbone.parameters())
    seconds = parameters * side**2 / CPU_RATE
    spec = replace(
        spec,
        encode_seconds=seconds,
        capabilities=frozenset({"text", "points", "box", "mask", "scribbles"}),
        decode_seconds=DECODE_SHARE * seconds,
    )
    mean, std = _normalisation(weights)
    canvas = Canvas(size, False, 4 * side, mean, std)
    reader = make_reader(weights, config.text_config.vocab_size)
    return Sam3PromptModel(spec, network, canvas, reader)


def _fill_constants(network: Any) -> None:  # noqa: ANN401
    """Give the network the tables that no file holds; they were made without memory."""
    backbone = network.vision_encoder.backbone
    for layer in backbone.layers:
        layer.position_ids = layer.precompute_positions(backbone.config, layer.window_size)
        turning = layer.rotary_emb
        turning.inv_freq, _ = turning.compute_axial_rope_parameters(backbone.config)
        turning.original_inv_freq = turning.inv_freq.clone()
    words = network.text_encoder.text_model.embeddings
    words.position_ids = torch.arange(words.position_embedding.num_embeddings)[None]


def _normalisation(weights: Weights) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, the file's own or those of SAM 3."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = weights.tensors.with_name(name)
        if path.is_file():
            raw = read_config(inside(path, weights.root))
            raw = raw["image_processor"] if isinstance(raw.get("image_processor"), dict) else raw
            found = tuple(
                _numbers(raw.get(k, _HALF), str(path)) for k in ("image_mean", "image_std")
            )
            if min(found[1]) <= 0:
                raise WeightsError("image_std is not above 0", where=str(path))
            return found[0], found[1]
    return _HALF, _HALF


def _numbers(value: object, where: str) -> tuple[float, ...]:
    fits = (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(v, int | float) and isfinite(v) for v in value)
    )
    if not fits:
        raise WeightsError(f"{json.dumps(value)[:40]} are no three numbers", where=where)
    return tuple(float(v) for v in value)  # type: ignore[attr-defined]
