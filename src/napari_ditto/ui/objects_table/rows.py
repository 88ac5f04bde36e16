"""The rows of the table of objects as plain columns: made anew only where something changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.object_extents import Extents
from napari_ditto.data.object_records import NO_CLASS, ObjectRecord, ObjectTable

Ints = NDArray[np.int64]

COLUMNS = ("id", "class", "area", "score", "slice", "model", "prompts", "by_hand")
"""By their names; the first that a click on a header sorts by is the id."""

_WORDS = ("everything", "like", "follow", "fixed")


def origin(record: ObjectRecord) -> str:
    """Return how an object was found, in a word: digests of prompts say nothing to a user."""
    if not record.prompts:
        return ""
    told = record.prompts in _WORDS or record.prompts.startswith("named ")
    return record.prompts if told else "prompted"


@dataclass(frozen=True, eq=False)
class Places:
    """How large objects are and where, one row each.

    Attributes
    ----------
    axes : tuple of str
        Of the label image.
    ids : ndarray of int64, shape (n,)
        Sorted.
    sizes : ndarray of float64, shape (n,)
        Area or volume, the mean over the time points; NaN where not measured yet.
    low, high : ndarray of int64, shape (n, axes)
        Round the object, half-open.
    first : ndarray of float64, shape (n, axes)
        The centre of the object where it is first seen.
    unit : str
        Of the sizes.
    kind : str
        ``"Area"`` or ``"Volume"``.
    """

    axes: tuple[str, ...]
    ids: Ints
    sizes: NDArray[np.float64]
    low: Ints
    high: Ints
    first: NDArray[np.float64]
    unit: str = ""
    kind: str = "Area"

    @classmethod
    def unmeasured(cls, table: ObjectTable, axes: Sequence[str]) -> Places:
        """Return the objects of a table, of which nothing else is known."""
        ids = np.array(sorted(table.records), dtype=np.int64)
        none = np.zeros((ids.size, len(axes)), dtype=np.int64)
        nan = np.full(ids.size, np.nan)
        return cls(tuple(axes), ids, nan, none, none, none.astype(np.float64))

    @classmethod
    def of(cls, found: Extents, pixel: Callable[[Sequence[int]], tuple[float, str]]) -> Places:
        """Return what a scan has found, objects of several frames joined.

        Parameters
        ----------
        found : Extents
            Of the label image.
        pixel : callable
            Takes axes by number, returns the size of a pixel along them and its unit.
        """
        space = [i for i, name in enumerate(found.axes) if name not in found.frame_axes]
        deep = bool(((found.high - found.low)[:, space[:-2]] > 1).any())
        size, unit = pixel(space if deep else space[-2:])
        ids, first = np.unique(found.ids, return_index=True)
        if not ids.size:
            return replace(cls.unmeasured(ObjectTable(), found.axes), unit=unit)
        frames = np.diff(first, append=found.ids.size)
        return cls(
            found.axes,
            ids,
            np.add.reduceat(found.counts, first) * (size / frames),
            np.minimum.reduceat(found.low, first),
            np.maximum.reduceat(found.high, first),
            found.centroids[first],
            unit,
            "Volume" if deep else "Area",
        )

    def row(self, label: int) -> int:
        """Return the row of an object, -1 if there is none."""
        at = int(np.searchsorted(self.ids, label))
        return at if at < self.ids.size and self.ids[at] == label else -1

    def slices(self, row: int) -> str:
        """Return where an object is on the axes with a slider: ``"z 3-17"``."""
        parts = []
        for axis, name in enumerate(self.axes[:-2]):
            low, last = int(self.low[row, axis]), int(self.high[row, axis]) - 1
            if last >= 0:
                parts.append(f"{name} {low}" if low == last else f"{name} {low}–{last}")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Facts:
    """Columns out of the records, in the order of some ids; what is sorted and filtered by.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Sorted.
    classes : ndarray of int64, shape (n,)
        Class numbers.
    scores : ndarray of float64, shape (n,)
        NaN without one.
    models, origins : ndarray of int64, shape (n,)
        Places in `words`.
    by_hand : ndarray of bool, shape (n,)
    noted : mapping of int to str
        Notes in lower case, of those that have one.
    words : tuple of str
        Names of models and origins.
    """

    ids: Ints
    classes: Ints
    scores: NDArray[np.float64]
    models: Ints
    origins: Ints
    by_hand: NDArray[np.bool_]
    noted: Mapping[int, str] = field(default_factory=dict)
    words: tuple[str, ...] = ("",)

    @classmethod
    def empty(cls, ids: Ints) -> Facts:
        """Return columns of objects of which nothing is known."""
        none = np.zeros(ids.size, dtype=np.int64)
        nan = np.full(ids.size, np.nan)
        return cls(ids, none, nan, none.copy(), none.copy(), none.astype(bool))

    def updated(
        self, ids: Ints, table: ObjectTable, changed: Collection[int] | None = None
    ) -> Facts:
        """Return the columns of other ids; None for `changed` looks at every record."""
        new = Facts.empty(ids)
        if changed is None:
            return new._with(table, table.records)
        _, here, there = np.intersect1d(ids, self.ids, assume_unique=True, return_indices=True)
        for name in ("classes", "scores", "models", "origins", "by_hand"):
            getattr(new, name)[here] = getattr(self, name)[there]
        came = np.setdiff1d(ids, self.ids, assume_unique=True).tolist()
        new = replace(new, noted=self.noted, words=self.words)
        return new._with(table, {*changed, *came})

    def _with(self, table: ObjectTable, labels: Iterable[int]) -> Facts:
        """Fill in what a table says of some objects; those that are not listed are left out."""
        wanted = np.array(sorted(labels), dtype=np.int64)
        wanted = wanted[np.isin(wanted, self.ids)]
        at, known = np.searchsorted(self.ids, wanted), [table.record(i) for i in wanted.tolist()]
        words = {word: i for i, word in enumerate(self.words)}
        self.classes[at] = [r.class_id for r in known]
        self.scores[at] = [np.nan if r.score is None else r.score for r in known]
        self.models[at] = [words.setdefault(r.model_name, len(words)) for r in known]
        self.origins[at] = [words.setdefault(origin(r), len(words)) for r in known]
        self.by_hand[at] = [r.by_hand for r in known]
        noted = {**self.noted, **{r.id: r.note.lower() for r in known if r.note or self.noted}}
        return replace(self, noted=noted, words=tuple(words))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which objects are shown.

    Attributes
    ----------
    text : str
        Words that must all be in the id, class, model, origin or note.
    class_id : int or None
        Only this class, :data:`NO_CLASS` for those without; None for all.
    below : float or None
        Only scores below; objects without a score are left out then.
    """

    text: str = ""
    class_id: int | None = None
    below: float | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """What the table shows.

    Attributes
    ----------
    places : Places
        All objects.
    facts : Facts
        In the same order.
    table : ObjectTable
        Records and classes.
    sort : (str, bool)
        Column, and whether it falls.
    filter : Filter
        Which objects are left out.
    """

    places: Places
    facts: Facts
    table: ObjectTable
    sort: tuple[str, bool] = ("id", False)
    filter: Filter = field(default_factory=Filter)

    def __len__(self) -> int:
        return self.order.size

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Rows of :attr:`places` from the top of the table down."""
        kept: NDArray[np.intp] = np.flatnonzero(self._fits())
        column, falls = self.sort
        keys = self._keys(column)[kept]
        rows: NDArray[np.intp] = kept[np.argsort(keys, kind="stable")]
        if falls:
            # What has no value stays at the bottom.
            known = rows.size - int((keys != keys).sum())
            rows = np.concatenate([rows[:known][::-1], rows[known:]])
        return rows

    @cached_property
    def shown(self) -> Ints:
        """Ids from the top of the table down."""
        return self.places.ids[self.order]

    @cached_property
    def counts(self) -> dict[int, int]:
        """How many objects each class has."""
        ids, counts = np.unique(self.facts.classes, return_counts=True)
        return dict(zip(ids.tolist(), counts.tolist(), strict=True))

    def position(self, label: int) -> int:
        """Return where in the table an object is, -1 if it is not shown."""
        found = np.flatnonzero(self.shown == label)
        return int(found[0]) if found.size else -1

    # --- sorting and filtering -------------------------------------------------------------------

    def _keys(self, column: str) -> NDArray[Any]:
        if column == "class":
            return self._ranks(self.facts.classes, {c.id: c.name for c in self.table.classes})
        if column in ("model", "prompts"):
            values = self.facts.models if column == "model" else self.facts.origins
            return self._ranks(values, dict(enumerate(self.facts.words)))
        if column == "slice":
            return self._slice_ranks()
        keys: dict[str, NDArray[Any]] = {
            "id": self.places.ids,
            "area": self.places.sizes,
            "score": self.facts.scores,
            "by_hand": ~self.facts.by_hand,
        }
        return keys[column]

    def _ranks(self, values: Ints, names: Mapping[int, str]) -> Ints:
        """Return numbers that sort as the names do, what has none last."""
        ordered = sorted({int(v) for v in np.unique(values)}, key=lambda v: _last(names.get(v, "")))
        ranks = np.zeros(max(ordered, default=0) + 1, dtype=np.int64)
        ranks[ordered] = np.arange(len(ordered))
        return ranks[values]

    def _slice_ranks(self) -> Ints:
        order = np.lexsort(self.places.low[:, -3::-1].T) if self.places.low.shape[1] > 2 else None
        ranks = np.arange(self.places.ids.size)
        if order is not None:
            ranks[order] = np.arange(order.size)
        return ranks

    def _fits(self) -> NDArray[np.bool_]:
        facts, wanted = self.facts, self.filter
        fits = np.ones(facts.ids.size, dtype=bool)
        if wanted.class_id is not None:
            fits &= facts.classes == wanted.class_id
        if wanted.below is not None:
            fits &= facts.scores < wanted.below
        for word in wanted.text.lower().split():
            fits &= self._has(word)
        return fits

    def _has(self, word: str) -> NDArray[np.bool_]:
        facts = self.facts
        classes = [c.id for c in self.table.classes if word in c.name.lower()]
        words = [i for i, name in enumerate(facts.words) if word in name.lower()]
        noted = [label for label, note in facts.noted.items() if word in note]
        fits = np.isin(facts.classes, classes) | np.isin(facts.ids, noted)
        fits |= np.isin(facts.models, words) | np.isin(facts.origins, words)
        if word.isdigit():
            fits |= np.char.startswith(facts.ids.astype(str), word)
        if word == "hand":
            fits |= facts.by_hand
        return fits


def _last(name: str) -> tuple[bool, str]:
    return name == "", name.lower()


NO_ROWS = Rows(
    Places.unmeasured(ObjectTable(), "yx"), Facts.empty(np.zeros(0, np.int64)), ObjectTable()
)
assert NO_CLASS == 0  # noqa: S101  # `Facts.empty` counts on it
