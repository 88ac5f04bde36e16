"""Any prompt model with a map of features as a model that learns from examples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.matching.asking import ask, refine
from napari_ditto.models.matching.dense import Dense, Floats, unit
from napari_ditto.models.matching.prototypes import Bank, Cells, Coreset
from napari_ditto.models.matching.similarity import Kernel, calibrate, softmax
from napari_ditto.models.matching.weighing import reweigh
from napari_ditto.models.protocols import UNKNOWN, ContextMap, Example, Memory, PromptModel
from napari_ditto.models.ridge import read_classes

BACKGROUND, OBJECTS = 64, 32
"""Most prototypes of the background and of each class."""

SIDE, FOLDS = 2, 64
"""Cells of a square of so many a side are left out together, and squares in so many turns."""

MOST_CELLS = 1 << 15
"""Cells that are learnt from, of all examples."""

TRUSTS = (0.8, 0.5, 0.0)
"""The decoder's part in a map, the first by default; which one is best is tried on the examples."""

TRIALS = 3
"""Examples on which the decoder is tried."""

MARGIN = 0.02
"""Dice by which another trust must be better: similarity knows its own examples too well."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a memory holds.

    Attributes
    ----------
    middle : ndarray of float32, shape (d,)
        Half way between background and objects; directions are seen from there.
    kernel : Kernel
        Tells classes by direction.
    trust : float
        The decoder's part where it agrees.
    """

    middle: Floats
    kernel: Kernel
    trust: float

    def logits(self, dense: Dense) -> Floats:
        """Return the score of each class at the tile's pixels, shape (1 + c, h, w)."""
        return dense.to_tile(self.kernel.logits(unit(dense.cells - self.middle)))

    def chances(self, dense: Dense) -> Floats:
        """Return the probability of each class but the background, shape (c, h, w)."""
        return softmax(self.logits(dense))[1:]

    def to_memory(self, classes: tuple[int, ...], model: str) -> Memory:
        """Return it as arrays, of a size that goes with the number of classes alone."""
        kernel = self.kernel
        arrays: dict[str, NDArray[np.generic]] = {
            "middle": self.middle,
            "directions": kernel.bank.directions,
            "weights": kernel.bank.weights,
            "bias": kernel.bias,
            "numbers": np.array([kernel.kappa, kernel.slope, self.trust]),
        }
        return Memory(arrays, classes, model)

    @classmethod
    def of(cls, memory: Memory) -> Learnt:
        """Return what a memory holds."""
        a = {n: np.asarray(x, np.float32) for n, x in memory.arrays.items()}
        kappa, slope, trust = (float(v) for v in np.asarray(memory.arrays["numbers"], float))
        bank = Bank(a["directions"], a["weights"], _sizes(memory.classes))
        return cls(a["middle"], Kernel(bank, kappa, slope, a["bias"]), trust)


@dataclass(frozen=True, eq=False)
class Matcher:
    """Learning from examples without training: similar features, then the model's own decoder.

    Parameters
    ----------
    model : PromptModel
        Encodes, and outlines what is prompted.
    dense : callable
        Returns the model's map of features of an embedding.
    """

    model: PromptModel
    dense: Callable[[Embedding], Dense]

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Condense examples into a memory of bounded size; their order does not matter.

        Raises
        ------
        ModelError
            If nothing is labelled, or an example is of another model or shape.
        """
        classes = self._check(examples)
        ordered = sorted(examples, key=_digest)
        middle, coreset = self._condense(ordered, classes)
        learnt = Learnt(middle, calibrate(coreset), 0.0)
        return self._trusting(learnt, ordered, classes).to_memory(classes, self.model.spec.key)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return the probability of every remembered class at every pixel of a tile."""
        self._own(embedding.model)
        self._own(memory.model)
        learnt = Learnt.of(memory)
        chances = learnt.chances(self.dense(embedding))
        if learnt.trust:
            heard = list(ask(self.model, embedding, chances))
            chances = refine(chances, heard, learnt.trust)
        return ContextMap(chances)

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory that fits the examples better, or the same one if none is found.

        Only examples that show background and every class can tell, so with others it stays.

        Raises
        ------
        ModelError
            If the memory or an example is of another model, or shows a class it does not know.
        """
        self._own(memory.model)
        if unknown := set(self._check(examples)) - set(memory.classes):
            raise ModelError(
                f"Label values {sorted(unknown)} are not among the classes {memory.classes} "
                "of this memory",
                todo="Make a new memory of all examples",
            )
        ordered = sorted(examples, key=_digest)
        middle, coreset = self._condense(ordered, memory.classes)
        if not coreset.cells.shares.any(axis=0).all():
            return memory
        learnt = Learnt(middle, reweigh(calibrate(coreset), coreset, steps), 0.0)
        learnt = self._trusting(learnt, ordered, memory.classes)
        tuned = learnt.to_memory(memory.classes, memory.model)
        before, after = (self._worth(m, ordered) for m in (memory, tuned))
        return tuned if after > before else memory

    def _condense(
        self, examples: Sequence[Example], classes: tuple[int, ...]
    ) -> tuple[Floats, Coreset]:
        """Return the point from which directions are seen, and the examples' cells in clusters."""
        cells = _gather(examples, [self.dense(e.embedding) for e in examples], classes)
        middle = _middle(cells)
        moved = replace(cells, features=unit(cells.features - middle))
        return middle, Coreset(moved, _sizes(classes))

    def _trusting(
        self, learnt: Learnt, examples: Sequence[Example], classes: tuple[int, ...]
    ) -> Learnt:
        """Return it with the trust in the decoder that is best on some examples."""
        worth = np.zeros(len(TRUSTS))
        worth[0] = MARGIN
        shown = [e for e in examples if (e.labels > 0).any()][:TRIALS]
        for example in shown:
            chances = learnt.chances(self.dense(example.embedding))
            heard = list(ask(self.model, example.embedding, chances))
            maps = [refine(chances, heard, trust) for trust in TRUSTS]
            worth += [dice(m, example.labels, classes) / len(shown) for m in maps]
        return replace(learnt, trust=TRUSTS[int(worth.argmax())])

    def _worth(self, memory: Memory, examples: Sequence[Example]) -> float:
        """Return the mean Dice on examples."""
        found = (
            dice(self.recall(e.embedding, memory).probability, e.labels, memory.classes)
            for e in examples
        )
        return float(np.mean(list(found)))

    def _check(self, examples: Sequence[Example]) -> tuple[int, ...]:
        for example in examples:
            self._own(example.embedding.model)
        return read_classes(examples)

    def _own(self, key: str) -> None:
        if key != self.model.spec.key:
            raise ModelError(
                f"this was encoded by {key}, not by {self.model.spec.key}",
                todo="Encode the tile again",
            )


def dice(chances: Floats, labels: NDArray[np.integer], classes: tuple[int, ...]) -> float:
    """Return the mean Dice of the classes that are found or shown where labels are known."""
    known = labels != UNKNOWN
    everything = np.concatenate([1 - chances.sum(axis=0, keepdims=True), chances])
    found = np.array((0, *classes))[everything.argmax(axis=0)][known]
    true = labels[known]
    present = np.union1d(found, true)
    scores = [
        2 * ((found == c) & (true == c)).sum() / ((found == c).sum() + (true == c).sum())
        for c in present[present > 0]
    ]
    return float(np.mean(scores)) if scores else 1.0


def _sizes(classes: tuple[int, ...]) -> tuple[int, ...]:
    return (BACKGROUND, *(OBJECTS for _ in classes))


def _gather(examples: Sequence[Example], found: Sequence[Dense], classes: tuple[int, ...]) -> Cells:
    """Return the labelled cells of all examples, evenly thinned out where there are too many."""
    features, shares, groups = [], [], []
    for number, (example, dense) in enumerate(zip(examples, found, strict=True)):
        share = np.zeros((len(dense.cells), 1 + len(classes)), np.float32)
        for c in np.intersect1d((0, *classes), example.labels).tolist():
            share[:, 1 + classes.index(c) if c else 0] = dense.coverage(example.labels == c)
        kept = _thinned(share, MOST_CELLS // len(examples))
        row, column = np.divmod(kept, dense.shape[1])
        features.append(dense.cells[kept])
        shares.append(share[kept] * np.float32(example.weight))
        groups.append((number << 32) + (row // SIDE << 16) + column // SIDE)
    squares = np.unique(np.concatenate(groups), return_inverse=True)[1]
    return Cells(np.concatenate(features), np.concatenate(shares), squares % FOLDS)


def _thinned(shares: Floats, limit: int) -> NDArray[np.intp]:
    """Return which cells to learn from, each class getting its part of the limit."""
    lists = [np.flatnonzero(s > 0) for s in shares.T]
    each = max(1, limit // max(1, sum(1 for x in lists if len(x))))
    return np.unique(np.concatenate([x[:: max(1, -(-len(x) // each))] for x in lists]))


def _middle(cells: Cells) -> Floats:
    """Return the point half way from background to objects; 0 where only one side is known."""
    mass = cells.shares.sum(axis=0)
    if not (mass[0] and mass[1:].any()):
        return np.zeros(cells.features.shape[1], np.float32)
    means = (cells.shares.T @ cells.features)[mass > 0] / mass[mass > 0, None]
    return np.asarray((means[0] + means[1:].mean(axis=0)) / 2, np.float32)


def _digest(example: Example) -> str:
    state = hashlib.sha256(repr((example.weight, example.labels.shape)).encode())
    state.update(np.ascontiguousarray(example.labels, np.int64).tobytes())
    for name in sorted(example.embedding.arrays):
        state.update(np.ascontiguousarray(example.embedding.arrays[name]).tobytes())
    return state.hexdigest()
