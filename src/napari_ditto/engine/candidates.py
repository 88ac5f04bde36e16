"""Candidate objects of one tile: prompts by the model or from a grid, decoded and filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import PlacedMask, suppress
from napari_ditto.core.prompts import Frame, PointPrompt, PromptSet
from napari_ditto.core.routing import anchor, translate
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.models.protocols import (
    AutoPromptModel,
    CroppingModel,
    PromptModel,
    SiftingModel,
    TextModel,
)

Judge = Callable[[PlacedMask], float]
"""The score of a mask by what is known beyond the model; 0 for what is not wanted."""

DECODE_BYTES = 64 << 20
"""Memory for the logits of one decoder call, at three candidates per prompt, or one crop."""

OFFSET = 1.0
"""How far the threshold of logits is moved up and down to see whether a mask is stable."""

SEEN_TWICE = 8
"""Pixels round a tile's core from which suggestions are taken as well.

The next tile may see an object's middle a little elsewhere: then both must not leave it out.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What counts as an object.

    Attributes
    ----------
    min_area : int
        Pixels of the smallest object.
    score_threshold : float
        Least estimated IoU.
    stability_threshold : float
        Least IoU of the masks at logits -1 and 1; asked of masks from a grid of points only.
    max_iou, max_containment : float
        Two masks that share more are one object.
    points_per_side : int
        Grid points along the side of a tile, for a model without suggestions of its own.
    text : str
        What the objects are called, for a model that reads words; ``""`` for everything.
    """

    min_area: int = 16
    score_threshold: float = 0.5
    stability_threshold: float = 0.9
    max_iou: float = 0.5
    max_containment: float = 0.8
    points_per_side: int = 32
    text: str = ""

    def told(self) -> dict[str, object]:
        """Return the settings for a plan; one that names nothing is what it was before names."""
        return {name: value for name, value in asdict(self).items() if name != "text" or value}


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask found in a tile.

    Attributes
    ----------
    placed : PlacedMask
        The mask in the plane, and its score.
    tile : Tile
        Where it was found.
    prompts : PromptSet
        What was asked, pixels of the tile.
    choice : int
        Which of the model's candidates it is.
    complete : bool
        False if it leads out of the tile.
    """

    placed: PlacedMask
    tile: Tile
    prompts: PromptSet
    choice: int
    complete: bool


def find_candidates(
    model: PromptModel,
    embedding: Embedding,
    tile: Tile,
    grid: Grid,
    settings: Settings,
    judge: Judge | None = None,
) -> list[Candidate]:
    """Return the objects seen in a tile, each one once, the surest first.

    Only what lies round the tile's core is asked about: a neighbour sees the rest better.
    """
    prompts, gridded = _ask_for(model, embedding, tile, grid, settings)
    if gridded:
        decoded = _decode_sure(model, embedding, prompts, settings.score_threshold)
        decoded = (d for d in decoded if stability(d.logits) >= settings.stability_threshold)
    else:
        decoded = decode_all(model, embedding, prompts, every=False)
    found = list(choose(decoded, tile, grid, settings, judge))
    kept = suppress([c.placed for c in found], settings.max_iou, settings.max_containment)
    return [found[i] for i in kept]


def reader(model: PromptModel) -> TextModel:
    """Return a model that finds things by their name.

    Raises
    ------
    ModelError
        If it reads no words.
    """
    if isinstance(model, TextModel):
        return model
    raise ModelError(f"{model.spec.id} reads no words", todo="Choose a model that does, e.g. sam3")


def _ask_for(
    model: PromptModel, embedding: Embedding, tile: Tile, grid: Grid, settings: Settings
) -> tuple[list[PromptSet], bool]:
    """Return what to ask in a tile, and whether it is a mere grid of points."""
    if settings.text:
        named = reader(model).suggest_text(embedding, settings.text)
        return _near_core(named, tile, grid), False
    if isinstance(model, AutoPromptModel):
        return _near_core(model.suggest(embedding), tile, grid), False
    if isinstance(model, TextModel):
        raise PromptError(
            f"{model.spec.id} finds things by name",
            todo="Say what to look for, e.g. text='nucleus'",
        )
    return list(_points(tile, grid, settings.points_per_side)), True


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """One of the answers to a prompt set: which one, where in the tile, logits and score."""

    prompts: PromptSet
    choice: int
    box: Box
    logits: NDArray[np.float32]
    score: float


def decode_all(
    model: PromptModel, embedding: Embedding, prompts: Sequence[PromptSet], *, every: bool
) -> Iterator[Decoded]:
    """Yield `every` one of the model's answers, or the best only, in bounded memory."""
    tile = Box.of_shape(embedding.tile_shape)
    told = [translate(p, model.spec.capabilities) for p in prompts]
    if isinstance(model, CroppingModel) and not every:
        for batch in _batches(told, 4 * tile.area):
            for asked, crop in zip(batch, model.decode_crops(embedding, batch), strict=True):
                yield Decoded(asked, crop.choice, crop.box, crop.logits, crop.score)
        return
    for batch in _batches(told, 12 * tile.area):
        decoded = model.decode(embedding, batch)
        for i, asked in enumerate(batch):
            for k in range(decoded.logits.shape[1]) if every else [int(decoded.best[i])]:
                yield Decoded(asked, k, tile, decoded.logits[i, k], float(decoded.scores[i, k]))


def _decode_sure(
    model: PromptModel, embedding: Embedding, prompts: Sequence[PromptSet], score: float
) -> Iterator[Decoded]:
    """Yield every answer of some score, with what tells how stable it is."""
    if not isinstance(model, SiftingModel):
        found = decode_all(model, embedding, prompts, every=True)
        yield from (d for d in found if d.score >= score)
        return
    told = [translate(p, model.spec.capabilities) for p in prompts]
    for batch in _batches(told, 12 * Box.of_shape(embedding.tile_shape).area):
        answers = model.decode_sure(embedding, batch, score, -OFFSET)
        for asked, crops in zip(batch, answers, strict=True):
            for crop in crops:
                yield Decoded(asked, crop.choice, crop.box, crop.logits, crop.score)


def _batches(prompts: Sequence[PromptSet], nbytes: int) -> Iterator[Sequence[PromptSet]]:
    """Yield as many prompts at once as there is memory for, at so many bytes each."""
    at_once = max(1, DECODE_BYTES // nbytes)
    for start in range(0, len(prompts), at_once):
        yield prompts[start : start + at_once]


def choose(
    decoded: Iterable[Decoded],
    tile: Tile,
    grid: Grid,
    settings: Settings,
    judge: Judge | None = None,
) -> Iterator[Candidate]:
    """Yield the masks that are sure and large enough, and those of them that a judge wants."""
    for answer in decoded:
        if answer.score >= settings.score_threshold:
            where = answer.box.shift(tile.box.y0, tile.box.x0)
            placed = PlacedMask(where, answer.logits > 0, answer.score).cropped()
            complete = not _leads_out(placed.box, tile.box, grid.shape)
            if placed.area >= (max(1, settings.min_area) if complete else 1):
                placed = replace(placed, score=judge(placed)) if judge else placed
                if judge is None or placed.score > 0:
                    yield Candidate(placed, tile, answer.prompts, answer.choice, complete)


def stability(logits: NDArray[np.float32]) -> float:
    """Return the IoU of the masks at thresholds a little above and below 0, 0 if both are empty."""
    inner, outer = (int(np.count_nonzero(logits > t)) for t in (OFFSET, -OFFSET))
    return inner / max(1, outer)


def _leads_out(box: Box, tile: Box, plane: tuple[int, int]) -> bool:
    """Whether an object's box reaches an edge of its tile beyond which the image goes on."""
    return (
        (box.y0 == tile.y0 > 0)
        or (box.x0 == tile.x0 > 0)
        or (box.y1 == tile.y1 < plane[0])
        or (box.x1 == tile.x1 < plane[1])
    )


def _near_core(prompts: Sequence[PromptSet], tile: Tile, grid: Grid) -> list[PromptSet]:
    """Return the prompts of a tile whose middle lies in its core or close to it."""
    core = grid.core(tile).shift(-tile.box.y0, -tile.box.x0).grow(SEEN_TWICE)
    return [p for p in prompts if core.contains(*anchor(p))]


def _points(tile: Tile, grid: Grid, per_side: int) -> Iterator[PromptSet]:
    """Yield single points at even spacing over the tile's core, in the tile's pixels."""
    spacing = grid.size / per_side
    core = grid.core(tile).shift(-tile.box.y0, -tile.box.x0)
    frame = Box.of_shape(tile.box.shape)
    for y in np.arange(spacing / 2, frame.height, spacing) - 0.5:
        for x in np.arange(spacing / 2, frame.width, spacing) - 0.5:
            if core.contains(y, x):
                yield PromptSet((PointPrompt(float(y), float(x)),))


def to_plane(prompts: PromptSet, tile: Tile) -> PromptSet:
    """Return prompts of a tile in the plane's pixels."""
    return prompts.to_frame(Frame(origin=(-float(tile.box.y0), -float(tile.box.x0))))
