"""Classes by example: Dice with 1, 2, 4, 8 examples, and controls that must fail.

Images are cut into views of at most 512 pixels, each one tile for the encoder. In each draw half of
the images (of the views, where there is one image) give examples and the other half is asked; the
examples of k = 1 are among those of k = 2, and so on. All models get the same draws.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.tiling import Grid
from napari_ditto.data.source import open_source
from napari_ditto.evaluation.cases import reduced
from napari_ditto.evaluation.metrics import dice
from napari_ditto.evaluation.pixel_baselines import nearest
from napari_ditto.evaluation.reading import Picture, find_pictures
from napari_ditto.evaluation.sets import EvalSet
from napari_ditto.models.protocols import ContextModel, Example, Memory

COUNTS = (1, 2, 4, 8)
DRAWS = 5
CONTROL_COUNT = 4
LEAST_PIXELS = 30
"""A view with fewer labelled pixels is no example and not asked for its Dice."""

EMPTY_PARTS = (2, 3, 4)
"""Windows without target are looked for at these parts of a view's side."""


@dataclass(frozen=True, eq=False)
class View:
    """One tile of a labelled image.

    Attributes
    ----------
    image, name : str
        The image's name, and the view's own.
    tile : ndarray of float32, shape (h, w, 3)
        As the engine gives it to a model.
    labels : ndarray of int, shape (h, w)
        Classes; 0 is background.
    valid : ndarray of bool, shape (h, w)
        False where nothing is known.
    """

    image: str
    name: str
    tile: NDArray[np.float32]
    labels: NDArray[np.int64]
    valid: NDArray[np.bool_]

    @property
    def shown(self) -> int:
        """Labelled pixels."""
        return int(np.count_nonzero(self.labels))


@dataclass(frozen=True, slots=True)
class DiceRow:
    """One query, one draw, one model.

    Attributes
    ----------
    group, image, model : str
        Set, view and model.
    control : str
        Empty, or ``shuffled``, ``inverted``, ``no target``.
    examples, draw : int
        How many examples, and which draw.
    value : float
        Dice, or for ``no target`` the part of the area that was found all the same.
    """

    group: str
    image: str
    model: str
    control: str
    examples: int
    draw: int
    value: float


@dataclass(frozen=True, eq=False)
class Draw:
    """Which views are examples and which are asked."""

    number: int
    examples: tuple[View, ...]
    queries: tuple[View, ...]


def read_views(given: EvalSet) -> list[View]:
    """Return all views of a set, in the order of their images."""
    return [view for picture in find_pictures(given) for view in _cut(given, picture)]


def _cut(given: EvalSet, picture: Picture) -> Iterator[View]:
    pixels, step = picture.read_image(), given.shrink
    h, w = (n // step * step for n in pixels.shape[:2])
    ids = picture.read_mask()[:h:step, :w:step]
    source = open_source(pixels, axes="yxc" if pixels.ndim == 3 else "yx")
    whole = reduced(source.read(source.plane(), Box.of_shape(pixels.shape), 0), step)
    valid = np.ones(ids.shape, bool) if given.ignore is None else ids != given.ignore
    classes = ids != 0 if given.merged else ids if given.target is None else ids == given.target
    labels = np.where(valid, classes, 0)
    for tile in Grid(ids.shape, given.side, 0).covering(Box.of_shape(ids.shape)):
        at = tile.box.slices
        name = f"{picture.name}@{tile.box.y0},{tile.box.x0}"
        yield View(picture.name, name, whole[at], labels[at].astype(np.int64), valid[at])


def draws(given: EvalSet, views: Sequence[View], queries: int, seed: int = 0) -> Iterator[Draw]:
    """Yield the draws of examples and queries; views without a label are left out."""
    labelled = [v for v in views if v.shown >= LEAST_PIXELS]
    single = len({v.image for v in labelled}) < 2
    for number in range(DRAWS):
        rng = np.random.default_rng([seed, zlib.crc32(given.name.encode()), number])
        names = sorted({v.name if single else v.image for v in labelled})
        shuffled = rng.permutation(names).tolist()
        half = set(shuffled[: len(names) // 2])
        order = [labelled[k] for k in rng.permutation(len(labelled))]
        sides = [
            [v for v in order if ((v.name if single else v.image) in half) == asked]
            for asked in (False, True)
        ]
        if all(sides):
            yield Draw(number, tuple(sides[0]), tuple(sides[1][:queries]))


class Bench:
    """A model with the embeddings of the views that it has seen."""

    def __init__(self, model: ContextModel) -> None:
        self.model = model
        self._known: dict[str, Embedding] = {}

    def embed(self, view: View) -> Embedding:
        """Return a view's embedding; it is encoded once."""
        if view.name not in self._known:
            (self._known[view.name],) = self.model.encode(view.tile[None])
        return self._known[view.name]

    def remember(self, views: Sequence[View]) -> Memory:
        """Return the memory of examples."""
        return self.model.remember([Example(self.embed(v), v.labels) for v in views])

    def predict(self, view: View, memory: Memory) -> NDArray[np.int64]:
        """Return the likeliest class of each pixel, as the engine chooses it."""
        chance = self.model.recall(self.embed(view), memory).probability
        background = 1 - chance.sum(axis=0, keepdims=True)
        winner = np.concatenate([background, chance]).argmax(axis=0)
        return np.asarray(np.array([0, *memory.classes], dtype=np.int64)[winner])


def measure_semantic(
    given: EvalSet, model: ContextModel, queries: int = 10, seed: int = 0
) -> Iterator[DiceRow]:
    """Yield the rows of one model on one set."""
    bench, views = Bench(model), read_views(given)
    for draw in draws(given, views, queries, seed):
        blank = DiceRow(given.name, "", model.spec.id, "", 0, draw.number, 0.0)
        for count in COUNTS:
            if count <= len(draw.examples):
                memory = bench.remember(draw.examples[:count])
                yield from _asked(bench, draw.queries, memory, replace(blank, examples=count))
                if count == CONTROL_COUNT:
                    row = replace(blank, examples=count)
                    yield from _controls(bench, draw, memory, row)


def _asked(
    bench: Bench, queries: Sequence[View], memory: Memory, row: DiceRow
) -> Iterator[DiceRow]:
    for view in queries:
        value = mean_dice(bench.predict(view, memory), view)
        yield replace(row, image=view.name, value=value)


def _controls(bench: Bench, draw: Draw, memory: Memory, row: DiceRow) -> Iterator[DiceRow]:
    examples = draw.examples[: row.examples]
    shuffled = bench.remember(with_others_masks(examples))
    yield from _asked(bench, draw.queries, shuffled, replace(row, control="shuffled"))
    inverted = [replace(v, labels=(v.labels == 0).astype(np.int64)) for v in examples]
    if any(v.shown for v in inverted):
        upside = bench.remember(inverted)
        yield from _asked(bench, draw.queries, upside, replace(row, control="inverted"))
    for view in draw.queries:
        empty = without_target(view)
        if empty is not None:
            found = bench.predict(empty, memory)[empty.valid]
            value = float(np.count_nonzero(found) / max(1, found.size))
            yield replace(row, control="no target", image=empty.name, value=value)


def with_others_masks(views: Sequence[View]) -> list[View]:
    """Return every view with the labels of the next one, resized where they differ in shape."""
    moved = [*views[1:], *views[:1]]
    return [
        replace(v, labels=nearest(other.labels, (v.labels.shape[0], v.labels.shape[1])))
        for v, other in zip(views, moved, strict=True)
    ]


def without_target(view: View) -> View | None:
    """Return a window of a view, as large as there is, that shows none of the classes."""
    taken = (view.labels > 0) | ~view.valid
    total = np.pad(taken.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    for part in EMPTY_PARTS:
        h, w = view.labels.shape[0] // part, view.labels.shape[1] // part
        sums = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
        free = np.argwhere(sums == 0)
        if len(free):
            y, x = free[len(free) // 2]
            at = (slice(y, y + h), slice(x, x + w))
            name = f"{view.name}-empty"
            return View(view.image, name, view.tile[at], view.labels[at], view.valid[at])
    return None


def mean_dice(found: NDArray[np.int64], view: View) -> float:
    """Return the mean Dice over the classes that a view shows."""
    true = view.labels[view.valid]
    said = found[view.valid]
    return float(np.mean([dice(said == c, true == c) for c in np.unique(true) if c]))
