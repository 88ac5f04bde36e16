"""`ditto`: the bundled network behind the protocols."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch  # noqa: TID253 - the registry imports this module when the model is loaded
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.ditto import context
from napari_ditto.models.ditto.card import card
from napari_ditto.models.ditto.context_features import LEVELS, describe
from napari_ditto.models.ditto.dialogue import CHOICES, Option, State, converse, converse_steps
from napari_ditto.models.ditto.encoder import STRIDE
from napari_ditto.models.ditto.layers import pool
from napari_ditto.models.ditto.looks import BATCH, KEPT_ELSEWHERE, Eye, Recent
from napari_ditto.models.ditto.story import is_lone_click
from napari_ditto.models.ditto.suggest import suggest
from napari_ditto.models.ditto.views import OUTSIDE, develop, paste, shown
from napari_ditto.models.ditto.weights import load_network
from napari_ditto.models.ditto.zoom import nearby, wide
from napari_ditto.models.protocols import ContextMap, Crop, Example, MaskLogits, Memory

if TYPE_CHECKING:
    from napari_ditto.models.ditto.network import DittoNetwork

KEPT_STATES = 32
"""Prompt sets of one tile whose answers wait for one more click."""

KEPT_TILES = 4
"""Tiles in use at once, 45 MB for the one asked last and 15 MB for each other."""

REACH = 10.0
"""So far around a click, pixels, :meth:`DittoModel.prepare` looks in advance: some 9 views."""

BOX_SLACK = 0.1
"""A mask may leave its box by this part of the box's side: hands are not exact."""


def load_ditto(device: str) -> DittoModel:
    """Return the model on a device.

    Raises
    ------
    WeightsError
        If the bundled weights are missing or damaged.
    """
    return DittoModel(*load_network(device), device)


class Tile:
    """What is remembered of one encoded tile while it is in use."""

    def __init__(self, network: DittoNetwork, embedding: Embedding, device: str) -> None:
        pixels = embedding.arrays["pixels"].transpose(2, 0, 1)
        if (pixels == pixels[:1]).all():
            pixels = pixels[:1]  # grey: resampled once
        image = np.ascontiguousarray(pixels, np.float32)
        self.eye = Eye(network, torch.from_numpy(image).to(device))
        self.states: Recent[PromptSet, State] = Recent(KEPT_STATES)


class DittoModel:
    """Prompts by crop and zoom, and suggestions, with the bundled network.

    The network sees squares of 128 pixels; an object is looked at in a window of nearly
    twice its size, which a first click has to find. All results are pure functions of embedding
    and prompts; what was computed for the last tiles and prompts is kept, so that one more click
    is one more decode. Threads may share a model.
    """

    def __init__(self, network: DittoNetwork, digest: str, device: str = "cpu") -> None:
        self.network, self.device = network, device
        self._tiles: WeakKeyDictionary[Embedding, Tile] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self.spec = card(device, digest)

    @torch.inference_mode()
    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Encode tiles, shape (n, h, w, 3), values in [0, 1]."""
        if tiles.ndim != 4 or tiles.shape[-1] != 3 or not tiles.size:
            raise ModelError(f"tiles must have shape (n, h, w, 3), got {tiles.shape}")
        return [self._encode(tile) for tile in tiles]

    def _encode(self, tile: NDArray[np.float32]) -> Embedding:
        image = self._padded(tile, STRIDE << (LEVELS - 1))
        features = [self.network.encode(pool(image, 1 << level)) for level in range(LEVELS)]
        arrays = describe(self.network, image, features)
        arrays["pixels"] = tile.astype(np.float16)
        return Embedding(arrays, (tile.shape[0], tile.shape[1]), self.spec.key)

    def _padded(self, tile: NDArray[np.float32], multiple: int) -> torch.Tensor:
        """Return a tile as an image (1, 3, h, w), mirrored up to a multiple."""
        margins = [(0, -size % multiple) for size in tile.shape[:2]]
        image = np.pad(tile, (*margins, (0, 0)), mode="symmetric").transpose(2, 0, 1)[None]
        like = torch.tensor(np.ascontiguousarray(image), device=self.device)
        return like.contiguous(memory_format=torch.channels_last)

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return three candidates for each prompt set; the first is the one to show."""
        return drain(self.decode_steps(embedding, prompts))

    @torch.inference_mode()
    def decode_steps(
        self, embedding: Embedding, prompts: Sequence[PromptSet]
    ) -> Generator[Progress, None, MaskLogits]:
        """Return what :meth:`decode` does, with a place to stop every 5 to 25 ms."""
        tile, shape = self._tile(embedding), embedding.tile_shape
        logits = np.full((len(prompts), CHOICES, *shape), OUTSIDE, np.float32)
        scores = np.zeros((len(prompts), CHOICES), np.float32)
        for start in range(0, len(prompts), BATCH):
            some = prompts[start : start + BATCH]
            states = yield from converse_steps(tile.eye, shape, some, tile.states)
            for i, state in enumerate(states, start):
                for k, option in enumerate(state.options):
                    look = option.look
                    paste(look.logits[option.head][None], look.view, logits[i, k : k + 1])
                    scores[i, k] = max(0.0, option.score)
                _clip(logits[i], Box.of_shape(shape), prompts[i])
        return MaskLogits(logits, scores, np.zeros(len(prompts), np.intp))

    @torch.inference_mode()
    def decode_crops(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> list[Crop]:
        """Return the candidate to show first for each prompt set, where it lies."""
        tile, shape = self._tile(embedding), embedding.tile_shape
        crops = []
        for start in range(0, len(prompts), BATCH):
            some = prompts[start : start + BATCH]
            states = converse(tile.eye, shape, some, tile.states)
            crops += [_crop(s.options[0], shape, p) for s, p in zip(states, some, strict=True)]
        return crops

    @torch.inference_mode()
    def prepare(self, embedding: Embedding, prompts: PromptSet) -> bool:
        """Encode one view that a click will need; return whether there was one.

        Those near this click come first, then the wide ones of the whole tile. It changes no
        answer. Further clicks, boxes, strokes and masks leave nothing to prepare.
        """
        tile = self._tile(embedding)
        if not is_lone_click(prompts):
            return False
        (click,), shape = prompts.points, embedding.tile_shape
        return tile.eye.encode([*nearby((click.y, click.x), shape, REACH), *wide(shape)], most=1)

    def suggest(self, embedding: Embedding) -> list[PromptSet]:
        """Return one prompt set per object seen in the tile."""
        self._own(embedding.model)
        return suggest(embedding)

    @torch.inference_mode()
    def remember(self, examples: Sequence[Example]) -> Memory:
        """Condense examples; the memory does not grow with their number."""
        for example in examples:
            self._own(example.embedding.model)
        return context.remember(examples, self.spec.key)

    @torch.inference_mode()
    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return a probability map per remembered class, and all centres and borders."""
        self._own(embedding.model)
        self._own(memory.model)
        return context.recall(embedding, memory)

    @torch.inference_mode()
    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory that fits the examples better."""
        self._own(memory.model)
        for example in examples:
            self._own(example.embedding.model)
        return context.tune(memory, examples, steps, self.spec.key)

    def _tile(self, embedding: Embedding) -> Tile:
        self._own(embedding.model)
        with self._lock:
            tile = self._tiles.get(embedding)
            if tile is None:
                tile = Tile(self.network, embedding, self.device)
                for old in list(self._tiles)[: -KEPT_TILES + 1]:
                    self._tiles.pop(old, None)
                self._tiles[embedding] = tile
            for other in list(self._tiles.values()):
                if other is not tile:
                    other.eye.seen.shrink(KEPT_ELSEWHERE)
        return tile

    def _own(self, key: str) -> None:
        if key != self.spec.key:
            raise ModelError(
                f"this was encoded by {key}, not by {self.spec.key}", todo="Encode the tile again"
            )


def _crop(option: Option, shape: tuple[int, int], prompts: PromptSet) -> Crop:
    look = option.look
    box = shown(look.view, shape)
    logits = develop(look.logits[option.head][None], look.view, box)
    _clip(logits, box, prompts)
    return Crop(box, logits[0], max(0.0, option.score), 0)


def _clip(logits: NDArray[np.float32], frame: Box, prompts: PromptSet) -> None:
    """Take out what lies outside a drawn box; clicks outside of it say that it was too small."""
    box = prompts.box
    if box is None or any(
        p.positive and not (box.y0 <= p.y <= box.y1 and box.x0 <= p.x <= box.x1)
        for p in prompts.points
    ):
        return
    for axis, start, low, high in ((1, frame.y0, box.y0, box.y1), (2, frame.x0, box.x0, box.x1)):
        slack = max(1.0, BOX_SLACK * (high - low))
        at = start + np.arange(logits.shape[axis])
        out = (at < low - slack) | (at > high + slack)
        logits[(slice(None),) * axis + (out,)] = OUTSIDE
