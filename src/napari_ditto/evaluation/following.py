"""Labels carried through a stack or a movie, scored object by object and plane by plane.

The baseline *copy* repeats the labels of the nearest given plane unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.engine.propagate import propagate
from napari_ditto.engine.stepping import Stepper
from napari_ditto.evaluation.following_sets import FollowCase, FollowSet, follow_cases
from napari_ditto.evaluation.metrics import boundary_f
from napari_ditto.models.protocols import ContextModel, PromptModel

COPY = "copy"
CACHE_BYTES = 3 << 30
NOTHING = float("nan")


@dataclass(frozen=True, slots=True)
class FollowRow:
    """One object in one plane, carried there by one model.

    Attributes
    ----------
    group, image, model : str
        Set; stack, patient or sequence; model.
    draw : str
        Part of the image, and the given planes.
    label, plane : int
        Object, and where it is asked.
    distance : int
        Planes to the nearest given one that shows the object.
    true_area, found_area : int
        Pixels; either may be 0.
    iou, dice : float
        nan where the object is not there in truth.
    contour : float
        F-measure of the contour (DAVIS); nan where it is not asked for.
    confidence : float
        What the model says of it; nan if nothing.
    """

    group: str
    image: str
    model: str
    draw: str
    label: int
    plane: int
    distance: int
    true_area: int
    found_area: int
    iou: float
    dice: float
    contour: float
    confidence: float

    @property
    def present(self) -> bool:
        """Whether the object is there in truth."""
        return self.true_area > 0


@dataclass(frozen=True, eq=False)
class Followed:
    """What a model has made of a case.

    Attributes
    ----------
    labels : ndarray of int, shape (n, h, w)
        Ids as in the given planes.
    confidence : mapping of (label, plane) to float
        Where there is one.
    """

    labels: NDArray[np.integer]
    confidence: Mapping[tuple[int, int], float]


def measure_follow(
    given: FollowSet,
    model: PromptModel | ContextModel | None,
    objects: int = 60,
    images: int = 10,
    seed: int = 0,
) -> Iterator[FollowRow]:
    """Yield the rows of one model on one set; None is the baseline *copy*.

    Embeddings are kept in memory, so draws on one stack share them.
    """
    cache = EmbeddingCache(CACHE_BYTES, directory=None)
    for case in follow_cases(given, objects, images, seed):
        found = copied(case) if model is None else followed(case, model, cache)
        name = COPY if model is None else model.spec.id
        yield from score(case, found, name)


def followed(
    case: FollowCase,
    model: PromptModel | ContextModel | None,
    cache: EmbeddingCache | None = None,
    stepper: Stepper | None = None,
) -> Followed:
    """Return what :func:`napari_ditto.propagate` makes of a case."""
    result = propagate(
        case.source,
        case.examples,
        case.given.axis,
        model,
        within=case.within,
        cache=cache,
        stepper=stepper,
    )
    said = {
        (label, plane): float(value)
        for label, line in zip(result.ids, result.confidence, strict=True)
        for plane, value in enumerate(line)
        if not np.isnan(value)
    }
    return Followed(np.asarray(result.labels), said)


def copied(case: FollowCase) -> Followed:
    """Return the labels of the nearest given plane on every plane."""
    labels = np.zeros(case.stack.truth.shape, np.uint32)
    for k in range(*case.within):
        nearest = case.nearest(k)
        if nearest is not None:
            labels[k] = case.examples[nearest]
    return Followed(labels, {})


def score(case: FollowCase, found: Followed, model: str) -> Iterator[FollowRow]:
    """Yield a row for each followed object on each asked plane."""
    for plane in case.asked:
        truth, said = case.stack.truth[plane], found.labels[plane]
        shared, true_areas, found_areas = overlaps(truth, said, case.ids)
        for i, label in enumerate(case.ids):
            nearest = case.nearest(plane, label)
            a, b, both = int(true_areas[i]), int(found_areas[i]), int(shared[i])
            yield FollowRow(
                case.given.name,
                case.stack.image,
                model,
                case.draw,
                label,
                plane,
                abs(plane - nearest) if nearest is not None else 0,
                a,
                b,
                both / (a + b - both) if a else NOTHING,
                2 * both / (a + b) if a else NOTHING,
                boundary_f(said == label, truth == label) if case.given.contours else NOTHING,
                found.confidence.get((label, plane), NOTHING),
            )


def overlaps(
    truth: NDArray[np.integer], found: NDArray[np.integer], ids: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return shared, true and found pixels of each id, each shape (n,)."""
    known = np.array(ids, dtype=np.int64)
    t, f = _numbered(truth, known), _numbered(found, known)
    n = len(ids) + 1
    table = np.bincount(t * n + f, minlength=n * n).reshape(n, n)
    return table.diagonal()[1:], table.sum(axis=1)[1:], table.sum(axis=0)[1:]


def _numbered(labels: NDArray[np.integer], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return places in the sorted `known`, from 1; 0 for all other values."""
    flat = labels.ravel().astype(np.int64)
    place = np.minimum(np.searchsorted(known, flat), len(known) - 1)
    return np.where(known[place] == flat, place + 1, 0)
