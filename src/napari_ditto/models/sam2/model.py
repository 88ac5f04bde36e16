"""SAM 2 and 2.1 on single images: transformers' ``Sam2Model`` as a prompt model.

Ravi et al. 2024, SAM 2: Segment Anything in Images and Videos. The published repositories hold
the video model; its memory parts are left out, and the "no memory" embedding is added by the
library as it is for any first frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.errors import WeightsError
from napari_ditto.models.build import Recipe, build, canvas_from, spec_of
from napari_ditto.models.canvas import to_bytes
from napari_ditto.models.prompt_network import Features, PromptNetwork
from napari_ditto.models.weights import Weights

LEVELS = ("fine", "middle", "image")
SAM2 = Recipe(
    family="sam2",
    version="1",
    model_class="Sam2Model",
    config_class="Sam2Config",
    model_types=("sam2", "sam2_video"),
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


class Sam2PromptModel(PromptNetwork):
    """SAM 2 behind :class:`~napari_ditto.models.protocols.PromptModel`.

    The embedding holds three levels: the decoder needs the two finer ones for sharp borders.
    """

    def _prepare(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        pixels = to_bytes(tile)
        size = self._canvas.shape_of(pixels.shape[:2])
        if size != pixels.shape[:2]:
            channels = torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())[None]
            resized = interpolate(channels, size, mode="bilinear", antialias=True)
            pixels = np.moveaxis(resized[0].numpy(), 0, -1)
        return self._canvas.normalize(pixels)

    def _features(self, pixels: torch.Tensor) -> Features:
        return dict(zip(LEVELS, self._network.get_image_embeddings(pixels), strict=True))

    def _decode(
        self, features: Features, prompts: Mapping[str, torch.Tensor], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode; a single mask that is not stable gives way to the best of three (library)."""
        out = self._network(
            image_embeddings=[features[name] for name in LEVELS],
            multimask_output=multimask,
            **prompts,
        )
        return out.pred_masks, out.iou_scores

    def _to_tile(self, masks: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        return interpolate(masks, shape, mode="bilinear", align_corners=False)


def load_sam2(name: str, weights: Weights, device: str) -> Sam2PromptModel:
    """Load SAM 2 from a folder, or from a safetensors file with its ``config.json`` beside it."""
    network, config, sha256 = build(weights, SAM2)
    size = int(config.prompt_encoder_config.image_size)
    _check_sizes(config, size, weights)
    spec = spec_of(
        name,
        SAM2,
        weights,
        sha256,
        device=device,
        network=network,
        input_size=size,
        work_bytes=1000 * size**2,
        embedding_bytes=16 * size**2,
    )
    return Sam2PromptModel(spec, network, canvas_from(weights, config.prompt_encoder_config, False))


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
