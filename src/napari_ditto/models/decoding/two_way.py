"""The two-way transformer: tokens and image look at each other (Kirillov et al. 2023, figure 14).

Tokens are float32 and go together; the image has the precision of the decoder, and each prompt's
is worked through in strips that stay in the cache. Whoever writes a strip answers at once what the
next layer's tokens ask of it, for these tokens do not wait for the image.

Symbols of shapes: b prompts, t tokens, n positions, c channels, k rows (see :mod:`.attention`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253  # imported with a family
from torch.nn.functional import layer_norm  # noqa: TID253

from napari_ditto.models.decoding.attention import Reading, Writing

Each = Callable[..., Iterable[Any]]
"""How one function is called for each prompt: ``map``, or one that has several threads."""

STRIP = 1024
"""Positions that are worked on at once: 1 MB of 256 channels, what a core's cache holds."""


def strips(image: torch.Tensor) -> Iterator[slice]:
    """Yield which positions of an image (n, c) to work on at once; a GPU takes them all."""
    step = STRIP if image.device.type == "cpu" else len(image)
    for start in range(0, len(image), step):
        yield slice(start, min(start + step, len(image)))


class Norm:
    """A layer norm in the precision of what it is given."""

    def __init__(self, norm: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._weight, self._bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
        self._eps = float(norm.eps)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last axis normalised."""
        return layer_norm(x, x.shape[-1:], self._weight, self._bias, self._eps)


@dataclass(frozen=True, eq=False)
class Note:
    """What the tokens of one prompt write into an image: see :class:`.attention.Writing`."""

    asked: torch.Tensor
    bias: torch.Tensor
    told: torch.Tensor
    heads: int
    norm: Norm

    def write(self, strip: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """Return a strip (n, c) of the image with the note in it."""
        scores = torch.addmm(self.bias, self.asked, placed.T)
        weights = scores.reshape(self.heads, -1, len(placed)).softmax(1).flatten(0, 1)
        return self.norm(torch.addmm(strip, weights.T, self.told))


class Layer:
    """One two-way block of the library."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._layer, self._dtype = layer, dtype
        self.reading = Reading(layer.cross_attn_token_to_image)
        self._writing = Writing(layer.cross_attn_image_to_token)
        self._norm = Norm(layer.layer_norm4, dtype)

    def prepare(self, tokens: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
        """Return tokens that have looked at each other."""
        look, first = self._layer.self_attn, self._layer.skip_first_layer_pe
        asked, told = (tokens if first else tokens + marks)[None], tokens[None]
        seen = look(query=asked, key=asked, value=told)[0][0]
        found: torch.Tensor = self._layer.layer_norm1(seen if first else tokens + seen)
        return found

    def digest(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens that have thought about what they saw of the image."""
        tokens = self._layer.layer_norm2(tokens)
        found: torch.Tensor = self._layer.layer_norm3(tokens + self._layer.mlp(tokens))
        return found

    def notes(self, tokens: torch.Tensor, marks: torch.Tensor) -> list[Note]:
        """Return what the tokens of each prompt write into its image."""
        parts = (*self._writing.ask(tokens + marks), self._writing.tell(tokens))
        each = zip(*(part.to(self._dtype) for part in parts), strict=True)
        return [Note(a, b, t, self._writing.heads, self._norm) for a, b, t in each]


class TwoWay:
    """The library's two-way transformer.

    Parameters
    ----------
    transformer : torch.nn.Module
        The library's.
    position : Tensor, shape (n, c)
        What is added to the image where it is compared.
    """

    def __init__(self, transformer: Any, position: torch.Tensor) -> None:  # noqa: ANN401
        self._layers = [Layer(layer, position.dtype) for layer in transformer.layers]
        self._last = Reading(transformer.final_attn_token_to_image)
        self._norm, self._position = transformer.layer_norm_final_attn, position

    def __call__(
        self, marks: torch.Tensor, images: list[torch.Tensor], each: Each = map
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return tokens (b, t, c) and images (n, c) for tokens and an image for each prompt."""
        tokens = marks
        notes: Sequence[Note | None] = [None] * len(images)
        for layer in self._layers:
            tokens = layer.prepare(tokens, marks)
            images, seen = self._look(layer.reading, tokens + marks, images, notes, each)
            tokens = layer.digest(tokens + seen)
            notes = layer.notes(tokens, marks)
        images, seen = self._look(self._last, tokens + marks, images, notes, each)
        return self._norm(tokens + seen), images

    def _look(
        self,
        reading: Reading,
        tokens: torch.Tensor,
        images: list[torch.Tensor],
        notes: Sequence[Note | None],
        each: Each,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        asked = reading.ask(tokens).to(self._position.dtype)
        written, seen = zip(*each(self._pass, images, notes, asked), strict=True)
        return list(written), reading.learn(torch.stack(seen).to(tokens.dtype))

    @torch.inference_mode()  # which a thread does not inherit
    def _pass(
        self, image: torch.Tensor, note: Note | None, asked: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return an image (n, c) with a note in it, and its sums (k, c) by what is asked of it."""
        scores = image.new_empty(len(asked), len(image))
        written = image if note is None else torch.empty_like(image)
        for rows in strips(image):
            strip, position = image[rows], self._position[rows]
            if note is not None:
                strip = note.write(strip, strip + position)
                written[rows] = strip
            torch.mm(asked, (strip + position).T, out=scores[:, rows])
        return written, scores.softmax(1) @ written
