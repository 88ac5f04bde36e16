"""The :class:`PromptModel` that all SAM-like networks share; a family adds only its network.

Arrays go in and out, PyTorch stays inside. Imported by the families, never by the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch  # noqa: TID253  # imported only with a family
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import PromptSet
from napari_ditto.models.canvas import Canvas
from napari_ditto.models.checks import check_maker, check_tiles
from napari_ditto.models.device import in_batches, memory_watched
from napari_ditto.models.matching.dense import Dense
from napari_ditto.models.matching.matcher import Matcher
from napari_ditto.models.prompt_tokens import Tokens, batches, mask_logits, tokenize
from napari_ditto.models.protocols import ContextMap, Example, MaskLogits, Memory, ModelSpec

CANDIDATES = 3
DECODE_BATCH = 16
Features = Mapping[str, torch.Tensor]


class PromptNetwork(ABC):
    """A SAM-like network as a prompt model.

    Parameters
    ----------
    spec : ModelSpec
        Its identity card; ``spec.device`` is where it runs.
    network : torch.nn.Module
        The library's model.
    canvas : Canvas
        What its encoder sees.

    Notes
    -----
    Three candidates are returned for every prompt set. For a single click they are the three
    masks that the decoder was trained to give for an ambiguous prompt, and the best is the one
    with the highest estimated IoU. With anything more than one click the decoder's single-mask
    output is the first and best, followed by the two better ones of those three
    (Kirillov et al. 2023, section 3 and appendix A).

    Embeddings are float32: rounding them to float16 moves mask borders.

    Examples are matched on the encoder's coarsest features (:mod:`napari_ditto.models.matching`).
    """

    def __init__(self, spec: ModelSpec, network: torch.nn.Module, canvas: Canvas) -> None:
        self._spec = spec
        self._device = torch.device(spec.device)
        self._network: Any = network.to(self._device)
        self._canvas = canvas
        self._matcher = Matcher(self, self._dense)
        # A CPU gains nothing from a larger batch, and attention takes gigabytes per tile.
        self._encode_batch = 1 if self._device.type == "cpu" else 4

    @property
    def spec(self) -> ModelSpec:
        """Who this is."""
        return self._spec

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Encode tiles, shape (n, h, w, 3), values in [0, 1], at most ``input_size`` wide.

        Raises
        ------
        ModelError
            If the array is of another shape.
        DeviceError
            If not even one tile fits into the device's memory.
        """
        height, width = check_tiles(tiles, self._spec.input_size)
        arrays = in_batches(self._encode, list(tiles), self._encode_batch)
        return [Embedding(a, (height, width), self._spec.key) for a in arrays]

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return three candidates for each prompt set (tile coordinates), one object per set.

        Raises
        ------
        ModelError
            If another model made the embedding.
        PromptError
            If a set has nothing in the tile, or a coordinate is not a number.
        DeviceError
            If the device is out of memory.
        """
        check_maker(embedding, self._spec.key)
        shape = embedding.tile_shape
        tokens = [tokenize(p, shape) for p in prompts]
        logits = np.empty((len(tokens), CANDIDATES, *shape), dtype=np.float32)
        scores = np.empty((len(tokens), CANDIDATES), dtype=np.float32)
        with memory_watched():
            features = self._upload(embedding)
            for chosen in batches(tokens, DECODE_BATCH):
                masks, ious = self._candidates(features, [tokens[i] for i in chosen], shape)
                logits[chosen], scores[chosen] = masks, ious
        ambiguous = np.array([t.is_ambiguous for t in tokens], dtype=bool)
        best = np.where(ambiguous, scores.argmax(axis=1), 0).astype(np.intp)
        return MaskLogits(logits, scores, best)

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Condense examples into a memory of bounded size; nothing is trained.

        Raises
        ------
        ModelError
            If nothing is labelled, or an example is of another model.
        """
        return self._matcher.remember(examples)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return where the remembered classes are in a tile.

        Raises
        ------
        ModelError
            If the embedding or the memory is of another model.
        """
        return self._matcher.recall(embedding, memory)

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory that fits the examples better; the weights stay untouched."""
        return self._matcher.tune(memory, examples, steps)

    # --- what a family adds ---------------------------------------------------------------

    @abstractmethod
    def _prepare(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a tile (h, w, 3) as network input (3, size, size)."""

    @abstractmethod
    def _features(self, pixels: torch.Tensor) -> Features:
        """Return the encoder's arrays, batch first."""

    @abstractmethod
    def _decode(
        self, features: Features, prompts: Mapping[str, torch.Tensor], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return coarse logits (i, p, m, s, s) and IoU estimates (i, p, m)."""

    @abstractmethod
    def _to_tile(self, masks: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Return coarse logits (n, m, s, s) at tile size (n, m, h, w)."""

    # --- shared ---------------------------------------------------------------------------

    def _dense(self, embedding: Embedding) -> Dense:
        """Return the encoder's map without the padding of the canvas."""
        values = np.asarray(embedding.arrays["image"], np.float32)
        cell = self._canvas.size / values.shape[-1]
        height, width = self._canvas.shape_of(embedding.tile_shape)
        return Dense.cut(values, (height / cell, width / cell), embedding.tile_shape)

    @torch.inference_mode()
    def _encode(self, tiles: Sequence[NDArray[np.float32]]) -> list[dict[str, NDArray[Any]]]:
        pixels = torch.from_numpy(np.stack([self._prepare(t) for t in tiles]))
        features = self._features(pixels.to(self._device))
        arrays = {name: f.float().cpu().numpy() for name, f in features.items()}
        return [{n: a[i].copy() for n, a in arrays.items()} for i in range(len(tiles))]

    def _upload(self, embedding: Embedding) -> Features:
        # Arrays out of a cache are read-only, which torch cannot express.
        writable = {n: np.require(a, np.float32, "W") for n, a in embedding.arrays.items()}
        return {n: torch.from_numpy(a)[None].to(self._device) for n, a in writable.items()}

    @torch.inference_mode()
    def _candidates(
        self, features: Features, tokens: Sequence[Tokens], shape: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits (n, 3, h, w) and scores (n, 3) for prompts of one kind."""
        prompts = self._tensors(tokens, shape)
        if tokens[0].mask is not None:  # a mask belongs to an image, so each prompt gets its own
            features = {n: f.expand(len(tokens), *f.shape[1:]) for n, f in features.items()}
        masks, scores = self._run(features, prompts, multimask=True)
        if not tokens[0].is_ambiguous:
            first = self._run(features, prompts, multimask=False)
            order = scores.argsort(dim=1, descending=True)[:, : CANDIDATES - 1]
            rest = masks.gather(1, order[..., None, None].expand(-1, -1, *masks.shape[2:]))
            masks = torch.cat([first[0], rest], dim=1)
            scores = torch.cat([first[1], scores.gather(1, order)], dim=1)
        full = self._to_tile(masks[:, :CANDIDATES], shape)
        return full.cpu().numpy(), scores[:, :CANDIDATES].clamp(0, 1).cpu().numpy()

    def _run(
        self, features: Features, prompts: Mapping[str, torch.Tensor], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        masks, scores = self._decode(features, prompts, multimask)
        return masks.flatten(0, 1).float(), scores.flatten(0, 1).float()

    def _tensors(self, tokens: Sequence[Tokens], shape: tuple[int, int]) -> dict[str, torch.Tensor]:
        """Return the library's keyword arguments for prompts of one kind."""
        count, has_box, has_mask = tokens[0].kind
        lead = (len(tokens), 1) if has_mask else (1, len(tokens))
        found: dict[str, NDArray[Any]] = {}
        if count:
            points = np.stack([self._canvas.to_canvas(t.points, shape) for t in tokens])
            found["input_points"] = points.reshape(*lead, count, 2)
            found["input_labels"] = np.stack([t.labels for t in tokens]).reshape(*lead, count)
        if has_box:
            corners = np.stack([t.box for t in tokens if t.box is not None]).reshape(-1, 2)
            found["input_boxes"] = self._canvas.to_canvas(corners, shape).reshape(*lead, 4)
        if has_mask:
            masks = [t.mask for t in tokens if t.mask is not None]
            coverage = np.stack([self._canvas.mask_coverage(m) for m in masks])
            found["input_masks"] = mask_logits(coverage)[:, None]
        return {name: torch.from_numpy(a).to(self._device) for name, a in found.items()}
