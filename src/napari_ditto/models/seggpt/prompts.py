"""Examples as SegGPT keeps them: a bounded number of squares with their labels.

Nothing is learnt from examples beforehand; the network looks at them anew with every query. So the
memory holds the pictures themselves. Ids never matter, only which pixels share one: classes are
numbered by where they first appear, and colours go by that number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import UNKNOWN, Example, Memory
from napari_ditto.models.ridge import read_classes
from napari_ditto.models.seggpt.square import Square, known_part

Ranks = tuple[int, ...]
"""Classes by their number in the squares, from 1."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One example on a square.

    Attributes
    ----------
    image : ndarray of uint8, shape (size, size, 3)
        0 to 255.
    labels : ndarray of int64, shape (size, size)
        As given; unknown pixels are background.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int64]
    weight: float = 1.0

    @cached_property
    def digest(self) -> bytes:
        """Name of the example, the same whatever its ids are."""
        first = np.unique(self.labels, return_index=True, return_inverse=True)[1:]
        pattern = np.argsort(np.argsort(first[0]))[first[1].reshape(self.labels.shape)]
        background = self.labels == 0
        parts = (self.image, pattern.astype(np.int32), background)
        return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).digest()

    @property
    def balance(self) -> float:
        """How evenly it shows things and background, greatest for half and half."""
        share = float((self.labels > 0).mean())
        return share * (1 - share)


def show(example: Example, square: Square) -> Shown:
    """Return an example on a square.

    SegGPT cannot be told that a pixel is unknown. The smallest box around what is known is shown,
    mirrored outwards; what is unknown inside it is taken for background.
    """
    part = known_part(example.labels)
    labels = np.where(example.labels == UNKNOWN, 0, example.labels).astype(np.int64)
    image = np.asarray(square.show(np.asarray(example.embedding.arrays["pixels"]), part), np.uint8)
    return Shown(image, np.asarray(square.show(labels, part), np.int64), example.weight)


@dataclass(frozen=True, eq=False)
class Prompts:
    """What a memory holds.

    Attributes
    ----------
    images : ndarray of uint8 or float16, shape (p, size, size, 3)
        0 to 255; tuned ones are no whole numbers, and may lie outside.
    labels : ndarray of uint16, shape (p, size, size)
        0 is background, ``r`` the class of rank ``r``.
    names : ndarray of uint8, shape (p, 32)
        Which example each is.
    order : ndarray of uint16, shape (c,)
        Place in ``Memory.classes`` of each rank.
    """

    images: NDArray[np.generic]
    labels: NDArray[np.uint16]
    names: NDArray[np.uint8]
    order: NDArray[np.uint16]

    @classmethod
    def of(cls, memory: Memory) -> Prompts:
        """Return the prompts of a memory.

        Raises
        ------
        ModelError
            If its arrays do not fit together.
        """
        names = ("images", "labels", "names", "order")
        arrays = {n: np.asarray(memory.arrays.get(n, np.empty(0))) for n in names}
        found = cls(**arrays)
        classes = len(memory.classes)
        fits = (
            found.labels.ndim == 3
            and found.images.shape == (*found.labels.shape, 3)
            and found.names.shape[:1] == found.labels.shape[:1]
            and np.array_equal(np.sort(found.order), np.arange(classes))
            and {0, *(int(r) for own in found.present for r in own)} == set(range(classes + 1))
        )
        if not fits:
            raise ModelError("the memory is damaged", todo="Make a new memory of the examples")
        return found

    def remembered(self, classes: tuple[int, ...], model: str) -> Memory:
        """Return a memory of these prompts."""
        arrays: dict[str, NDArray[np.generic]] = {
            "images": self.images,
            "labels": self.labels,
            "names": self.names,
            "order": self.order,
        }
        return Memory(arrays, classes, model)

    def showing(self, group: Ranks, limit: int) -> list[int]:
        """Return which prompts to show for some classes."""
        return choose(self.present, group, limit)

    @cached_property
    def present(self) -> list[NDArray[np.uint16]]:
        """The ranks that each prompt shows."""
        return [np.unique(own) for own in self.labels]


def gather(
    examples: Sequence[Example], square: Square, colors: int, limit: int
) -> tuple[Prompts, tuple[int, ...]]:
    """Return prompts of bounded number, and the classes they show.

    Parameters
    ----------
    examples : sequence of Example
        In any order. Those without a label, or of weight 0, are left out: on a black square SegGPT
        learns nothing but to paint black.
    square : Square
        Where they are shown.
    colors : int
        Classes of one pass.
    limit : int
        Most prompts of one pass, the heaviest ones; at least `colors`, so that each class of the
        pass is shown.

    Raises
    ------
    ModelError
        If nothing is labelled, labels do not have their tile's shape, or there are too many
        classes.
    """
    classes = read_classes([e for e in examples if e.weight > 0])
    ordered = _sorted([show(e, square) for e in examples if e.weight > 0 and (e.labels > 0).any()])
    ranked = _ranks(ordered)
    rank_of = np.zeros(len(classes) + 1, np.uint16)
    rank_of[1 + np.searchsorted(classes, ranked)] = np.arange(1, 1 + len(ranked))
    labels = [rank_of[_index(s.labels, classes)] for s in ordered]
    present = [np.unique(own) for own in labels]
    kept = sorted({i for g in groups(len(classes), colors) for i in choose(present, g, limit)})
    prompts = Prompts(
        np.stack([ordered[i].image for i in kept]),
        np.stack([labels[i] for i in kept]),
        np.stack([np.frombuffer(ordered[i].digest, np.uint8) for i in kept]),
        np.searchsorted(classes, ranked).astype(np.uint16),
    )
    return prompts, classes


def groups(classes: int, colors: int) -> list[Ranks]:
    """Return the ranks that are painted together, one tuple for each pass."""
    ranks = np.arange(1, classes + 1)
    return [tuple(part.tolist()) for part in np.array_split(ranks, -(-classes // colors))]


def choose(present: Sequence[NDArray[np.integer]], group: Ranks, limit: int) -> list[int]:
    """Return at most `limit` prompts that show a group: each class once, then the first ones.

    Parameters
    ----------
    present : sequence of ndarray of int
        Ranks that each prompt shows, the most important prompt first.
    """
    useful = [i for i, ranks in enumerate(present) if np.isin(ranks, group).any()]
    chosen: list[int] = []
    for rank in group:
        showing = [i for i in useful if rank in present[i]]
        if showing and not set(showing) & set(chosen):
            chosen.append(showing[0])
    rest = [i for i in useful if i not in chosen]
    return sorted([*chosen, *rest][:limit])


def ranks_of(
    labels: NDArray[np.int64], classes: Sequence[int], prompts: Prompts
) -> NDArray[np.uint16]:
    """Return labels with ids as labels with the ranks of prompts; 0 for ids not in `classes`."""
    rank_of = np.zeros(len(classes) + 1, np.uint16)
    rank_of[1 + prompts.order.astype(np.intp)] = np.arange(1, 1 + len(classes))
    return np.asarray(rank_of[_index(labels, classes)], np.uint16)


def _sorted(shown: Sequence[Shown]) -> list[Shown]:
    """Return each example once, the heaviest first and of these the balanced ones.

    The order in which they are given has no influence.
    """
    found: dict[tuple[bytes, bytes], Shown] = {}
    for own in sorted(shown, key=lambda s: (-s.weight, -s.balance, s.digest, s.labels.tobytes())):
        found.setdefault((own.digest, own.labels.tobytes()), own)
    return list(found.values())


def _ranks(ordered: Sequence[Shown]) -> list[int]:
    """Return class ids in the order in which they appear."""
    ids: dict[int, None] = {}
    for shown in ordered:
        found, first = np.unique(shown.labels, return_index=True)
        ids |= dict.fromkeys(int(i) for i in found[np.argsort(first)] if i)
    return list(ids)


def _index(labels: NDArray[np.int64], classes: Sequence[int]) -> NDArray[np.intp]:
    """Return 0 for the background and other ids, else 1 + the place in sorted `classes`."""
    known = np.asarray(classes)
    place = np.minimum(np.searchsorted(known, labels), len(known) - 1)
    return np.asarray(np.where(known[place] == labels, place + 1, 0), np.intp)
