"""The :class:`PromptModel` that all SAM-like networks share; a family adds only its network.

Arrays go in and out, PyTorch stays inside. Imported by the families, never by the registry.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch  # noqa: TID253  # imported only with a family
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import PromptSet
from napari_ditto.models.canvas import Canvas
from napari_ditto.models.checks import check_maker, check_tiles
from napari_ditto.models.decoding.cores import one_prompt_per_core
from napari_ditto.models.decoding.decoder import Features, MaskDecoder, Plan
from napari_ditto.models.decoding.resampling import Axis, axis, upsample
from napari_ditto.models.decoding.two_way import Each
from napari_ditto.models.device import in_batches, memory_watched
from napari_ditto.models.matching.dense import Dense
from napari_ditto.models.matching.matcher import Matcher
from napari_ditto.models.numerics import real_type
from napari_ditto.models.prompt_candidates import CANDIDATES, Candidates, candidates_of
from napari_ditto.models.prompt_tokens import Tokens, batches, mask_logits, tokenize
from napari_ditto.models.protocols import (
    ContextMap,
    Crop,
    Example,
    MaskLogits,
    Memory,
    ModelSpec,
)

DECODE_BATCH = 8
KEPT_PLANS = 4
"""Embeddings whose part of decoding is kept for the next click."""

PLAN_NUMBERS = 2_500
"""Of that part for each patch, in the published sizes: 1,726 (SAM) to 2,494 (SAM 2)."""

Result = TypeVar("Result")


def plans_bytes(patches: int) -> int:
    """Return the memory of what is kept of embeddings of so many patches, at most."""
    return KEPT_PLANS * PLAN_NUMBERS * 4 * patches


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

    All masks come from one pass of :mod:`napari_ditto.models.decoding`, which holds the library's
    weights; what an embedding alone decides is kept for the next click on it.

    Embeddings are float32: rounding them to float16 moves mask borders.

    Examples are matched on the encoder's coarsest features (:mod:`napari_ditto.models.matching`).
    """

    def __init__(self, spec: ModelSpec, network: torch.nn.Module, canvas: Canvas) -> None:
        self._spec = spec
        self._device = torch.device(spec.device)
        self._network: Any = network.to(self._device)
        self._canvas = canvas
        self._matcher = Matcher(self, self._dense)
        self._plans: WeakKeyDictionary[Embedding, Plan] = WeakKeyDictionary()
        self._lock = threading.Lock()
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
        shape = embedding.tile_shape
        tokens = [tokenize(p, shape) for p in prompts]
        logits = np.empty((len(tokens), CANDIDATES, *shape), dtype=np.float32)
        scores = np.empty((len(tokens), CANDIDATES), dtype=np.float32)
        best = np.zeros(len(tokens), dtype=np.intp)

        def keep(i: int, found: Candidates) -> None:
            self._to_tile(found.masks, shape, Box.of_shape(shape), logits[i])
            scores[i], best[i] = found.scores, found.best

        self._ask(embedding, tokens, keep, best_only=False)
        return MaskLogits(logits, scores, best)

    def decode_crops(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> list[Crop]:
        """Return the candidate to show first for each prompt set, where it lies.

        Arguments and errors are those of :meth:`decode`.
        """
        shape = embedding.tile_shape
        tokens = [tokenize(p, shape) for p in prompts]

        def crop(_: int, found: Candidates) -> Crop:
            return self._crop(found.masks[0], found, found.best, shape)

        made = self._ask(embedding, tokens, crop, best_only=True)
        return [made[i] for i in range(len(tokens))]

    def decode_sure(
        self, embedding: Embedding, prompts: Sequence[PromptSet], score: float, level: float
    ) -> list[list[Crop]]:
        """Return the candidates with at least some score for each prompt set, where they lie.

        Parameters
        ----------
        embedding, prompts
            As for :meth:`decode`, with its errors.
        score : float
            Least estimated IoU.
        level : float
            A candidate lies where its logits are above this, which is at most 0.
        """
        shape = embedding.tile_shape
        tokens = [tokenize(p, shape) for p in prompts]

        def crops(_: int, found: Candidates) -> list[Crop]:
            sure = np.flatnonzero(found.scores >= score)
            return [self._crop(found.masks[k], found, int(k), shape, level) for k in sure]

        made = self._ask(embedding, tokens, crops, best_only=False)
        return [made[i] for i in range(len(tokens))]

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

    decoder: ClassVar[type[MaskDecoder]] = MaskDecoder

    sorts_candidates: ClassVar[bool] = False
    """Whether the candidates of an ambiguous prompt come best first."""

    @abstractmethod
    def _prepare(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a tile (h, w, 3) as network input (3, size, size)."""

    @abstractmethod
    def _features(self, pixels: torch.Tensor) -> Features:
        """Return the encoder's arrays, batch first."""

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
    def _plan(self, embedding: Embedding) -> Plan:
        with self._lock:
            plan = self._plans.pop(embedding, None) or self._decoder.plan(self._upload(embedding))
            for old in list(self._plans)[: 1 - KEPT_PLANS]:
                self._plans.pop(old, None)
            self._plans[embedding] = plan
        return plan

    @cached_property
    def _decoder(self) -> MaskDecoder:
        """Made with the first prompt: encoding has no use for it."""
        return self.decoder(self._network, self._real_type)

    @property
    def _real_type(self) -> torch.dtype:
        """What is computed with; with ``"int8"``, where bytes are not."""
        found: torch.dtype = getattr(torch, real_type(self._spec.precision, self._device.type))
        return found

    def _ask(
        self,
        embedding: Embedding,
        tokens: Sequence[Tokens],
        use: Callable[[int, Candidates], Result],
        *,
        best_only: bool,
    ) -> dict[int, Result]:
        """Return what is made of the candidates of each prompt, by its number."""
        check_maker(embedding, self._spec.key)
        together = list(batches(tokens, DECODE_BATCH))  # equal kinds
        with memory_watched():
            works = [
                partial(
                    self._answer,
                    self._plan(embedding),
                    embedding.tile_shape,
                    chosen,
                    [tokens[i] for i in chosen],
                    use,
                    best_only,
                )
                for chosen in together
            ]
            made = one_prompt_per_core(works, self._device)
        return dict(zip(chain(*together), chain(*made), strict=True))

    def _answer(
        self,
        plan: Plan,
        shape: tuple[int, int],
        chosen: Sequence[int],
        tokens: Sequence[Tokens],
        use: Callable[[int, Candidates], Result],
        best_only: bool,
        each: Each,
    ) -> list[Result]:
        three = partial(
            candidates_of, ambiguous=tokens[0].is_ambiguous, by_score=self.sorts_candidates
        )

        def wanted(scores: torch.Tensor) -> torch.Tensor:
            order, best = three(scores)
            return order.gather(1, best[:, None]) if best_only else order

        prompts = self._tensors(tokens, shape)
        decoded = self._decoder(plan, prompts, self._seen(shape), each, wanted)
        order, best = three(decoded.scores)
        told = decoded.scores.clamp(0, 1).gather(1, order).cpu().numpy()
        return list(each(use, chosen, map(Candidates, decoded.masks, told, best.tolist())))

    def _axes(self, shape: tuple[int, int]) -> tuple[Axis, Axis]:
        """Return how the rows and columns of a tile are made of those of a coarse mask.

        The padding of the canvas is undone as the library does it, in two bilinear steps.
        """
        coarse, canvas = self._canvas.mask_size, self._canvas
        between = canvas.size if canvas.keeps_aspect else coarse
        kept = canvas.shape_of(shape, between)
        rows, columns = (
            axis(coarse, between, k, n, self._device) for k, n in zip(kept, shape, strict=True)
        )
        return rows, columns

    def _seen(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return how many rows and columns of the encoder's map a tile takes up."""
        rows, columns = (int(a.last[-1]) // 4 + 1 for a in self._axes(shape))
        return rows, columns

    @torch.inference_mode()
    def _to_tile(
        self, masks: torch.Tensor, shape: tuple[int, int], box: Box, out: NDArray[np.float32]
    ) -> None:
        """Fill `out` (m, h, w) with coarse masks (m, s, s) at the size of a tile, in a box."""
        rows, columns = self._axes(shape)
        if masks.device.type == "cpu":
            upsample(masks, rows, columns, (box.y0, box.x0), torch.from_numpy(out))
            return
        made = masks.new_empty(out.shape)
        upsample(masks, rows, columns, (box.y0, box.x0), made)
        out[...] = made.cpu().numpy()

    def _crop(
        self,
        mask: torch.Tensor,
        found: Candidates,
        choice: int,
        shape: tuple[int, int],
        level: float = 0.0,
    ) -> Crop:
        score, inside = float(found.scores[choice]), (mask > level).cpu().numpy()
        used = (np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0)))
        if not len(used[0]):
            return Crop(Box(0, 0, 0, 0), np.zeros((0, 0), np.float32), score, choice)
        rows, columns = (
            a.reach(int(u[0]), int(u[-1])) for a, u in zip(self._axes(shape), used, strict=True)
        )
        box = Box(rows[0], columns[0], rows[1], columns[1])
        logits = np.empty(box.shape, np.float32)
        self._to_tile(mask[None], shape, box, logits[None])
        return Crop(box, logits, score, choice)

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
