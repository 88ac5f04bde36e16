"""SAM 2 and 2.1 on single images: transformers' ``Sam2Model`` as a prompt model.

Ravi et al. 2024, SAM 2: Segment Anything in Images and Videos. Embeddings are those of a first
frame: the library adds the "no memory" embedding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.models.prompt_network import Features, PromptNetwork
from napari_ditto.models.stretched import stretch

LEVELS = ("fine", "middle", "image")


class Sam2PromptModel(PromptNetwork):
    """SAM 2 behind :class:`~napari_ditto.models.protocols.PromptModel`.

    The embedding holds three levels: the decoder needs the two finer ones for sharp borders.
    """

    def _prepare(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return stretch(tile, self._canvas)

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
