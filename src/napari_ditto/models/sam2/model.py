"""SAM 2 and 2.1 on single images: transformers' ``Sam2Model`` as a prompt model.

Ravi et al. 2024, SAM 2: Segment Anything in Images and Videos. Embeddings are those of a first
frame: the library adds the "no memory" embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray

from napari_ditto.models.decoding.decoder import Features
from napari_ditto.models.decoding.sam2 import Sam2MaskDecoder
from napari_ditto.models.numerics import Outcome
from napari_ditto.models.prompt_network import PromptNetwork
from napari_ditto.models.sam2.encoder import HieraEncoder, supports
from napari_ditto.models.stretched import stretch
from napari_ditto.models.trial import picture, try_out

LEVELS = ("fine", "middle", "image")


class Sam2PromptModel(PromptNetwork):
    """SAM 2 behind :class:`~napari_ditto.models.protocols.PromptModel`.

    The embedding holds three levels: the decoder needs the two finer ones for sharp borders.
    """

    decoder = Sam2MaskDecoder

    def _prepare(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return stretch(tile, self._canvas)

    def _features(self, pixels: torch.Tensor) -> Features:
        with self._lock:  # two threads must not both take the weights
            encoder = self._encoder
        return dict(zip(LEVELS, encoder(pixels), strict=True))

    @cached_property
    def _encoder(self) -> Callable[[torch.Tensor], list[torch.Tensor]]:
        """Made with the first picture: who only decodes need not wait for it."""
        if not self.has_precisions:
            found: Callable[[torch.Tensor], list[torch.Tensor]] = self._network.get_image_embeddings
            return found
        encoder = HieraEncoder(self._network, getattr(torch, self._spec.precision))
        self._network.vision_encoder.backbone = torch.nn.Identity()  # the encoder has its weights
        return encoder

    @property
    def has_precisions(self) -> bool:
        """Whether our encoder computes it, not the library's; asked before the first picture."""
        return supports(self._network, self._canvas.size, self._canvas.size)

    @property
    def encoder_parameters(self) -> int:
        """How many numbers the encoder's weights are, before the first picture."""
        return sum(p.numel() for p in self._network.vision_encoder.parameters())

    def try_out(self) -> Outcome:
        """Compute a small picture and some masks, before the first tile is encoded."""
        side = self._canvas.size
        small = side // 2 if supports(self._network, side // 2, side // 2) else side
        pixels = torch.from_numpy(picture(small)).to(self._device)
        encoder = HieraEncoder(self._network, getattr(torch, self._spec.precision))

        def encode() -> dict[str, NDArray[np.float32]]:
            """Repeat what was found until it fills the grid that the decoder knows."""
            found = [level.repeat(1, 1, side // small, side // small) for level in encoder(pixels)]
            return {n: f[0].cpu().numpy() for n, f in zip(LEVELS, found, strict=True)}

        return try_out(self, encode)
