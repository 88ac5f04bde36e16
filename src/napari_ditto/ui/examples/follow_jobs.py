"""Following as a background job: what the user labelled is an anchor, all else is written.

A plane is the user's if it is in the list of examples, was confirmed in the review, or holds a
followed object and is not as an earlier run of ours left it. Such planes are read and never
written.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import place
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import PlaneDone
from napari_ditto.data.label_edit import among
from napari_ditto.data.protocols import LabelDelta, LabelStore, OverlapPolicy
from napari_ditto.data.steps import MemorySteps
from napari_ditto.errors import LabelsError
from napari_ditto.ui.examples.session import Position
from napari_ditto.ui.history import LabelEdit
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.label_writing import Print, repaint
from napari_ditto.ui.workshop import Workshop

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample

Plane = NDArray[np.integer]


@dataclass(frozen=True)
class Way:
    """The planes to follow.

    Attributes
    ----------
    axes : tuple of str
        The axes walked.
    plane : PlaneAddress
        Any of the planes; its other indices are kept.
    within : mapping of str to (int, int)
        First plane and one past the last, by axis.
    """

    axes: tuple[str, ...]
    plane: PlaneAddress
    within: Mapping[str, tuple[int, int]]

    def position(self, address: PlaneAddress) -> Position | None:
        """Return where a plane is on the way; None if it is not, or shows other axes."""
        index = address.index
        here = {axis: index[axis] for axis in self.axes if axis in index}
        if len(here) < len(self.axes) or address.with_index(self._base) != self.start:
            return None
        inside = all(here[a] in range(*self.within[a]) for a in self.axes)
        return tuple(here[axis] for axis in self.axes) if inside else None

    def address(self, position: Position) -> PlaneAddress:
        """Return the plane at a position."""
        return self.plane.with_index(dict(zip(self.axes, position, strict=True)))

    def positions(self) -> Iterator[Position]:
        """Return all positions in order."""
        return product(*(range(*self.within[axis]) for axis in self.axes))

    def beside(self, address: PlaneAddress) -> Iterator[PlaneAddress]:
        """Yield the neighbours of a plane that are on the way."""
        for axis, step in product(self.axes, (-1, 1)):
            near = address.with_index({axis: address.index[axis] + step})
            if self.position(near) is not None:
                yield near

    @property
    def count(self) -> int:
        """How many planes there are."""
        return math.prod(len(range(*self.within[axis])) for axis in self.axes)

    @property
    def start(self) -> PlaneAddress:
        """The plane at index 0 of all axes walked: what all planes of the way share."""
        return self.plane.with_index(self._base)

    @property
    def _base(self) -> dict[str, int]:
        return dict.fromkeys(self.axes, 0)


@dataclass(eq=False)
class Trail:
    """What following has left in one Labels layer, for the next run; the worker's own.

    Attributes
    ----------
    steps : MemorySteps
        Finished steps, so that a second run does only what has changed.
    prints : dict
        The planes that we wrote, as we left them.
    theirs : set of tuple of int
        The planes that are the user's.
    ids : set of int
        The objects that have been followed.
    """

    steps: MemorySteps = field(default_factory=MemorySteps)
    prints: dict[Position, Print] = field(default_factory=dict)
    theirs: set[Position] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)


@dataclass(frozen=True, eq=False)
class FollowEdit(LabelEdit):
    """All planes of one run, as one step for Undo.

    Attributes
    ----------
    trail : Trail
        Must know which planes are ours again after Undo.
    prints : dict
        The trail's prints on the other side of this step.
    """

    trail: Trail = field(default_factory=Trail)
    prints: dict[Position, Print] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What Undo would take back."""
        return f"{len(self.deltas)} followed planes"

    def revert(self) -> None:
        """Take the writes back."""
        super().revert()
        self._swap()

    def apply(self) -> None:
        """Write again."""
        super().apply()
        self._swap()

    def _swap(self) -> None:
        here = dict(self.trail.prints)
        self.trail.prints.clear()
        self.trail.prints.update(self.prints)
        self.prints.clear()
        self.prints.update(here)


@dataclass(frozen=True, eq=False)
class Followed:
    """A plane that has been followed and written: partial result of the job.

    Attributes
    ----------
    position : tuple of int
        Where on the way.
    done : PlaneDone
        What was found.
    anchor : bool
        Whether it is the user's.
    """

    position: Position
    done: PlaneDone
    anchor: bool


def follow_steps(
    workshop: Workshop,
    setup: Setup,
    store: LabelStore,
    way: Way,
    examples: Sequence[PlaneExample],
    trail: Trail,
    deltas: list[LabelDelta],
    *,
    kinds: Literal["objects", "classes"],
    overlap: OverlapPolicy,
    confirmed: frozenset[Position] = frozenset(),
) -> Generator[Progress, None, int]:
    """Carry the examples' objects along the way, writing each plane as it is done.

    Parameters
    ----------
    deltas : list of LabelDelta
        Every write is added, for Undo: also one that is made while the job is being cancelled.

    Returns
    -------
    int
        How many planes were there from an earlier run.
    """
    from napari_ditto.engine.propagate import propagate_steps

    model = yield from workshop.load(setup.model, setup.device)
    found = yield from _find_anchors(setup, store, way, examples, trail, confirmed)
    trail.ids |= found.ids
    trail.theirs |= found.untouched
    steps = propagate_steps(
        setup.source, found.planes, way.axes, model,
        plane=way.plane, within=way.within, kinds=kinds,
        cache=workshop.embeddings(), steps=trail.steps, collect=False,
    )  # fmt: skip
    reused = 0
    try:
        for progress in steps:
            if isinstance(progress.partial, PlaneDone):
                done, position = progress.partial, way.position(progress.partial.address)
                assert position is not None  # noqa: S101 - the engine walks the way it was given
                reused += done.reused
                if position not in found.untouched:
                    _write(store, done, trail, deltas, overlap)
                shown = store.read(done.address, Box.of_shape(done.labels.shape))
                trail.prints[position] = Print.of(shown, trail.ids)
                yield replace(progress, partial=Followed(position, done, position in found.planes))
            else:
                yield progress
    finally:
        steps.close()
    return reused


def _write(
    store: LabelStore,
    done: PlaneDone,
    trail: Trail,
    deltas: list[LabelDelta],
    overlap: OverlapPolicy,
) -> None:
    delta = repaint(store, done.address, done.labels, trail.ids, overlap)
    if not delta.box.is_empty:
        deltas.append(delta)


@dataclass(frozen=True, eq=False)
class _Anchors:
    """The user's planes.

    Attributes
    ----------
    planes : dict
        Labels by position.
    ids : set of int
        All objects to follow.
    untouched : set of tuple of int
        Planes that are the user's as they are in the store, and are not written.
    """

    planes: dict[Position, Plane]
    ids: set[int]
    untouched: set[Position] = field(default_factory=set)


def _find_anchors(
    setup: Setup,
    store: LabelStore,
    way: Way,
    examples: Sequence[PlaneExample],
    trail: Trail,
    confirmed: frozenset[Position],
) -> Generator[Progress, None, _Anchors]:
    """Return the user's planes with the objects that are to be followed.

    Raises
    ------
    LabelsError
        If no example lies on the way, or there is nothing left to do.
    """
    listed = _listed(setup, way, examples)
    if not listed:
        raise LabelsError(
            "no example lies in the range that is to be followed",
            todo="Add the plane on show as an example, or widen the range",
        )
    ids = trail.ids | {int(n) for labels in listed.values() for n in np.unique(labels)} - {0}
    box = Box.of_shape(setup.source.plane_shape(way.plane))
    # An object that the user has added to a plane of ours is followed from now on, too.
    for position, left in trail.prints.items():
        yield Progress("read", text="looking for planes that you corrected")
        ids |= Print.of(store.read(way.address(position), box), ids).others - left.others
    found, total = _Anchors(dict(listed), ids), 0
    for position in way.positions():
        total += 1
        yield Progress("read", text="looking for planes that you labelled")
        shown = np.asarray(store.read(way.address(position), box))
        before = trail.prints.get(position)
        known = position in trail.theirs or position in confirmed
        if known or _is_theirs(shown, found.ids, before):
            found.planes[position] = np.where(among(shown, found.ids), shown, 0)
            found.untouched.add(position)
    if len(found.planes) == total:
        raise LabelsError(
            "every plane of the range is labelled already",
            todo="Widen the range, or let the result go to a new layer",
        )
    return found


def _listed(setup: Setup, way: Way, examples: Sequence[PlaneExample]) -> dict[Position, Plane]:
    """Return the planes of the list that lie on the way, several examples of one plane joined."""
    shape = setup.source.plane_shape(way.plane)
    found: dict[Position, Plane] = {}
    for example in examples:
        position = way.position(example.address)
        if position is None or example.negative:
            continue
        labels = place(np.maximum(example.labels, 0), example.where, Box.of_shape(shape))
        if example.ids is not None:
            labels = np.where(among(labels, example.ids), labels, 0)
        before = found.get(position)
        found[position] = labels if before is None else np.where(labels > 0, labels, before)
    return found


def _is_theirs(shown: Plane, ids: set[int], before: Print | None) -> bool:
    """Whether a plane shows followed objects that we never wrote, or otherwise than we did."""
    if before is None:
        return bool(among(shown, ids).any())
    return Print.of(shown, ids).digest != before.digest
