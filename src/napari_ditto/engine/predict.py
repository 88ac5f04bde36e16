"""One object from its prompts: choose a level and a tile, decode, grow, place in the plane."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.logits import PlacedLogits, stack
from napari_ditto.core.masks import PlacedMask, drop_denied
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, Frame, MaskPrompt, PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.routing import anchor, check_prompts, pixels, to_level, to_tile, translate
from napari_ditto.core.tiling import Grid, Tile, choose_level, choose_tile, touches_edge
from napari_ditto.data.protocols import Source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.growth import Growth, agreement, grow_steps
from napari_ditto.engine.placing import placed_patchwork
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.models.protocols import ContextModel, MaskLogits, PreparingModel, PromptModel

GROWTH_TILES = 64
"""Tiles decoded for one object before a coarser level is tried; about a minute of SAM on a CPU."""

COARSE_TILES = 16
"""Tiles decoded at the coarser level, where the object was expected to fit into one."""


KEPT_MARGIN = 32
"""Pixels round a grown object whose logits are kept, for lower thresholds."""

KEPT_PIXELS = 1 << 24
"""Most logits kept of one candidate (64 MiB); a larger one has no other threshold."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The levels of one plane.

    Attributes
    ----------
    shapes : tuple of (int, int)
        Height and width at each level.
    factors : tuple of (float, float)
        Level-0 pixels per pixel of each level.
    """

    shapes: tuple[tuple[int, int], ...]
    factors: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, source: Source, address: PlaneAddress) -> Pyramid:
        """Return the levels of a plane; nothing is read."""
        levels = range(source.levels)
        return cls(
            tuple(source.plane_shape(address, level) for level in levels),
            tuple(source.factor(address, level) for level in levels),
        )


@dataclass(frozen=True, eq=False)
class Question:
    """Where a model is asked about one object first, and what it is told.

    Attributes
    ----------
    said : PromptSet
        What makes sense of the prompts on the plane, pixels at level 0.
    tile : Tile
        Where.
    prompts : PromptSet
        The same, pixels of the tile's level.
    """

    said: PromptSet
    tile: Tile
    prompts: PromptSet

    @property
    def local(self) -> PromptSet:
        """What is said inside the tile, in its own pixels."""
        return to_tile(self.prompts, self.tile.box)


@dataclass(frozen=True, eq=False)
class Decoded:
    """The answer of the first tile.

    Attributes
    ----------
    tile : Tile
        Where it was asked.
    prompts : PromptSet
        What was said, pixels of the tile's level.
    logits : list of ndarray of float32, shape (h, w)
        Candidates, denied pieces taken out.
    scores : ndarray of float32, shape (m,)
        Estimated IoU.
    best : int
        Which one to show first.
    complete : ndarray of bool, shape (m,)
        False where a candidate leads out of the tile.
    """

    tile: Tile
    prompts: PromptSet
    logits: list[NDArray[np.float32]]
    scores: NDArray[np.float32]
    best: int
    complete: NDArray[np.bool_]


def prompted(model: PromptModel | ContextModel) -> PromptModel:
    """Return a model that takes prompts.

    Raises
    ------
    ModelError
        If it takes only examples.
    """
    if isinstance(model, PromptModel):
        return model
    raise ModelError(
        f"{model.spec.id} takes no prompts, only examples",
        todo="Use more like this, or choose another model, e.g. ditto",
    )


class Predictor:
    """Prompts in, proposals out; knows no labels.

    Parameters
    ----------
    model : PromptModel
        Decodes.
    encoder : TileEncoder
        Reads and encodes tiles of one source.
    growth_tiles : int
        Budget of one growth.

    Raises
    ------
    ModelError
        If the model takes no prompts.
    """

    def __init__(
        self,
        model: PromptModel | ContextModel,
        encoder: TileEncoder,
        growth_tiles: int = GROWTH_TILES,
    ) -> None:
        self.model, self.encoder, self.growth_tiles = prompted(model), encoder, growth_tiles

    def predict_steps(
        self, prompts: PromptSet, address: PlaneAddress, level: int | None = None
    ) -> Generator[Progress, None, Proposals]:
        """Return candidates for one object; the best one is followed over its tile's edges.

        Parameters
        ----------
        prompts : PromptSet
            Plane coordinates at level 0.
        address : PlaneAddress
            The plane.
        level : int, optional
            Pyramid level to decode at; the finest one whose tile sees all prompts by default.

        Yields
        ------
        Progress
            A place to cancel. Before growth starts, ``partial`` holds the proposals so far.

        Raises
        ------
        PromptError, SourceError, ModelError
        """
        question = self.question(prompts, address, level)
        decoded = yield from self._ask(address, question.tile, question.local)
        return (yield from self.answer_steps(question, address, decoded))

    def question(
        self, prompts: PromptSet, address: PlaneAddress, level: int | None = None
    ) -> Question:
        """Return where to ask first; arguments and errors as of :meth:`predict_steps`."""
        pyramid = Pyramid.of(self.encoder.source, address)
        checked = check_prompts(prompts, pyramid.shapes[0])
        tile = _first_tile(checked, pyramid, self.encoder.tile_size, level)
        said = to_level(checked, pyramid.factors[tile.level], pyramid.shapes[tile.level])
        return Question(checked, tile, said)

    def answer_steps(
        self, question: Question, address: PlaneAddress, decoded: MaskLogits, row: int = 0
    ) -> Generator[Progress, None, Proposals]:
        """Return the candidates that a row of an answer gives; the best one is followed."""
        pyramid = Pyramid.of(self.encoder.source, address)
        first = _judged(question, decoded, row, pyramid)
        proposals = self._proposals(first, question.said, address, pyramid)
        if proposals.complete[proposals.best]:
            return proposals
        yield Progress("grow", 1, 0, "following the object", proposals)
        return (yield from self._follow(first, first.best, proposals, pyramid, self.growth_tiles))

    def prepare_steps(
        self, where: Callable[[], PromptSet | None], address: PlaneAddress
    ) -> Generator[Progress, None, None]:
        """Do what questions like one will need, as far as the model can and its tile is encoded.

        Parameters
        ----------
        where : callable
            Returns the question, before each step anew, or None to end this; plane coordinates.
        address : PlaneAddress
            The plane.

        Yields
        ------
        Progress
            After a few milliseconds, a place to cancel.
        """
        model = self.model
        while isinstance(model, PreparingModel) and (prompts := where()) is not None:
            question = self.question(prompts, address)
            if not self.encoder.has(address, question.tile):
                break
            (embedding,) = yield from self.encoder.embed_steps(address, [question.tile])
            if not model.prepare(embedding, translate(question.local, model.spec.capabilities)):
                break
            yield Progress("decode", text="looking around")

    def has_encoded(self, prompts: PromptSet, address: PlaneAddress) -> bool:
        """Whether the tile that :meth:`predict_steps` asks first is encoded already.

        Raises
        ------
        PromptError
            For prompts that make no sense on the plane.
        """
        return self.encoder.has(address, self.question(prompts, address).tile)

    def grow_steps(self, proposals: Proposals, choice: int) -> Generator[Progress, None, Proposals]:
        """Follow another candidate over its tile's edges; all the others stay as they are."""
        if proposals.complete[choice]:
            return proposals
        pyramid = Pyramid.of(self.encoder.source, proposals.address)
        question = self.question(proposals.prompts, proposals.address, proposals.level)
        decoded = yield from self._ask(proposals.address, question.tile, question.local)
        first = _judged(question, decoded, 0, pyramid)
        return (yield from self._follow(first, choice, proposals, pyramid, 4 * self.growth_tiles))

    def _ask(
        self, address: PlaneAddress, tile: Tile, prompts: PromptSet
    ) -> Generator[Progress, None, MaskLogits]:
        (embedding,) = yield from self.encoder.embed_steps(address, [tile])
        yield Progress("decode", 0, 1, "segmenting")
        asked = [translate(prompts, self.model.spec.capabilities)]
        if isinstance(self.model, PreparingModel):
            return (yield from self.model.decode_steps(embedding, asked))
        return self.model.decode(embedding, asked)

    def _proposals(
        self, first: Decoded, prompts: PromptSet, address: PlaneAddress, pyramid: Pyramid
    ) -> Proposals:
        factor, shape = pyramid.factors[first.tile.level], pyramid.shapes[0]
        kept = tuple(PlacedLogits(x, first.tile.box, factor, shape) for x in first.logits)
        masks, box = stack([logits.mask() for logits in kept])
        return Proposals(
            masks, box, first.scores, first.best, address, prompts,
            first.tile.level, first.complete, self.model.spec.key, logits=kept,
        )  # fmt: skip

    def _follow(
        self, first: Decoded, choice: int, proposals: Proposals, pyramid: Pyramid, budget: int
    ) -> Generator[Progress, None, Proposals]:
        address, level = proposals.address, first.tile.level
        grid = Grid(pyramid.shapes[level], self.encoder.tile_size, level=level)
        growth = Growth.start(grid, first.prompts, first.tile, first.logits[choice])
        yield from grow_steps(growth, self.model, self.encoder, address, budget)
        if not growth.complete:
            growth = yield from self._coarser(growth, address, pyramid)
        level = growth.grid.level
        logits = placed_patchwork(
            growth.work, pyramid.factors[level], pyramid.shapes[0], KEPT_MARGIN
        )
        placed = logits.mask()
        corner = (placed.box.y0, placed.box.x0)
        told = [pixels(proposals.prompts, positive=sign) - corner for sign in (False, True)]
        grown = PlacedMask(placed.box, drop_denied(placed.mask, *told)).cropped()
        kept = logits if logits.box.area <= KEPT_PIXELS else None
        return _with_candidate(proposals, choice, grown, kept, level, growth.complete)

    def _coarser(
        self, growth: Growth, address: PlaneAddress, pyramid: Pyramid
    ) -> Generator[Progress, None, Growth]:
        """Start again where all that is known takes a small part of a tile, if there is such."""
        old, known = growth.grid.level, growth.work.extent
        factor = pyramid.factors[old]
        plane = known.scale(*factor)
        level = choose_level(
            BoxPrompt(plane.y0, plane.x0, plane.y1, plane.x1),
            pyramid.factors, self.encoder.tile_size, 0.375,
        )  # fmt: skip
        if level <= old:
            return growth
        new = pyramid.factors[level]
        frame = Frame((new[0] / factor[0], new[1] / factor[1]))
        rough = MaskPrompt(known, growth.work.known(known)).to_frame(frame)
        said = replace(to_level(growth.prompts, frame.factor, pyramid.shapes[level]), mask=rough)
        grid = Grid(pyramid.shapes[level], self.encoder.tile_size, level=level)
        tile = grid.nearest(*rough.box.center)
        yield Progress("grow", 0, 0, f"a large object, looking from further away (level {level})")
        local = to_tile(said, tile.box)
        decoded = yield from self._ask(address, tile, local)
        start = decoded.logits[0][_most_like(local.mask, decoded, tile)]
        coarse = Growth.start(grid, said, tile, start)
        return (yield from grow_steps(coarse, self.model, self.encoder, address, COARSE_TILES))


def _first_tile(prompts: PromptSet, pyramid: Pyramid, size: int, level: int | None) -> Tile:
    extent, start = prompts.extent, anchor(prompts)
    if extent is None:
        raise PromptError("say where the object is first")
    if level is None:
        return choose_tile(extent, start, pyramid.shapes, pyramid.factors, size)
    if not 0 <= level < len(pyramid.shapes):
        raise PromptError(f"there is no level {level}, the image has {len(pyramid.shapes)}")
    only = slice(level, level + 1)
    tile = choose_tile(extent, start, pyramid.shapes[only], pyramid.factors[only], size)
    return replace(tile, level=level)


def _judged(question: Question, decoded: MaskLogits, row: int, pyramid: Pyramid) -> Decoded:
    tile, local = question.tile, question.local
    told = [pixels(local, positive=sign) for sign in (False, True)]
    logits = [_without_denied(candidate, *told) for candidate in decoded.logits[row]]
    leads_out = [touches_edge(x, tile.box, pyramid.shapes[tile.level]) for x in logits]
    complete = ~np.array(leads_out, dtype=bool) & (not _has_outside(question.prompts, tile.box))
    best = int(decoded.best[row])
    return Decoded(tile, question.prompts, logits, decoded.scores[row], best, complete)


def _has_outside(prompts: PromptSet, box: Box) -> bool:
    """Whether a positive click or stroke waits for another tile."""
    return not all(box.contains(y, x) for y, x in pixels(prompts, positive=True).tolist())


def _without_denied(
    logits: NDArray[np.float32], negative: NDArray[np.intp], positive: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return a candidate without the pieces that a negative prompt lies on."""
    if not (logits[tuple(negative.T)] > 0).any():
        return logits
    mask = logits > 0
    return np.where(mask & ~drop_denied(mask, negative, positive), -logits, logits)


def _most_like(mask: MaskPrompt | None, decoded: MaskLogits, tile: Tile) -> int:
    """Return the candidate that agrees best with a mask, judged inside the mask's box only."""
    if mask is None:
        return int(decoded.best[0])
    judged = mask.box.intersect(Box.of_shape(tile.box.shape)).slices
    known = mask.rasterize(tile.box.shape)[judged]
    everywhere = np.ones_like(known)
    return int(np.argmax([agreement(x[judged] > 0, known, everywhere) for x in decoded.logits[0]]))


def _with_candidate(
    proposals: Proposals,
    choice: int,
    grown: PlacedMask,
    logits: PlacedLogits | None,
    level: int,
    complete: bool,
) -> Proposals:
    """Return proposals with one candidate replaced by what it has grown to."""
    placed = [PlacedMask(proposals.box, mask).cropped() for mask in proposals.masks]
    placed[choice] = grown
    masks, box = stack(placed)
    finished = proposals.complete.copy()
    finished[choice] = complete
    known = list(proposals.logits or (None,) * len(placed))
    known[choice] = logits
    return replace(
        proposals, masks=masks, box=box, level=level, complete=finished, logits=tuple(known)
    )
