"""SAM 3 on single images: transformers' ``Sam3Model`` as a prompt model that reads words.

Carion et al. 2025, SAM 3: Segment Anything with Concepts (arXiv:2511.16719). The network finds all
instances of a concept, told by a name or by a box round an example in the same picture. Where an
object is asked for, the instance is returned that the prompts point at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import BoxPrompt, PromptSet
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.models.canvas import Canvas
from napari_ditto.models.checks import check_maker, check_tiles
from napari_ditto.models.device import in_batches, memory_watched
from napari_ditto.models.protocols import MaskLogits, ModelSpec
from napari_ditto.models.sam3.words import Read
from napari_ditto.models.stretched import stretch

LEAST_SCORE = 0.1
"""What is less likely to be the thing is not looked at; the library's own default is 0.3."""

LEAST_SHARE = 0.5
"""Of a mask that is given, so much must lie in an instance for it to be the same object."""

BY_EXAMPLE = "visual"
"""What the network was trained to read where an example stands for a name."""

FLOOR = 1e-6
KEPT = 2
"""Answers that are remembered: an object is picked from the answer that suggested it."""


@dataclass(frozen=True, eq=False)
class Instances:
    """All that the network has found in a tile, the likeliest first.

    Attributes
    ----------
    masks : Tensor of float32, shape (n, s, s)
        Coarse logits.
    boxes : ndarray of float64, shape (n, 4)
        ``y0, x0, y1, x1``, edges in tile pixels.
    scores : ndarray of float32, shape (n,)
        Likeliness that it is the thing and that the thing is in the picture, in [0, 1].
    """

    masks: torch.Tensor
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]


Question = tuple[str, BoxPrompt | None]


class Sam3PromptModel:
    """SAM 3 behind :class:`~napari_ditto.models.protocols.TextModel`.

    Parameters
    ----------
    spec : ModelSpec
        Its identity card; ``spec.device`` is where it runs.
    network : torch.nn.Module
        The library's model.
    canvas : Canvas
        What its encoder sees.
    read : callable
        Turns a text into ids and their mask.

    Notes
    -----
    An embedding is the backbone's last state; the pyramid above it would be five times larger and
    is made again for each question.
    """

    def __init__(
        self, spec: ModelSpec, network: torch.nn.Module, canvas: Canvas, read: Read
    ) -> None:
        self._spec, self._canvas, self._read = spec, canvas, read
        self._device = torch.device(spec.device)
        self._network: Any = network.to(self._device)
        self._library: Any = import_module(type(network).__module__)
        self._answers: tuple[tuple[Embedding, Question, Instances], ...] = ()

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
        shape = check_tiles(tiles, self._spec.input_size)
        states = in_batches(self._encode, list(tiles), 1)
        return [Embedding({"state": state}, shape, self._spec.key) for state in states]

    def suggest_text(self, embedding: Embedding, text: str) -> list[PromptSet]:
        """Return one prompt set per object of this name in the tile, the likeliest first.

        Raises
        ------
        ModelError
            If another model made the embedding.
        PromptError
            If the text is too long.
        DeviceError
            If the device is out of memory.
        """
        found = self._find(embedding, (text, None))
        return [PromptSet(box=BoxPrompt(*box), text=text) for box in found.boxes.tolist()]

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return the instance that each prompt set points at (tile coordinates), if there is one.

        With a name all else says which instance; without one a box is the example of the thing,
        and so is the box round a mask.

        Raises
        ------
        ModelError
            If another model made the embedding.
        PromptError
            If there is neither a name nor a box nor a mask, or the text is too long.
        DeviceError
            If the device is out of memory.
        """
        shape = embedding.tile_shape
        logits = np.full((len(prompts), 1, *shape), np.log(FLOOR), dtype=np.float32)
        scores = np.zeros((len(prompts), 1), dtype=np.float32)
        for i, asked in enumerate(prompts):
            found = self._find(embedding, _question(asked))
            chosen = pick(found, asked, shape)
            if chosen is not None:
                logits[i, 0] = _at_tile_size(found.masks[chosen], shape)
                scores[i, 0] = found.scores[chosen]
        return MaskLogits(logits, scores, np.zeros(len(prompts), dtype=np.intp))

    # --- the network ------------------------------------------------------------------------

    @torch.inference_mode()
    def _encode(self, tiles: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        pixels = torch.from_numpy(np.stack([stretch(tile, self._canvas) for tile in tiles]))
        states = self._network.vision_encoder.backbone(pixels.to(self._device)).last_hidden_state
        return [state.float().cpu().numpy() for state in states]

    def _find(self, embedding: Embedding, question: Question) -> Instances:
        check_maker(embedding, self._spec.key)
        for seen, asked, answer in self._answers:
            if seen is embedding and asked == question:
                return answer
        with memory_watched():
            answer = self._ask(embedding, *question)
        self._answers = ((embedding, question, answer), *self._answers[: KEPT - 1])
        return answer

    @torch.inference_mode()
    def _ask(self, embedding: Embedding, text: str, example: BoxPrompt | None) -> Instances:
        ids, mask = self._read(text or BY_EXAMPLE)
        arguments = {"input_ids": ids, "attention_mask": mask}
        if example is not None:
            _require_torchvision(self._library)
            arguments["input_boxes"] = _to_network(example, embedding.tile_shape)
            arguments["input_boxes_labels"] = torch.ones((1, 1), dtype=torch.int64)
        out = self._network(
            vision_embeds=self._pyramid(embedding),
            **{name: value.to(self._device) for name, value in arguments.items()},
        )
        scores = (out.pred_logits.sigmoid() * out.presence_logits.sigmoid())[0].float().cpu()
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] > LEAST_SCORE]
        boxes = out.pred_boxes[0].float().cpu()[order].double().numpy()
        height, width = embedding.tile_shape
        edges = boxes[:, [1, 0, 3, 2]] * (height, width, height, width) - 0.5
        return Instances(out.pred_masks[0].float().cpu()[order], edges, scores[order].numpy())

    def _pyramid(self, embedding: Embedding) -> Any:  # noqa: ANN401
        """Return what the library's vision encoder gives for the backbone's last state."""
        # Arrays out of a cache are read-only, which torch cannot express.
        array = np.require(embedding.arrays["state"], np.float32, "W")
        state = torch.from_numpy(array)[None].to(self._device)
        side = self._canvas.mask_size // 4
        spatial = state.view(1, side, side, -1).permute(0, 3, 1, 2)
        levels, positions = self._network.vision_encoder.neck(spatial)
        return self._library.Sam3VisionEncoderOutput(
            last_hidden_state=state, fpn_hidden_states=levels, fpn_position_encoding=positions
        )


def _question(prompts: PromptSet) -> Question:
    """Return the name, or the example that stands for it."""
    if prompts.text:
        return prompts.text, None
    around = prompts.box or (prompts.mask and PromptSet(mask=prompts.mask).extent)
    if not around:
        raise PromptError(
            "SAM 3 finds things by their name, or by a box round one of them",
            todo="Say what to look for, or draw a box",
        )
    return "", around


def _require_torchvision(library: Any) -> None:  # noqa: ANN401
    """Refuse examples where the library would fail: it pools what lies in them by torchvision."""
    if not hasattr(library, "torchvision"):
        raise ModelError(
            "SAM 3 takes a box as an example only with torchvision, which is not installed",
            todo="Say what to look for instead, or install the torchvision that fits your torch",
        )


def _to_network(box: BoxPrompt, shape: tuple[int, int]) -> torch.Tensor:
    """Return centre, width and height as shares of the tile, shape (1, 1, 4)."""
    y, x = box.center
    height, width = shape
    shares = ((x + 0.5) / width, (y + 0.5) / height, box.width / width, box.height / height)
    return torch.tensor([[shares]], dtype=torch.float32)


def _at_tile_size(mask: torch.Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a mask's logits, shape (h, w); above 0 is what the library calls the object.

    Probabilities are resampled, as the library does, and not logits: borders lie elsewhere.
    """
    share = interpolate(mask.sigmoid()[None, None], shape, mode="bilinear", align_corners=False)
    array: NDArray[np.float32] = share[0, 0].clamp(FLOOR, 1 - FLOOR).logit().numpy()
    return array


def pick(found: Instances, prompts: PromptSet, shape: tuple[int, int]) -> int | None:
    """Return which instance prompts of a tile mean; None if they mean none of them.

    A mask counts by the share of it that an instance covers, else a box by its IoU; clicks and
    strokes by the share that is on the right side. Of equals the likeliest is taken.
    """
    if not len(found.scores):
        return None
    grid = (int(found.masks.shape[1]), int(found.masks.shape[2]))
    worth = np.ones(len(found.scores))
    if prompts.mask is not None and prompts.mask.mask.any():
        share = _inside(found, _cells(np.argwhere(prompts.mask.rasterize(shape)), shape, grid))
        worth = np.where(share > LEAST_SHARE, share, 0)
    elif prompts.box is not None:
        worth = np.array([BoxPrompt(*edges).iou(prompts.box) for edges in found.boxes.tolist()])
    for positive in (True, False):
        places = prompts.positions(positive=positive)
        if len(places):
            inside = _inside(found, _cells(places, shape, grid))
            worth = worth * (inside if positive else 1 - inside)
    best = int(worth.argmax())
    return best if worth[best] > 0 else None


def _cells(
    places: NDArray[np.number], shape: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.intp]:
    """Return the cells of a coarse mask that places of a tile lie in, shape (n, 2)."""
    cells = np.floor((places + 0.5) * np.divide(grid, shape))
    return np.asarray(np.clip(cells, 0, np.array(grid) - 1), dtype=np.intp)


def _inside(found: Instances, cells: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the share of some cells that lies in each of the instances."""
    rows, columns = torch.from_numpy(cells).T
    share: NDArray[np.float64] = (found.masks[:, rows, columns] > 0).double().mean(dim=1).numpy()
    return share
