"""Many objects at once: each set of prompts is an object, all of a tile are decoded together."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet, ScribblePrompt
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.refinement import Refinement
from napari_ditto.core.routing import translate
from napari_ditto.core.tiling import Tile
from napari_ditto.engine.predict import Predictor, Question
from napari_ditto.errors import PromptError

AT_ONCE = 64
"""Most objects in one call of the decoder: logits of three candidates of 512 x 512 take 200 MB."""

LEAST_LEFT = 0.3
"""An object that keeps less of its mask is another prompt's object: its rim is none of its own."""

_NO_REFINEMENT = Refinement()

Known = Mapping[PromptSet, Proposals]


@dataclass(frozen=True, eq=False)
class Batch:
    """What a model offers for many objects of one plane.

    Attributes
    ----------
    address : PlaneAddress
        The plane.
    proposals : tuple of Proposals
        By object, in the order of the prompts; without logits, of which there would be too many.
    masks : tuple of PlacedMask
        What each object gets, plane pixels at level 0. No pixel is in two of them: the object
        with the higher score has it, of equal ones the earlier. Empty where nothing was found, or
        where less than 30 % is left, as of two clicks on one object.
    """

    address: PlaneAddress
    proposals: tuple[Proposals, ...]
    masks: tuple[PlacedMask, ...]

    @property
    def found(self) -> tuple[int, ...]:
        """Which objects have a mask."""
        return tuple(i for i, mask in enumerate(self.masks) if mask.mask.any())

    def alone(self, index: int) -> Proposals:
        """Return what one object gets as its only candidate."""
        whole, mask = self.proposals[index], self.masks[index]
        best = slice(whole.best, whole.best + 1)
        return replace(
            whole,
            masks=mask.mask[None],
            box=mask.box,
            scores=whole.scores[best],
            complete=whole.complete[best],
            best=0,
        )

    @property
    def known(self) -> dict[PromptSet, Proposals]:
        """What was answered to which prompts; no need to ask again."""
        return {proposals.prompts: proposals for proposals in self.proposals}


def batch_steps(
    predictor: Predictor,
    prompts: Sequence[PromptSet],
    address: PlaneAddress,
    level: int | None = None,
    refinement: Refinement = _NO_REFINEMENT,
    known: Known | None = None,
) -> Generator[Progress, None, Batch]:
    """Return the best candidate for each of many objects.

    Every object gets what it would get alone: each set of prompts is asked in its own tile, and
    objects that lead out of it are followed one by one. Sets of one tile share one call of the
    decoder (at most 64 do).

    Parameters
    ----------
    predictor : Predictor
        Model and image.
    prompts : sequence of PromptSet
        One for each object, plane coordinates at level 0; :func:`separate` makes them.
    address : PlaneAddress
        The plane.
    level : int, optional
        As for :meth:`Predictor.predict_steps`.
    refinement : Refinement, optional
        How masks are cleaned up.
    known : mapping, optional
        Answers that are there already, as of :attr:`Batch.known`.

    Yields
    ------
    Progress
        A place to cancel, before each tile.

    Raises
    ------
    PromptError
        For prompts that make no sense on the plane; says which object.
    """
    questions = [_question(predictor, i, p, address, level) for i, p in enumerate(prompts, 1)]
    answers = {} if known is None else dict(known)
    by_tile: dict[Tile, dict[PromptSet, Question]] = {}
    for question in questions:
        if question.said not in answers:
            by_tile.setdefault(question.tile, {})[question.said] = question
    done, total = 0, sum(map(len, by_tile.values()))
    for tile, asked in by_tile.items():
        yield Progress("decode", done, total, f"looking for {total} objects")
        found = yield from _ask_tile(predictor, address, tile, list(asked.values()))
        answers |= {proposals.prompts: _light(proposals, refinement) for proposals in found}
        done += len(asked)
    proposals = tuple(answers[question.said] for question in questions)
    return Batch(address, proposals, tuple(resolve([_best(p) for p in proposals])))


def _question(
    predictor: Predictor, number: int, prompts: PromptSet, address: PlaneAddress, level: int | None
) -> Question:
    try:
        return predictor.question(prompts, address, level)
    except PromptError as error:
        raise PromptError(f"object {number}: {error.what}", todo=error.todo) from error


def _ask_tile(
    predictor: Predictor, address: PlaneAddress, tile: Tile, questions: Sequence[Question]
) -> Generator[Progress, None, list[Proposals]]:
    (embedding,) = yield from predictor.encoder.embed_steps(address, [tile])
    understood, found = predictor.model.spec.capabilities, []
    for first in range(0, len(questions), AT_ONCE):
        some = questions[first : first + AT_ONCE]
        sets = [translate(question.local, understood) for question in some]
        decoded = predictor.model.decode(embedding, sets)
        for row, question in enumerate(some):
            found.append((yield from predictor.answer_steps(question, address, decoded, row)))
    return found


def _light(proposals: Proposals, refinement: Refinement) -> Proposals:
    """Return refined proposals without what they are made of."""
    return replace(proposals.refined(refinement), logits=())


def _best(proposals: Proposals) -> PlacedMask:
    score = float(proposals.scores[proposals.best])
    return PlacedMask(proposals.box, proposals.masks[proposals.best], score).cropped()


def resolve(masks: Sequence[PlacedMask]) -> list[PlacedMask]:
    """Return masks that share no pixel: the higher score has it, of equal ones the earlier.

    A mask of which less than `LEAST_LEFT` is left becomes empty.
    """
    resolved = list(masks)
    before: list[PlacedMask] = []
    for index in sorted(range(len(masks)), key=lambda i: -masks[i].score):
        whole = masks[index]
        left = whole.mask.copy()
        for other in before:
            common = other.box.intersect(whole.box)
            if not common.is_empty:
                here = common.shift(-whole.box.y0, -whole.box.x0).slices
                left[here] &= ~other.in_box(common)
        if left.sum() < LEAST_LEFT * whole.area:
            left[:] = False
        resolved[index] = PlacedMask(whole.box, left, whole.score).cropped()
        before.append(resolved[index])
    return resolved


def separate(
    points: Iterable[PointPrompt] = (),
    boxes: Iterable[PromptSet] = (),
    scribbles: Iterable[ScribblePrompt] = (),
    diameter: float | None = None,
) -> tuple[PromptSet, ...]:
    """Return one set of prompts for each positive point, area and stroke.

    Parameters
    ----------
    points, scribbles : iterable
        Of both signs; what is negative belongs to the nearest object, to the smaller one where it
        lies in several areas.
    boxes : iterable of PromptSet
        One for each area: a box, and a mask if it is no rectangle.
    diameter : float, optional
        About how large each object is.

    Returns
    -------
    tuple of PromptSet
        Points first, then areas, then strokes, each in their order. Empty without anything
        positive.
    """
    points, scribbles = tuple(points), tuple(scribbles)
    seeds = [
        *(PromptSet((point,)) for point in points if point.positive),
        *boxes,
        *(PromptSet(scribbles=(stroke,)) for stroke in scribbles if stroke.positive),
    ]
    if not seeds:
        return ()
    extents = [_extent(seed) for seed in seeds]
    for point in points:
        if not point.positive:
            near = _nearest(point.y, point.x, extents)
            seeds[near] = seeds[near].with_points([point])
    for stroke in scribbles:
        if not stroke.positive:
            y, x = np.mean(stroke.path, axis=0).tolist()
            near = _nearest(y, x, extents)
            seeds[near] = replace(seeds[near], scribbles=(*seeds[near].scribbles, stroke))
    return tuple(replace(seed, diameter=diameter) for seed in seeds)


def _extent(seed: PromptSet) -> BoxPrompt:
    extent = seed.extent
    if extent is None:
        raise PromptError("an area is empty", todo="Draw it again")
    return extent


def _nearest(y: float, x: float, extents: Sequence[BoxPrompt]) -> int:
    """Return the nearest of some extents; of those that hold the position, the smallest."""

    def distance(index: int) -> tuple[float, float]:
        box = extents[index]
        rows = max(box.y0 - y, 0.0, y - box.y1)
        columns = max(box.x0 - x, 0.0, x - box.x1)
        return rows**2 + columns**2, box.height * box.width

    return min(range(len(extents)), key=distance)
