"""SAM and SAM-HQ: transformers' ``SamModel`` and ``SamHQModel`` as prompt models.

Kirillov et al. 2023, Segment Anything; Ke et al. 2023, Segment Anything in High Quality.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray

from napari_ditto.errors import ModelError
from napari_ditto.models.build import Recipe, build, canvas_from, spec_of
from napari_ditto.models.canvas import to_bytes
from napari_ditto.models.checkpoint import Tensors
from napari_ditto.models.decoding.decoder import Features
from napari_ditto.models.decoding.hq import HQMaskDecoder
from napari_ditto.models.numerics import Outcome
from napari_ditto.models.prompt_network import PromptNetwork, plans_bytes
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.models.sam.encoder import SamEncoder
from napari_ditto.models.sam.original import infer_config, is_hq, is_original, translate
from napari_ditto.models.trial import in_precision, picture, try_out
from napari_ditto.models.weights import Weights

VERSION = "1"

TRIAL_SHARE = 4
"""The picture of a trial has so many times fewer patches along a side."""

FASTER = {"float32": 1.7, "bfloat16": 3.0, "float16": 3.0, "int8": 3.8}
"""Than the library in float32, whose times on two cores are those that are estimated."""

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

    @cached_property
    def _encoder(self) -> SamEncoder:
        """Made with the first picture: who only decodes need not wait for it."""
        encoder = self._made()
        self._network.vision_encoder = torch.nn.Identity()  # its weights live on in the encoder
        return encoder

    def _made(self) -> SamEncoder:
        in_bytes = self._spec.precision == "int8"
        return SamEncoder(self._network.vision_encoder, self._real_type, in_bytes)

    def _features(self, pixels: torch.Tensor) -> Features:
        with self._lock:  # two threads must not both take the library's weights
            encoder = self._encoder
        return self._named(*encoder(pixels))

    @staticmethod
    def _named(image: torch.Tensor, early: torch.Tensor | None) -> Features:
        return {"image": image}

    def try_out(self) -> Outcome:
        """Compute a small picture and some masks, before the first tile is encoded."""
        vision = self._network.vision_encoder
        patch = int(vision.config.patch_size)
        grid = self._canvas.size // patch
        patches = max(1, grid // TRIAL_SHARE)
        pixels = torch.from_numpy(picture(patches * patch)).to(self._device)
        encoder = self._made()
        again = -(-grid // patches)

        def encode() -> dict[str, NDArray[Any]]:
            """Repeat what was found until it fills the grid that the decoder knows."""
            image, early = encoder(pixels)
            image = image.repeat(1, 1, again, again)[..., :grid, :grid]
            early = None if early is None else early.repeat(1, again, again, 1)[:, :grid, :grid]
            return {n: f[0].cpu().numpy() for n, f in self._named(image, early).items()}

        return try_out(self, encode)


class SamHQPromptModel(SamPromptModel):
    """SAM-HQ: the decoder also reads the features of the first global attention block."""

    decoder = HQMaskDecoder
    sorts_candidates = True

    @staticmethod
    def channels(vision: Any) -> int:  # noqa: ANN401
        """Return how many numbers an embedding holds per patch."""
        return int(vision.output_channels + vision.hidden_size)

    @staticmethod
    def _named(image: torch.Tensor, early: torch.Tensor | None) -> Features:
        if early is None:
            raise ModelError("this SAM-HQ has no global attention, whose features masks need")
        return {"image": image, "early": early}


def load_sam(name: str, weights: Weights, device: str, precision: str = "auto") -> SamPromptModel:
    """Load SAM from a folder, a safetensors file, or an original checkpoint."""
    return _load(name, weights, device, precision, SAM, SamPromptModel)


def load_sam_hq(
    name: str, weights: Weights, device: str, precision: str = "auto"
) -> SamPromptModel:
    """Load SAM-HQ from a folder, a safetensors file, or an original checkpoint."""
    return _load(name, weights, device, precision, SAM_HQ, SamHQPromptModel)


def _load(
    name: str,
    weights: Weights,
    device: str,
    precision: str,
    recipe: Recipe,
    kind: type[SamPromptModel],
) -> SamPromptModel:
    network: Any
    network, config, sha256 = build(weights, recipe)
    network.to(device)
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    parameters = sum(p.numel() for p in network.vision_encoder.parameters())
    spec = spec_of(
        name,
        recipe,
        weights,
        sha256,
        device=device,
        network=network,
        input_size=vision.image_size,
        # The packed weights while those of the file are still there, and what layers hand on.
        work_bytes=4 * parameters + 64 * patches * vision.hidden_size + plans_bytes(patches),
        embedding_bytes=4 * patches * kind.channels(vision),
    )
    canvas = canvas_from(weights, config.prompt_encoder_config, True)

    def made(spec: ModelSpec) -> SamPromptModel:
        return kind(spec, network, canvas)

    return in_precision(made, spec, precision, parameters, FASTER)


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
