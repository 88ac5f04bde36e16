"""From files to SAM 2: with its memory where the file has one, else for images only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_ditto.errors import ModelError, WeightsError
from napari_ditto.models.build import Recipe, build, canvas_from, spec_of
from napari_ditto.models.checkpoint import read_config, tensor_names
from napari_ditto.models.prompt_network import plans_bytes
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.models.sam2.model import Sam2PromptModel
from napari_ditto.models.sam2.video import Sam2Video
from napari_ditto.models.trial import in_precision
from napari_ditto.models.weights import Weights, inside

VIDEO = Recipe(
    family="sam2",
    version="1",
    model_class="Sam2VideoModel",
    config_class="Sam2VideoConfig",
    model_types=("sam2_video",),
    settings="num_maskmem|image_size|rope_parameters"
    r"|(sigmoid|enable|multimask|max|memory|mask_downsampler)_\w+",
)
IMAGES = replace(
    VIDEO,
    model_class="Sam2Model",
    config_class="Sam2Config",
    model_types=("sam2", "sam2_video"),
    settings=r"(?!)",
    # Parts of the video model; the same list as the library's own.
    ignored=(
        r"memory_",
        r"mask_downsample",
        r"object_pointer_proj",
        r"temporal_positional_encoding_projection_layer",
        r"no_memory_positional_encoding",
        r"no_object_pointer",
        r"occlusion_spatial_embedding_parameter",
    ),
)

FASTER = {"float32": 1.4, "bfloat16": 2.4, "float16": 2.4}
"""Than the library in float32, whose times on two cores are those that are estimated."""


def load_sam2(name: str, weights: Weights, device: str, precision: str = "auto") -> Sam2PromptModel:
    """Load SAM 2 from a folder, or from a safetensors file with its ``config.json`` beside it.

    A checkpoint of the video model, as all published ones are, becomes a
    :class:`~napari_ditto.models.protocols.VideoModel`. Both read the same embeddings.
    """
    kind, recipe = (Sam2Video, VIDEO) if _has_memory(weights) else (Sam2PromptModel, IMAGES)
    network, config, sha256 = build(weights, recipe)
    size = int(config.prompt_encoder_config.image_size)
    _check_sizes(config, size, weights)
    if recipe is VIDEO:
        _check_memory(config, size, weights)
        _fill_constants(network)
    spec = spec_of(
        name,
        recipe,
        weights,
        sha256,
        device=device,
        network=network,
        input_size=size,
        work_bytes=1000 * size**2 + plans_bytes((size // 16) ** 2),
        embedding_bytes=16 * size**2,
    )
    canvas = canvas_from(weights, config.prompt_encoder_config, False)

    def made(spec: ModelSpec) -> Sam2PromptModel:
        return kind(spec, network, canvas)

    model = made(spec)
    if model.has_precisions:
        return in_precision(made, spec, precision, model.encoder_parameters, FASTER)
    if precision not in ("auto", "float32"):
        raise ModelError(f"this SAM 2 has no precision {precision!r}", todo="Use auto or float32")
    return model


def _has_memory(weights: Weights) -> bool:
    """Whether the configuration is of the video model, and its memory was not left out."""
    path = weights.tensors.with_name("config.json")
    if weights.tensors.suffix != ".safetensors" or not (
        path.is_file() and weights.tensors.is_file()
    ):
        return False
    is_video = read_config(inside(path, weights.root)).get("model_type") == "sam2_video"
    return is_video and any(n.startswith("memory_") for n in tensor_names(weights.tensors))


def _fill_constants(network: Any) -> None:  # noqa: ANN401
    """Give memory attention the tables that no file holds; they were made without memory."""
    parts = network.memory_attention
    tables = dict(type(parts)(network.config).named_buffers())
    for name, part in parts.named_modules():
        for key, table in part.named_buffers(recurse=False):
            if table.is_meta:
                real = tables[f"{name}.{key}".removeprefix(".")]
                part.register_buffer(key, real, persistent=False)


def _check_sizes(config: Any, size: int, weights: Weights) -> None:  # noqa: ANN401
    """Refuse a configuration whose parts disagree about the input: it fails only much later."""
    expected = [[size // stride] * 2 for stride in (4, 8, 16)]
    found = [list(pair) for pair in config.vision_config.backbone_feature_sizes]
    kind = config.vision_config.backbone_config.model_type
    if kind != "sam2_hiera_det_model" or found != expected:
        raise WeightsError(
            f"the configuration is not of SAM 2 at {size} pixels: {kind}, {found}",
            where=str(weights.tensors.with_name("config.json")),
        )


def _check_memory(config: Any, size: int, weights: Weights) -> None:  # noqa: ANN401
    """Refuse a memory that does not fit the images."""
    channels = int(config.vision_config.fpn_hidden_size)
    widths = {
        config.memory_attention_hidden_size,
        config.memory_encoder_hidden_size,
        config.mask_downsampler_embed_dim,
        config.memory_fuser_embed_dim,
    }
    fits = (
        config.image_size == size
        and list(config.memory_attention_rope_feat_sizes) == [size // 16] * 2
        and widths == {channels}
        and channels % config.memory_encoder_output_channels == 0
        and config.memory_attention_num_attention_heads == 1
        and config.memory_attention_feed_forward_hidden_act == "relu"
        and config.mask_downsampler_hidden_act == config.memory_fuser_hidden_act == "gelu"
        and config.num_maskmem > 1
        and config.max_object_pointers_in_encoder > 1
    )
    if not fits:
        raise WeightsError(
            f"the memory is not that of SAM 2 at {size} pixels and {channels} channels",
            where=str(weights.tensors.with_name("config.json")),
            todo='Set "model_type" to "sam2" to use it on single images',
        )
