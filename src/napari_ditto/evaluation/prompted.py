"""IoU of what a model shows for simulated prompts: first prompts, corrections, clicks needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.masks import drop_denied
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.routing import check_prompts, pixels, translate
from napari_ditto.evaluation.cases import Case
from napari_ditto.evaluation.clicks import next_click
from napari_ditto.evaluation.metrics import iou
from napari_ditto.models.protocols import PromptModel

Mask = NDArray[np.bool_]

FIRST = ("click", "centre", "box", "box_exact", "box_10")
CORRECTED = (3, 5)
GOALS = (0.85, 0.90)
AGREEMENT = 0.5
"""A click is ambiguous if the candidates' mean pairwise IoU is below this."""


@dataclass(frozen=True, slots=True)
class Row:
    """One object, one prompt, one model.

    Attributes
    ----------
    group, image, number, diameter
        Which object: set, image, component, equivalent diameter in pixels.
    model, prompt : str
        Who was asked, and what: ``click``, ``box``, ``clicks_3``, ``noc_85``, ...
    iou : float
        Of the mask shown first.
    score : float
        The model's own estimate of it.
    best : float
        IoU of the best candidate.
    ambiguous : bool
        Whether the prompt could mean several things.
    clicks : int
        Clicks given; for ``noc_*`` the number needed, the cap where the goal was not reached.
    reached : bool
        For ``noc_*``, whether the goal was reached.
    ious, scores : tuple of float
        Of all candidates.
    """

    group: str
    image: str
    number: int
    diameter: float
    model: str
    prompt: str
    iou: float
    score: float
    best: float
    ambiguous: bool
    clicks: int
    reached: bool
    ious: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says to one prompt set.

    Attributes
    ----------
    masks : ndarray of bool, shape (m, h, w)
        Candidates.
    scores : ndarray of float, shape (m,)
        Estimated IoU.
    best : int
        Which one is shown first.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    best: int

    @property
    def shown(self) -> Mask:
        """The mask that is shown first."""
        return np.asarray(self.masks[self.best])


def ask(model: PromptModel, embedding: Embedding, prompts: list[PromptSet]) -> list[Answer]:
    """Return a model's candidates as the product shows them for one tile.

    As in :class:`napari_ditto.engine.predict.Predictor`: prompts are translated to those that the
    model reads, all that was said goes into one set, and pieces under a negative click are taken
    out. There is no growth over the tile's edge.
    """
    checked = [check_prompts(p, embedding.tile_shape) for p in prompts]
    decoded = model.decode(embedding, [translate(p, model.spec.capabilities) for p in checked])
    return [
        Answer(
            np.stack([_without_denied(logits > 0, said) for logits in decoded.logits[i]]),
            decoded.scores[i],
            int(decoded.best[i]),
        )
        for i, said in enumerate(checked)
    ]


def _without_denied(mask: Mask, said: PromptSet) -> Mask:
    return drop_denied(mask, pixels(said, positive=False), pixels(said, positive=True))


def measure(case: Case, model: PromptModel, embedding: Embedding, cap: int = 20) -> Iterator[Row]:
    """Yield a row per prompt for one object.

    Parameters
    ----------
    case : Case
        The object.
    model : PromptModel
        Whom to ask.
    embedding : Embedding
        Of the case's tile.
    cap : int
        Most clicks; below 5 the later corrections are left out.
    """
    answers = ask(model, embedding, [case.prompts[name] for name in FIRST])
    for name, answer in zip(FIRST, answers, strict=True):
        yield score(case, model, name, answer)
    rows = list(correct(case, model, embedding, answers[FIRST.index("centre")], cap))
    for count in CORRECTED:
        if count <= cap:
            yield replace(rows[min(count, len(rows)) - 1], prompt=f"clicks_{count}", clicks=count)
    for goal in GOALS:
        yield clicks_needed(rows, goal, cap)


def correct(
    case: Case, model: PromptModel, embedding: Embedding, first: Answer, cap: int
) -> Iterator[Row]:
    """Yield a row after each click, until nothing is wrong, all goals are met, or at the cap."""
    clicks: list[PointPrompt] = list(case.prompts["centre"].points)
    answer = first
    for count in range(1, cap + 1):
        row = replace(score(case, model, "", answer), clicks=count)
        yield row
        more = next_click(answer.shown, case.truth, clicks)
        done = row.iou >= max(GOALS) and count >= max(CORRECTED)
        if more is None or done or count == cap:
            return
        clicks.append(more)
        (answer,) = ask(model, embedding, [PromptSet(tuple(clicks))])


def clicks_needed(rows: list[Row], goal: float, cap: int) -> Row:
    """Return the row at which an IoU was first reached, or the last one, marked as failed."""
    name = f"noc_{goal * 100:.0f}"
    for row in rows:
        if row.iou >= goal:
            return replace(row, prompt=name, reached=True)
    return replace(rows[-1], prompt=name, reached=False, clicks=cap)


def score(case: Case, model: PromptModel, prompt: str, answer: Answer) -> Row:
    """Return the row of one answer."""
    ious = tuple(iou(mask, case.truth) for mask in answer.masks)
    return Row(
        case.group,
        case.picture,
        case.number,
        case.diameter,
        model.spec.id,
        prompt,
        ious[answer.best],
        float(answer.scores[answer.best]),
        max(ious),
        prompt == "click" and is_ambiguous(case, answer),
        1,
        True,
        ious,
        tuple(float(s) for s in answer.scores),
    )


def is_ambiguous(case: Case, answer: Answer) -> bool:
    """Whether the object is nested in another, or the candidates are of different objects."""
    pairs = [iou(a, b) for a, b in combinations(answer.masks, 2)]
    return case.nested or bool(pairs and np.mean(pairs) < AGREEMENT)
