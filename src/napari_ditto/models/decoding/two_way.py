"""The two-way transformer: tokens and image look at each other (Kirillov et al. 2023, figure 14).

Tokens are float32 and go together. What is asked of a prompt's image is computed of the encoder's,
for all prompts once, and of what its tokens wrote, in the precision of the decoder: see
:mod:`.written`. What the next layer's tokens ask does not depend on the image, so it is asked at
once when the image is written.

Symbols of shapes: b prompts, g of a group, t tokens, n positions, c channels, h heads, d channels
of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.decoding.attention import Reading, Writing
from napari_ditto.models.decoding.written import (
    Moments,
    Pen,
    Scores,
    Stage,
    Sums,
    Written,
)
from napari_ditto.models.packed import PackedLinear

Each = Callable[..., Iterable[Any]]
"""How one function is called for each group: ``map``, or one that has several threads."""

Note = tuple[torch.Tensor, torch.Tensor]
"""Keys (g, h, t, d) and values (g, h, t, d + 1) of the tokens that write into images."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What tokens can see of the encoder's image: keys and values (h, d, n)."""

    keys: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True, eq=False)
class View:
    """What a layer needs to know of the encoder's image, whatever tokens say.

    Attributes
    ----------
    seen : Seen
        By the tokens.
    queries : Tensor, shape (h, d, n)
        For the image that looks at tokens.
    moments : Moments
        For its length thereafter.
    """

    seen: Seen
    queries: torch.Tensor
    moments: Moments


@dataclass(frozen=True, eq=False)
class Views:
    """What all layers need to know of the encoder's image."""

    layers: list[View]
    last: Seen


class Look:
    """Tokens look at the image of a stage."""

    def __init__(
        self,
        attention: Any,  # noqa: ANN401
        stage: Stage,
        position: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self.reading = Reading(attention)
        heads = self.reading.heads
        self._keys = Scores(self.reading.key, heads, stage, position, dtype)
        self._values = Sums(self.reading.value, heads, stage, dtype)

    def of(self, image: torch.Tensor) -> Seen:
        """Return what is seen of the encoder's image (n, c)."""
        return Seen(self._keys.of(image), self._values.of(image))

    def __call__(self, seen: Seen, asked: torch.Tensor, written: Written) -> torch.Tensor:
        """Return the sums of values (g, h, t, d) that queries (g, h, t, d) find."""
        weights = self._keys(seen.keys, asked, written).softmax(2)
        return self._values(seen.values, weights, written)


class Mlp:
    """Two linear layers of the library with packed weights: few tokens cost mere reading."""

    def __init__(self, mlp: Any) -> None:  # noqa: ANN401
        names = ("lin1", "lin2") if hasattr(mlp, "lin1") else ("proj_in", "proj_out")
        layers = (getattr(mlp, name) for name in names)
        self._first, self._second = (PackedLinear(one.weight, one.bias) for one in layers)

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what it makes of tokens (b, t, c)."""
        return self._second(self._first(tokens).relu_())


class Layer:
    """One two-way block of the library, at a stage of the image."""

    def __init__(
        self,
        layer: Any,  # noqa: ANN401
        stage: Stage,
        position: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._layer, self._mlp = layer, Mlp(layer.mlp)
        self.look = Look(layer.cross_attn_token_to_image, stage, position, dtype)
        self.writing = writing = Writing(layer.cross_attn_image_to_token)
        self._queries = Scores(writing.query, writing.heads, stage, position, dtype)
        self._pen = Pen(writing, layer.layer_norm4, stage, dtype)
        self.after = self._pen.stage

    def of(self, image: torch.Tensor) -> View:
        """Return what is to be known of the encoder's image (n, c)."""
        return View(self.look.of(image), self._queries.of(image), self._pen.of(image))

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
        found: torch.Tensor = self._layer.layer_norm3(tokens + self._mlp(tokens))
        return found

    def notes(self, tokens: torch.Tensor, marks: torch.Tensor, group: int) -> list[Note]:
        """Return what the tokens of each group of prompts write into their images."""
        asked, told = self.writing.ask(tokens + marks), self.writing.tell(tokens)
        return list(zip(torch.split(asked, group), torch.split(told, group), strict=True))

    def write(self, view: View, note: Note, written: Written) -> Written:
        """Return the images of a group with a note in each."""
        scores = self._queries(view.queries, note[0], written)
        return self._pen.write(view.moments, scores, note[1], written)


class TwoWay:
    """The library's two-way transformer.

    Parameters
    ----------
    transformer : torch.nn.Module
        The library's.
    stage : Stage
        Of the encoder's image.
    position : Tensor, shape (n, c)
        What is added to the image where it is compared.
    dtype : torch.dtype
        What the image is computed with.

    Attributes
    ----------
    stage : Stage
        Of the image at the end.
    """

    def __init__(
        self,
        transformer: Any,  # noqa: ANN401
        stage: Stage,
        position: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._layers: list[Layer] = []
        for block in transformer.layers:
            self._layers.append(Layer(block, stage, position, dtype))
            stage = self._layers[-1].after
        self._last = Look(transformer.final_attn_token_to_image, stage, position, dtype)
        self._norm, self.stage = transformer.layer_norm_final_attn, stage

    def of(self, image: torch.Tensor) -> Views:
        """Return what is to be known of the encoder's image (n, c)."""
        return Views([layer.of(image) for layer in self._layers], self._last.of(image))

    def __call__(
        self, marks: torch.Tensor, views: Views, images: list[Written], kept: int, each: Each = map
    ) -> tuple[torch.Tensor, list[Written]]:
        """Return the first `kept` tokens (b, t, c), and what all wrote into each group's image."""
        tokens, ask = marks, partial(self._ask, each=each)
        group = len(images[0].scale)
        write: list[Callable[[Written], Written]] = [_nothing] * len(images)
        for layer, view in zip(self._layers, views.layers, strict=True):
            tokens = layer.prepare(tokens, marks)
            images, found = ask(layer.look, view.seen, tokens + marks, images, write)
            tokens = layer.digest(tokens + found)
            write = [partial(layer.write, view, note) for note in layer.notes(tokens, marks, group)]
        tokens, marks = tokens[:, :kept], marks[:, :kept]
        images, found = ask(self._last, views.last, tokens + marks, images, write)
        return self._norm(tokens + found), images

    def _ask(
        self,
        look: Look,
        seen: Seen,
        tokens: torch.Tensor,
        images: list[Written],
        write: list[Callable[[Written], Written]],
        each: Each,
    ) -> tuple[list[Written], torch.Tensor]:
        """Return images with notes in them, and what tokens (b, t, c) make of what they see."""
        asked = torch.split(look.reading.ask(tokens), len(images[0].scale))
        written, found = zip(*each(partial(_pass, look, seen), write, images, asked), strict=True)
        return list(written), look.reading.learn(torch.cat(found))


@torch.inference_mode()  # which a thread does not inherit
def _pass(
    look: Look,
    seen: Seen,
    write: Callable[[Written], Written],
    image: Written,
    asked: torch.Tensor,
) -> tuple[Written, torch.Tensor]:
    written = write(image)
    return written, look(seen, asked, written)


def _nothing(image: Written) -> Written:
    return image
