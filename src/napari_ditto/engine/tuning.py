"""Tuning: what a model keeps of the user's examples, optimised on them for about a minute.

The weights of the network stay as they are. How many steps are good is found by cross-validation:
parts of the examples are held out in turn, the rest is tuned in portions, and the number of
portions with the best held-out Dice is done on all examples; none, if none helps.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.progress import Progress
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.data.source import is_source, open_source
from napari_ditto.engine.lessons import LabelledImage, teach_steps
from napari_ditto.engine.recalling import paint_classes
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import UNKNOWN, ContextModel, Example, Memory
from napari_ditto.models.tuned import Tuned

__all__ = ["Tuned", "tune_steps"]

MOST_FOLDS = 4

PORTION, SLOW_PORTION = 10, 4
"""Steps of a model between two looks at the clock; the second for models that ask every example
again at each step."""

MOST_PORTIONS = 8

PATIENCE = 2
"""Portions in a row that may bring nothing before it is given up."""

MARGIN = 0.002
"""Held-out Dice by which tuning must be better to be kept."""

NOT_BETTER = "tuning did not help on held-out parts, so the examples are kept as they are"
NOT_MEASURED = "too little is labelled to hold a part out, so the examples are kept as they are"

Group = list[Example]
"""The tiles of one example."""

Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class Fold:
    """A part of the examples that is held out, and the rest."""

    rest: Group
    held: Group


def tune_steps(
    examples: Sequence[LabelledImage | PlaneExample],
    model: ContextModel,
    *,
    source: Source | None = None,
    instances: bool = False,
    seconds: float = 60.0,
    steps: int | None = None,
    cache: EmbeddingStore | None = None,
    name: str = "",
) -> Generator[Progress, None, Tuned]:
    """Return what a model keeps of examples, fitted to them.

    Parameters
    ----------
    examples : sequence of (image, labels) or PlaneExample
        As for :func:`~napari_ditto.engine.context.segment_like`; those switched off are left out.
    model : ContextModel
    source : Source, optional
        The image that it is meant for, for its pixel size; that of the first example by default.
    instances : bool
        Whether all labels are objects of one kind.
    seconds : float
        How long to optimise, encoding not counted. At least one portion is tried.
    steps : int, optional
        Tries so many steps at most (whole portions) whatever the time they take, so that the
        result depends on the examples alone, and not on their order.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    name : str
        Of the result.

    Returns
    -------
    Tuned
        Never worse on held-out parts than the examples as they are: these are returned if tuning
        does not help, with a note that says so.

    Raises
    ------
    SourceError, LabelsError, ModelError
        If an example does not fit its labels, or nothing is labelled.
    """
    groups = yield from _encode(examples, model, source, instances, cache)
    everything = [tile for group in groups for tile in group]
    yield Progress("merge", 0, 1, "learning from the examples")
    memory = model.remember(everything)
    folds = split(groups)
    known = Tuned(memory, name, math.nan, math.nan, instances, len(groups), NOT_MEASURED)
    if not folds:
        return known
    plan = Plan.of(model, len(folds), seconds, steps)
    scores = yield from _try(model, folds, plan)
    best = int(np.argmax(scores))
    if scores[best] < scores[0] + MARGIN:
        return replace(known, before=scores[0], after=scores[0], note=NOT_BETTER)
    for done in range(best):
        yield Progress("merge", done, best, f"tuning on all examples{plan.left}")
        memory = model.tune(memory, everything, plan.portion)
    return replace(known, memory=memory, before=scores[0], after=scores[best], note="")


@dataclass(frozen=True, eq=False)
class Plan:
    """How much is to be tried.

    Attributes
    ----------
    portion, portions : int
        Steps in a portion, and portions at most.
    trial, end : float
        Seconds of the clock at which trying is over, and all is; infinite without a limit.
    """

    portion: int
    portions: int
    trial: float
    end: float

    @classmethod
    def of(cls, model: ContextModel, folds: int, seconds: float, steps: int | None) -> Plan:
        """Return a plan that leaves time to do on all examples what was best on the folds."""
        portion = SLOW_PORTION if model.spec.per_example else PORTION
        if steps is not None:
            return cls(portion, -(-max(0, steps) // portion), math.inf, math.inf)
        now = time.monotonic()
        return cls(portion, MOST_PORTIONS, now + seconds * folds / (folds + 1), now + seconds)

    @property
    def is_over(self) -> bool:
        """Whether no more is to be tried."""
        return time.monotonic() >= self.trial

    @property
    def left(self) -> str:
        """The time left, for the user; empty without a limit."""
        if math.isinf(self.end):
            return ""
        return f", {max(1, round(self.end - time.monotonic()))} s left"


def _try(
    model: ContextModel, folds: Sequence[Fold], plan: Plan
) -> Generator[Progress, None, list[float]]:
    """Return the held-out Dice after 0, 1, 2, ... portions."""
    memories, scores = [], []
    for fold in folds:
        yield Progress("merge", 0, plan.portions, "measuring on held-out parts")
        memories.append(model.remember(fold.rest))
    scores.append(_score(model, folds, memories))
    for done in range(plan.portions):
        if done and (plan.is_over or _is_idle(scores)):
            break
        text = f"tuning, held-out Dice {max(scores):.3f}{plan.left}"
        for n, fold in enumerate(folds):
            yield Progress("merge", done, plan.portions, text)
            memories[n] = model.tune(memories[n], fold.rest, plan.portion)
        yield Progress("merge", done, plan.portions, "measuring on held-out parts")
        scores.append(_score(model, folds, memories))
    return scores


def _is_idle(scores: Sequence[float]) -> bool:
    return len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE


def _score(model: ContextModel, folds: Sequence[Fold], memories: Sequence[Memory]) -> float:
    """Return the mean Dice of the folds."""
    return float(np.mean([_dice(model, m, f.held) for m, f in zip(memories, folds, strict=True)]))


def _dice(model: ContextModel, memory: Memory, held: Sequence[Example]) -> float:
    """Return the mean Dice of the classes shown in what was held out, where it is known."""
    pairs = []
    for example in held:
        found, _ = paint_classes(
            model.recall(example.embedding, memory).probability, memory.classes
        )
        known = example.labels != UNKNOWN
        pairs.append((found[known].astype(np.int64), example.labels[known]))
    found, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
    shown = [c for c in np.unique(true) if c > 0]
    both = [((found == c) & (true == c)).sum() for c in shown]
    each = [(found == c).sum() + (true == c).sum() for c in shown]
    return float(np.mean(2 * np.array(both) / np.array(each)))


# --- what is held out --------------------------------------------------------------------------


def split(groups: Sequence[Group]) -> list[Fold]:
    """Return what is held out in turn: examples, tiles of the only one, or halves of its tile.

    Only what shows objects is held out; examples of what is not meant are always known. Empty if
    nothing can be held out.
    """
    shown = [group for group in groups if _shows(group)]
    other = [tile for group in groups if not _shows(group) for tile in group]
    if len(shown) == 1:
        tiles = shown[0]
        shown = [[tile] for tile in tiles if _shows([tile])]
        other += [tile for tile in tiles if not _shows([tile])]
    if len(shown) == 1:
        shown = _halves(shown[0][0])
    if len(shown) < 2 or not all(_shows(part) for part in shown):
        return []
    count = min(MOST_FOLDS, len(shown))
    parts = [[t for group in shown[n::count] for t in group] for n in range(count)]
    rests = [[t for p in parts if p is not part for t in p] + other for part in parts]
    return [Fold(rest, part) for rest, part in zip(rests, parts, strict=True)]


def _shows(group: Sequence[Example]) -> bool:
    return any((example.labels > 0).any() for example in group)


def _halves(example: Example) -> list[Group]:
    """Return an example twice, either half of its objects unknown, cut across their extent."""
    at = np.argwhere(example.labels > 0)
    axis = int(np.argmax(np.ptp(at, axis=0)))
    middle = int(np.median(at[:, axis]))
    first = np.arange(example.labels.shape[axis]) <= middle
    first = first[:, None] if axis == 0 else first[None]
    return [[_only(example, first)], [_only(example, ~first)]]


def _only(example: Example, kept: NDArray[np.bool_]) -> Example:
    return replace(example, labels=np.where(kept, example.labels, UNKNOWN))


# --- what is given -----------------------------------------------------------------------------


def _encode(
    examples: Sequence[LabelledImage | PlaneExample],
    model: ContextModel,
    source: Source | None,
    instances: bool,
    cache: EmbeddingStore | None,
) -> Generator[Progress, None, list[Group]]:
    """Return the tiles of each example, as they are with equal weights."""
    used = [e for e in examples if not isinstance(e, PlaneExample) or e.enabled]
    if not used:
        raise ModelError("there is no example", todo="Add one, or switch one on")
    target = source or _image_of(used[0])
    groups = []
    for example in used:
        tiles = yield from teach_steps(
            target, [example], model, instances=instances, weighted=False, cache=cache
        )
        groups.append(tiles)
    return sorted(groups, key=_digest)


def _digest(group: Group) -> str:
    """Return what sorts examples whatever their order was."""
    state = hashlib.sha256()
    for example in group:
        arrays = example.embedding.arrays
        for array in (example.labels, *(arrays[name] for name in sorted(arrays))):
            state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def _image_of(example: LabelledImage | PlaneExample) -> Source:
    if isinstance(example, PlaneExample):
        return example.source
    image, labels = example
    if is_source(image):
        return image
    pixels = np.asarray(image)
    return open_source(pixels, axes="yxc" if pixels.ndim == labels.ndim + 1 else "yx")
