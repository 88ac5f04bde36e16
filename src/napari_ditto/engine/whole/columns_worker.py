"""Follows the objects of one column through all planes, and keeps what became of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.masks import bounding_box
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt, PlaneDone
from napari_ditto.data.chunk_cache import buffered
from napari_ditto.data.column_folder import ColumnFolder, Finished, Piece
from napari_ditto.data.cropped import cropped
from napari_ditto.data.protocols import Source
from napari_ditto.engine.propagate import propagate_steps
from napari_ditto.engine.stepping import Stepper
from napari_ditto.engine.whole.columns import Column, leaves
from napari_ditto.engine.whole.columns_plan import ColumnPlan, digest_of
from napari_ditto.engine.whole.opening import LastOne, Model, open_model, open_source
from napari_ditto.engine.whole.work import Facts, WorkStage
from napari_ditto.errors import StoreError

MakeStepper = Callable[[Source], Stepper]

CHUNK_BYTES = 256 << 20
"""Decoded chunks of the image that are kept for the next piece."""

LEFT = "leaves the part of the plane in which it was followed"


@dataclass(eq=False)
class ColumnWorker:
    """A :class:`~.work.Worker` whose items of the stage "tiles" are columns.

    Parameters
    ----------
    plan : ColumnPlan
        What is done.
    folder : ColumnFolder
        Where it is kept.
    source : Source
        The image.
    model : PromptModel or ContextModel, optional
        What finds the objects.
    make_stepper : callable, optional
        Returns what finds the objects in a part of the image, in place of a model.
    """

    plan: ColumnPlan
    folder: ColumnFolder
    source: Source
    model: Model | None = None
    make_stepper: MakeStepper | None = None
    planes: int = field(default=0, init=False)
    """How many planes this process has done so far, of any column."""

    @cached_property
    def _chunks(self) -> Source:
        """The image; a step reads pieces of two planes in turn."""
        return buffered(self.source, CHUNK_BYTES)

    @property
    def opener(self) -> Callable[[str], ColumnWorker]:
        """What another process calls."""
        return column_worker_for

    def prefetch(self, stage: WorkStage, item: int) -> None:
        """Do nothing: planes are read one after the other."""

    def compute(self, stage: WorkStage, item: int) -> Generator[Progress, None, _Sheet]:
        """Follow the objects of one column."""
        plan, column, key = self.plan, self.plan.columns[item], self.plan.keys[item]
        part = cropped(self._chunks, plan.base, column.window)
        kept = list(self.folder.examples(plan.examples, column.window))
        if digest_of(kept) != plan.digests[item]:
            raise StoreError(
                "the examples that were kept are damaged", todo="Start again with the examples"
            )
        steps = propagate_steps(
            part,
            dict(zip(plan.anchors, kept, strict=True)),
            plan.axes,
            self.model,
            plane=plan.base,
            within=plan.within,
            gate=plan.gate,
            patience=plan.patience,
            stepper=self.make_stepper(part) if self.make_stepper else None,
            steps=self.folder.steps(key),
            collect=False,
        )
        sheet = _Sheet(self.folder, plan, column, key)
        for progress in steps:
            if isinstance(progress.partial, PlaneDone):
                sheet.add(progress.partial)
                self.planes += 1
            yield progress
        return sheet


class _Sheet:
    """What has been found so far of a column's own objects: a :class:`~.work.Done`."""

    def __init__(self, folder: ColumnFolder, plan: ColumnPlan, column: Column, key: str) -> None:
        self._folder, self._plan, self._column, self._key = folder, plan, column, key
        self._rows = {label: row for row, label in enumerate(column.ids)}
        self._position = {index: n for n, index in enumerate(plan.indices)}
        self._confidence = np.full((len(column.ids), len(plan.indices)), np.nan, dtype=np.float32)
        self._doubts: list[Doubt] = []
        self._planes: list[int] = []

    def add(self, done: PlaneDone) -> None:
        """Keep what a plane shows of the column's own objects."""
        plane = self._position[tuple(done.address.index[name] for name in self._plan.axes)]
        for label, value in done.confidence.items():
            if label in self._rows:
                self._confidence[self._rows[label], plane] = value
        own = self._own(done.labels)
        left = leaves(own, self._column.window, self._plan.plane_shape)
        self._doubts += [_told(d, left) for d in done.doubts if d.label in self._rows]
        known = {d.label for d in done.doubts}
        self._doubts += [
            Doubt(done.address, n, done.confidence.get(n, 0.0), (LEFT,))
            for n in left
            if n not in known
        ]
        if own.any():
            box = bounding_box(own > 0)
            placed = box.shift(self._column.window.y0, self._column.window.x0)
            self._folder.put_piece(self._key, plane, Piece(placed, own[box.slices]))
            self._planes.append(plane)

    def store(self) -> Facts:
        """Say that the column is done."""
        planes = tuple(sorted(self._planes))
        self._folder.finish(self._key, Finished(planes, self._confidence, tuple(self._doubts)))
        return {"objects": len(self._column.ids), "doubts": len(self._doubts)}

    def _own(self, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        mine = np.isin(labels, np.array(self._column.ids, dtype=np.uint32))
        return np.where(mine, labels, np.uint32(0))


def _told(doubt: Doubt, left: list[int]) -> Doubt:
    """Return a doubt, with one more reason if its object leaves the window."""
    if doubt.label not in left:
        return doubt
    return Doubt(doubt.address, doubt.label, doubt.confidence, (*doubt.reasons, LEFT))


_LAST = LastOne[ColumnWorker]()


def column_worker_for(target: str) -> ColumnWorker:
    """Return this process's worker for the propagation at `target`; the model is loaded once.

    Raises
    ------
    SourceError, ModelError, StoreError
        If image, model or plan cannot be opened.
    """
    folder = ColumnFolder(Path(target))
    plan = open_column_plan(Path(target))

    def opened() -> ColumnWorker:
        return ColumnWorker(plan, folder, open_source(plan.source), open_model(plan.model))

    return _LAST.get(target, plan.digest, opened)


def open_column_plan(target: Path) -> ColumnPlan:
    """Return the plan of the propagation at a target; raises StoreError if there is none."""
    told = ColumnFolder(target).read_plan()
    if told is None:
        raise StoreError("there is no propagation in parts", where=str(target))
    return ColumnPlan.from_json(told)
