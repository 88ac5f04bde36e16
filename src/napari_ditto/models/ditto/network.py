"""The bundled network: one encoder; a mask decoder, and a head for every object at once."""

from __future__ import annotations

from torch import Tensor, nn  # noqa: TID253 - this module is imported when the network is

from napari_ditto.models.ditto.cues import Cues
from napari_ditto.models.ditto.decoder import Decoded, Decoder, Projected
from napari_ditto.models.ditto.encoder import WIDTHS, Encoder, Features

DENSE = ("foreground", "center", "boundary")
"""What the dense head predicts at stride 4, as logits."""


class DittoNetwork(nn.Module):
    """Encode once, decode many."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.dense = nn.Sequential(
            nn.Conv2d(WIDTHS[1], 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, len(DENSE), 1)
        )

    def encode(self, image: Tensor) -> Features:
        """Encode (n, 3, h, w) in [0, 1]; sides are multiples of 16."""
        return self.encoder(image)  # type: ignore[no-any-return]

    def project(self, features: Features) -> Projected:
        """Return what all prompts about the images share."""
        return self.decoder.project(features)

    def decode(self, shared: Projected, index: Tensor | None, cues: Cues) -> Decoded:
        """Return three masks and their scores for each prompt; see :meth:`Decoder.forward`."""
        return self.decoder(shared, index, cues)  # type: ignore[no-any-return]

    def everything(self, features: Features) -> Tensor:
        """Return logits of foreground, centres and borders, shape (n, 3, h / 4, w / 4)."""
        return self.dense(features.s4)  # type: ignore[no-any-return]
