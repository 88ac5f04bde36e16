"""One look of the network: examples, their paint, and a query in; the painted query out.

Wang et al. 2023, SegGPT: Segmenting Everything In Context, arXiv:2304.03284.
"""

from __future__ import annotations

from typing import Any, Literal

import torch  # noqa: TID253 - this module is imported when the family is used
from torch import Tensor, nn  # noqa: TID253
from torch.nn.functional import interpolate  # noqa: TID253
from torch.utils.checkpoint import checkpoint  # noqa: TID253

Ensemble = Literal["feature", "spatial"]
Kind = Literal["instance", "semantic"]


class Painter:
    """The library's network with what it leaves to its caller.

    Parameters
    ----------
    network : torch.nn.Module
        ``SegGptForImageSegmentation``, frozen.
    mean, std : tuple of float
        Normalisation of pictures, of values in [0, 1].
    device : str
        Where it runs.

    Notes
    -----
    *Several examples* (feature ensemble, section 3.3): the query goes once with each example, in
    one batch that holds no other query; in every block the rows' views of it are averaged. So all
    rows paint the same, and only the first is decoded. The library averages the streams of image
    and mask together in the block where they merge, the published code each on its own; here it
    is as published, so that an example shown twice counts once.

    *Memory.* Attention takes one map per head and example. They are made for a few examples at a
    time, which changes nothing, and again when gradients are computed.
    """

    def __init__(
        self,
        network: Any,  # noqa: ANN401
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: str,
    ) -> None:
        self.network = network.to(device)
        self.device = torch.device(device)
        self.mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self.std = torch.tensor(std, device=device).view(3, 1, 1)
        self.beta = float(self.network.config.beta)
        at_once = 1 if self.device.type == "cpu" else 8
        layers = self.network.model.encoder.layers
        for layer in layers:
            layer.attention = InParts(layer.attention, at_once)
        layers[self.network.config.merge_index].register_forward_pre_hook(_average_streams_apart)

    def paint(self, images: Tensor, colors: Tensor, query: Tensor, kind: Kind) -> Tensor:
        """Return how the network paints a query, (3, s, s), 0 to 255 and a little beyond.

        Parameters
        ----------
        images, colors : Tensor, shape (k, 3, s, s)
            Examples and their paint, 0 to 255.
        query : Tensor, shape (3, s, s)
            Likewise.
        kind : str
            Which of the two type tokens to use.
        """
        count = len(images)
        hidden = self.network.model(
            pixel_values=self.normalize(query).expand(count, *query.shape),
            prompt_pixel_values=self.normalize(images),
            prompt_masks=self.normalize(colors),
            feature_ensemble=count > 1,
            embedding_type=kind,
        ).intermediate_hidden_states
        # The decoder looks one pixel around: one row of patches above the query is enough.
        merged = torch.cat(hidden, dim=-1)[:1]
        decoded = self.network.decoder(merged[:, merged.shape[1] // 2 - 1 :])
        painted = decoded[0, :, -query.shape[1] :] * self.std + self.mean
        # The first row has looked at the example above it.
        return torch.cat([painted[:, 1:2], painted[:, 1:]], dim=1) * 255

    def normalize(self, pixels: Tensor) -> Tensor:
        """Return pixels (..., 3, s, s) of 0 to 255 as the network takes them."""
        return (pixels / 255 - self.mean) / self.std


class InParts(nn.Module):
    """An attention that is computed for a few rows of the batch at a time."""

    def __init__(self, attention: nn.Module, at_once: int) -> None:
        super().__init__()
        self.attention, self.at_once = attention, at_once

    def forward(self, hidden: Tensor, output_attentions: bool = False) -> tuple[Tensor, None]:
        """Return the attention's output, and no maps."""
        return torch.cat([self._attend(part) for part in torch.split(hidden, self.at_once)]), None

    def _attend(self, hidden: Tensor) -> Tensor:
        if torch.is_grad_enabled() and hidden.requires_grad:
            found: Tensor = checkpoint(self._first, hidden, use_reentrant=False)
            return found
        return self._first(hidden)

    def _first(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.attention(hidden)[0]
        return found


def _average_streams_apart(_layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let the block where the streams merge average each on its own, like those before it."""
    hidden, _fewest, *rest = given
    return hidden, 2, *rest


def tiled(images: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
    """Return all examples as one: an n x n grid, shrunk to one square (spatial ensemble).

    Section 3.3 of the paper; not in its code. One look costs as much as with a single example,
    but the examples are seen n times smaller than the query. Empty cells repeat the first ones.
    Black, the background, stays black, and no colour is mixed: masks are shrunk to the nearest.
    """
    side = _root(len(images))
    cells = [k % len(images) for k in range(side * side)]
    size = images.shape[-1]
    grids = [_grid(batch[cells], side) for batch in (images, colors)]
    small = interpolate(grids[0], (size, size), mode="bicubic", antialias=True)
    return small, interpolate(grids[1], (size, size), mode="nearest-exact")


def _grid(batch: Tensor, side: int) -> Tensor:
    """Return (side**2, c, s, s) as (1, c, side * s, side * s), row by row."""
    rows = [torch.cat(list(row), dim=-1) for row in torch.split(batch, side)]
    return torch.cat(rows, dim=-2)[None]


def _root(count: int) -> int:
    """Return the smallest n with n * n >= count."""
    side = int(count**0.5)
    return side if side * side >= count else side + 1
