"""SAM and SAM-HQ: transformers' ``SamModel`` and ``SamHQModel`` as prompt models.

Kirillov et al. 2023, Segment Anything; Ke et al. 2023, Segment Anything in High Quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.models.build import Recipe, build, canvas_from, spec_of
from napari_ditto.models.canvas import to_bytes
from napari_ditto.models.checkpoint import Tensors
from napari_ditto.models.prompt_network import Features, PromptNetwork
from napari_ditto.models.sam.original import infer_config, is_hq, is_original, translate
from napari_ditto.models.weights import Weights

VERSION = "1"
_SHARED = ("shared_image_embedding", "prompt_encoder.shared_embedding")


class SamPromptModel(PromptNetwork):
    """SAM behind :class:`~napari_ditto.models.protocols.PromptModel`."""

    @staticmethod
    def channels(vision: Any) -> int:  # noqa: ANN401
        """Return how many numbers an embedding holds per patch."""
        return int(vision.output_channels)

    def _prepare(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        from PIL import Image

        pixels = to_bytes(tile)
        height, width = self._canvas.shape_of(pixels.shape[:2])
        if (height, width) != pixels.shape[:2]:
            image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        return self._canvas.normalize(pixels)

    def _features(self, pixels: torch.Tensor) -> Features:
        return {"image": self._network.get_image_embeddings(pixels)}

    def _decode(
        self, features: Features, prompts: Mapping[str, torch.Tensor], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        out = self._network(
            image_embeddings=features["image"], multimask_output=multimask, **prompts
        )
        return out.pred_masks, out.iou_scores

    def _to_tile(self, masks: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Undo the resize and the padding of the canvas, both bilinear, as the library does."""
        height, width = self._canvas.shape_of(shape)
        size = self._canvas.size
        canvas = interpolate(masks, (size, size), mode="bilinear", align_corners=False)
        cut = canvas[..., :height, :width]
        return interpolate(cut, shape, mode="bilinear", align_corners=False)


class SamHQPromptModel(SamPromptModel):
    """SAM-HQ: the decoder also reads the features of the first global attention block."""

    @staticmethod
    def channels(vision: Any) -> int:  # noqa: ANN401
        """Return how many numbers an embedding holds per patch."""
        return int(vision.output_channels + vision.hidden_size)

    def _features(self, pixels: torch.Tensor) -> Features:
        image, blocks = self._network.get_image_embeddings(pixels)
        return {"image": image, "early": blocks[0]}

    def _decode(
        self, features: Features, prompts: Mapping[str, torch.Tensor], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        out = self._network(
            image_embeddings=features["image"],
            intermediate_embeddings=[features["early"]],
            multimask_output=multimask,
            **prompts,
        )
        return out.pred_masks, out.iou_scores


def load_sam(name: str, weights: Weights, device: str) -> SamPromptModel:
    """Load SAM from a folder, a safetensors file, or an original checkpoint."""
    return _load(name, weights, device, SAM, SamPromptModel)


def load_sam_hq(name: str, weights: Weights, device: str) -> SamPromptModel:
    """Load SAM-HQ from a folder, a safetensors file, or an original checkpoint."""
    return _load(name, weights, device, SAM_HQ, SamHQPromptModel)


def _load(
    name: str, weights: Weights, device: str, recipe: Recipe, kind: type[SamPromptModel]
) -> SamPromptModel:
    network, config, sha256 = build(weights, recipe)
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    spec = spec_of(
        name,
        recipe,
        weights,
        sha256,
        device=device,
        network=network,
        input_size=vision.image_size,
        # One attention map per head, its bias and their sum, for the whole grid of patches.
        work_bytes=12 * vision.num_attention_heads * patches**2,
        embedding_bytes=4 * patches * kind.channels(vision),
    )
    return kind(spec, network, canvas_from(weights, config.prompt_encoder_config, True))


def _complete(tensors: Tensors) -> Tensors:
    """Return the tensors with the one that two places share in both of them."""
    names = [f"{place}.positional_embedding" for place in _SHARED]
    shared = next((tensors[n] for n in names if n in tensors), None)
    return tensors if shared is None else tensors | dict.fromkeys(names, shared)


def _from_original(tensors: Tensors, where: str) -> tuple[dict[str, Any], Tensors]:
    return infer_config(tensors, where), translate(tensors)


SAM = Recipe(
    family="sam",
    version=VERSION,
    model_class="SamModel",
    config_class="SamConfig",
    model_types=("sam",),
    complete=_complete,
    is_original=lambda names: is_original(names) and not is_hq(names),
    from_original=_from_original,
)
SAM_HQ = Recipe(
    family="sam_hq",
    version=VERSION,
    model_class="SamHQModel",
    config_class="SamHQConfig",
    model_types=("sam_hq",),
    complete=_complete,
    is_original=is_hq,
    from_original=_from_original,
)
