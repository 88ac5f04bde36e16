"""Stand-ins for models: one that knows the truth, one that counts, a slow one, a failing one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import components_meeting, deepest_pixels
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.window import Window
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.models.protocols import MaskLogits, ModelSpec, PromptModel

TRUTH_WINDOW = Window((0.0,) * 3, (255.0,) * 3)
"""The window that brings the bytes of :func:`paint_truth` unchanged to the model."""


def paint_truth(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return an image whose pixels tell the object's id, shape (..., 3), uint8.

    Ids up to 2**24 - 1 are split over three bytes, lowest first. Open it with
    ``window=TRUTH_WINDOW``.
    """
    ids = labels.astype(np.uint32)
    return np.stack([(ids >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)], axis=-1)


def read_truth(pixels: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the ids behind pixels of :func:`paint_truth`, shape (..., 3) in [0, 1]."""
    levels = np.rint(pixels * 255).astype(np.int32)
    ids: NDArray[np.int32] = levels @ np.array([1, 256, 65536], dtype=np.int32)
    return ids


class PerfectModel:
    """Returns the very object that the prompts are about, as far as its tile shows it.

    It reads the truth from the tile's pixels (:func:`paint_truth`) and so knows nothing beyond
    the tile: its receptive field is the tile, or less.

    Parameters
    ----------
    tile : int
        Side of the tiles.
    connected : bool
        Whether only those pieces of the object are returned that a prompt lies on, as a model
        does that cannot know that two pieces belong together.
    """

    def __init__(self, tile: int = 64, connected: bool = False) -> None:
        self.connected = connected
        self._spec = ModelSpec(
            "perfect", "perfect", "1", "0" * 64, "BSD-3-Clause", "none", input_size=tile,
            capabilities=frozenset({"points", "box", "mask", "scribbles", "auto"}),
        )  # fmt: skip

    @property
    def spec(self) -> ModelSpec:
        """Who this is."""
        return self._spec

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Return the truth of each tile."""
        if max(tiles.shape[1:3]) > self.spec.input_size:
            raise ModelError(f"tiles of {tiles.shape[1:3]} for a model of {self.spec.input_size}")
        truths = (read_truth(tile).astype(np.float32) for tile in tiles)
        return [Embedding({"truth": t}, (t.shape[0], t.shape[1]), self.spec.key) for t in truths]

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return one sure candidate per prompt set, empty if it is about the background."""
        truth = self._truth(embedding)
        found = np.zeros((len(prompts), 1, *truth.shape), dtype=bool)
        for mask, prompt in zip(found[:, 0], prompts, strict=True):
            mask[...] = self._object(truth, prompt)
        logits = np.where(found, np.float32(10), np.float32(-10))
        scores = np.ones((len(prompts), 1), dtype=np.float32)
        return MaskLogits(logits, scores, np.zeros(len(prompts), dtype=np.intp))

    def suggest(self, embedding: Embedding) -> list[PromptSet]:
        """Return one point per object, deep inside it."""
        truth = self._truth(embedding)
        return [_point_in(truth == label) for label in np.unique(truth) if label]

    def _truth(self, embedding: Embedding) -> NDArray[np.int32]:
        if embedding.model != self.spec.key:
            raise ModelError(f"encoded by {embedding.model}, not by {self.spec.key}")
        return np.asarray(embedding.arrays["truth"], dtype=np.int32)

    def _object(self, truth: NDArray[np.integer], prompts: PromptSet) -> NDArray[np.bool_]:
        if not prompts.has_positive:
            raise PromptError("say where the object is first")
        told = _marked(truth.shape, prompts)
        label = _vote(truth[told]) or _vote(truth[_box_of(prompts, truth.shape).slices])
        found: NDArray[np.bool_] = (truth == label) & (label > 0)
        return components_meeting(found, told) if self.connected and told.any() else found


class NamingModel(PerfectModel):
    """Knows the truth, and what each object is called.

    Parameters
    ----------
    names : mapping of int to str
        The name of each object.
    tile : int
        Side of the tiles.
    """

    def __init__(self, names: Mapping[int, str], tile: int = 64) -> None:
        super().__init__(tile)
        self._names = names
        self._spec = replace(self._spec, capabilities=self._spec.capabilities | {"text"})

    def suggest_text(self, embedding: Embedding, text: str) -> list[PromptSet]:
        """Return a point and the name for each object of that name."""
        truth = self._truth(embedding)
        named = [label for label in np.unique(truth).tolist() if self._names.get(label) == text]
        return [replace(_point_in(truth == label), text=text) for label in named]


class CountingModel:
    """Passes everything on to another model and counts it.

    Attributes
    ----------
    encoded, decoded : int
        Tiles encoded and prompt sets decoded so far.
    calls : int
        Calls of ``encode``.
    """

    def __init__(self, model: PromptModel) -> None:
        self.model = model
        self.encoded = self.decoded = self.calls = 0
        self.asked: list[PromptSet] = []

    @property
    def spec(self) -> ModelSpec:
        """Who the other model is."""
        return self.model.spec

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Count the tiles."""
        self.calls += 1
        self.encoded += len(tiles)
        return self.model.encode(tiles)

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Count and keep the prompts."""
        self.decoded += len(prompts)
        self.asked += prompts
        return self.model.decode(embedding, prompts)


class SlowModel(CountingModel):
    """Takes its time; sleeps as a C library does, without holding the interpreter's lock.

    Parameters
    ----------
    seconds : float
        For each ``encode``.
    model : PromptModel, optional
        Whom to pass on to; a :class:`PerfectModel` by default.
    decode_seconds : float
        For each ``decode``.
    """

    def __init__(
        self, seconds: float, model: PromptModel | None = None, decode_seconds: float = 0.0
    ) -> None:
        super().__init__(model or PerfectModel())
        self.seconds, self.decode_seconds = seconds, decode_seconds

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Sleep, then pass on."""
        time.sleep(self.seconds)
        return super().encode(tiles)

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Sleep, then pass on."""
        time.sleep(self.decode_seconds)
        return super().decode(embedding, prompts)


class FailingModel(CountingModel):
    """Raises in one encoder call, works in all others.

    Parameters
    ----------
    at : int
        Which call fails, counted from 0.
    error : Exception, optional
        What it raises.
    """

    def __init__(
        self, at: int = 0, model: PromptModel | None = None, error: Exception | None = None
    ) -> None:
        super().__init__(model or PerfectModel())
        self.at, self.error = at, error or ModelError("the encoder broke", todo="Try again")

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Raise at the chosen call."""
        if self.calls == self.at:
            self.calls += 1
            raise self.error
        return super().encode(tiles)


def _marked(shape: tuple[int, ...], prompts: PromptSet) -> NDArray[np.bool_]:
    """Return the pixels that positive points, strokes and masks lie on."""
    told = np.zeros(shape, dtype=bool)
    if prompts.mask:
        told |= prompts.mask.rasterize((shape[0], shape[1]))
    clicks = [(p.y, p.x) for p in prompts.points if p.positive]
    strokes = [v for s in prompts.scribbles if s.positive for v in s.samples().tolist()]
    for y, x in [*clicks, *strokes]:
        told[int(np.floor(y + 0.5)), int(np.floor(x + 0.5))] = True
    return told


def _box_of(prompts: PromptSet, shape: tuple[int, ...]) -> Box:
    if prompts.box is None:
        return Box(0, 0, 0, 0)
    corners = (prompts.box.y0, prompts.box.x0, prompts.box.y1, prompts.box.x1)
    return Box(*(int(np.floor(v + 0.5)) for v in corners)).intersect(Box.of_shape(shape))


def _vote(ids: NDArray[np.integer]) -> int:
    """Return the id most often named, 0 if none is."""
    counts = np.bincount(ids[ids > 0].astype(np.int64), minlength=1)
    return int(counts.argmax()) if counts.any() else 0


def _point_in(mask: NDArray[np.bool_]) -> PromptSet:
    ((y, x),) = deepest_pixels(mask)
    return PromptSet((PointPrompt(float(y), float(x)),))
