"""Labels carried along an axis where planes are too large to be followed as one.

The planes are cut into columns (:mod:`.columns`), each followed on its own by any executor. What
becomes of each is kept in the folder of the labels, so a run that was killed goes on, and one with
other examples does only those columns again in which they differ. At the end all are painted,
plane by plane, in a fixed order: the labels do not depend on who did what when.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ditto.core.control import Control
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt, Gate
from napari_ditto.data.column_folder import ColumnFolder, Finished, PartLost
from napari_ditto.data.protocols import LabelDelta, Source
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.engine.propagate import PATIENCE, Plane, PropagationResult, Within
from napari_ditto.engine.propagation_input import Examples
from napari_ditto.engine.whole import columns
from napari_ditto.engine.whole.columns_plan import ColumnPlan
from napari_ditto.engine.whole.columns_planning import plan_columns_steps
from napari_ditto.engine.whole.columns_worker import ColumnWorker, MakeStepper
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.launch import executor_for
from napari_ditto.engine.whole.opening import Model, model_ref
from napari_ditto.engine.whole.run import time_left
from napari_ditto.engine.whole.work import Executor, Failure, RunSummary, TileDone, check_whole

LARGEST_PLANE = 1 << 26
"""Pixels of a plane that is followed as one."""

ROUNDS = 3
"""How often a run begins again because a finished column turns out to be damaged."""


@dataclass(frozen=True, eq=False)
class ColumnsResult:
    """What a propagation in columns has come to.

    Attributes
    ----------
    found : PropagationResult
        Of the columns that are done.
    summary : RunSummary
        Its tiles are the columns.
    """

    found: PropagationResult
    summary: RunSummary


def run_columns_steps(
    plan: ColumnPlan,
    source: Source,
    model: Model | None = None,
    *,
    executor: Executor | None = None,
    control: Control | None = None,
    make_stepper: MakeStepper | None = None,
) -> Generator[Progress, None, ColumnsResult]:
    """Do what is not done yet of a plan.

    Yields
    ------
    Progress
        Of the stage "tiles" while columns are followed, with a :class:`~.work.TileDone` as partial
        result for each that is finished; then "paint".

    Raises
    ------
    JobCancelled
        If the control says so; what is finished is kept.
    StoreError
        If the disk refuses.
    """
    folder = ColumnFolder(Path(plan.target))
    worker = ColumnWorker(plan, folder, source, model, make_stepper)
    with folder.lock():
        return (yield from _run(worker, executor or ThreadExecutor(), control or Control()))


def _run(
    worker: ColumnWorker, executor: Executor, control: Control
) -> Generator[Progress, None, ColumnsResult]:
    plan, folder = worker.plan, worker.folder
    start, target = time.perf_counter(), Path(plan.target)
    labels = PyramidLabels.open(target)
    labels.set_run_state("running")
    redone = 0
    for left in reversed(range(ROUNDS)):
        todo = [c.number for c in plan.columns if folder.finished(plan.keys[c.number]) is None]
        failed = yield from _follow(worker, target, todo, executor, control)
        missing, redone = {f.number for f in failed}, redone + len(todo) - len(failed)
        done = [c for c in plan.columns if c.number not in missing]
        try:
            yield from _paint(plan, folder, labels, done, control)
            break
        except PartLost:
            if not left:
                raise
    labels.set_run_state("incomplete" if failed else "finished")
    found = _result(plan, folder, worker.source, labels, done)
    summary = RunSummary(
        target,
        len(plan.columns),
        redone,
        len(plan.columns) - redone - len(failed),
        0,
        failed,
        len(found.ids),
        time.perf_counter() - start,
        "incomplete" if failed else "finished",
    )
    return ColumnsResult(found, summary)


def propagate_columns_steps(
    source: Source,
    examples: Examples,
    axis: str | Sequence[str],
    model: Model,
    out: Path | str,
    *,
    plane: Plane = None,
    within: Within = None,
    gate: Gate | None = None,
    region: Box | None = None,
    side: int = columns.SIDE,
    halo: int | None = None,
    patience: int = PATIENCE,
    executor: Executor | None = None,
    control: Control | None = None,
) -> Generator[Progress, None, ColumnsResult]:
    """Do what :func:`~napari_ditto.engine.propagate.propagate` does, in planes of any size.

    Arguments as for :func:`plan_columns_steps` and :func:`run_columns_steps`.
    """
    plan = yield from plan_columns_steps(
        source, examples, axis, model_ref(model), out,
        plane=plane, within=within, gate=gate, region=region,
        side=side, halo=halo, patience=patience,
    )  # fmt: skip
    return (yield from run_columns_steps(plan, source, model, executor=executor, control=control))


def is_wanted(source: Source, plane: Plane, out: Path | str) -> bool:
    """Whether planes are followed in columns unasked: they are large, or were before."""
    return is_large(source, plane) or ColumnFolder(Path(out)).has_plan


def is_large(source: Source, plane: Plane) -> bool:
    """Whether planes are too large to be followed as one."""
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    height, width = source.plane_shape(address)
    return height * width > LARGEST_PLANE


def propagate_in_columns(
    source: Source,
    examples: Examples,
    axis: str | Sequence[str],
    model: Model,
    out: Path | str,
    *,
    plane: Plane,
    within: Within,
    gate: Gate | None,
    patience: int,
    region: Box | None,
    workers: int | None,
    dask: object,
) -> PropagationResult:
    """Do all of :func:`propagate_columns_steps`; raises DittoError if parts of it fail."""
    with closing(executor_for(workers, dask)) as executor:
        steps = propagate_columns_steps(
            source, examples, axis, model, out,
            plane=plane, within=within, gate=gate, patience=patience,
            region=region, executor=executor,
        )  # fmt: skip
        return whole_result(drain(steps))


def whole_result(found: ColumnsResult) -> PropagationResult:
    """Return what was found; raises DittoError if parts of it failed."""
    check_whole(found.summary, "parts", "Run again to try them once more; the others are kept")
    return found.found


# --- following ---------------------------------------------------------------------------------


def _follow(
    worker: ColumnWorker, target: Path, todo: Sequence[int], executor: Executor, control: Control
) -> Generator[Progress, None, tuple[Failure, ...]]:
    """Do the columns; return those that were given up."""
    plan, failed, begun = worker.plan, list[Failure](), time.perf_counter()
    total, reused, ended = len(plan.columns), len(plan.columns) - len(todo), 0
    yield Progress("tiles", reused, total, f"{reused} of {total} parts are done")
    for outcome in executor.run(worker, target, "tiles", todo, control):
        partial = None
        if outcome is not None:
            ended += 1
            partial = TileDone(outcome.item, int(outcome.facts.get("objects", 0)))
            if outcome.error is not None:
                column = plan.columns[outcome.item]
                failed.append(Failure(column.number, plan.place(column), str(outcome.error)))
        planes = f", {worker.planes} planes" if worker.planes else ""
        left = time_left(time.perf_counter() - begun, ended, len(todo))
        text = f"part {reused + ended} of {total}{planes}{left}"
        yield Progress("tiles", reused + ended, total, text, partial)
    return tuple(sorted(failed, key=lambda f: f.number))


# --- painting ----------------------------------------------------------------------------------


def _paint(
    plan: ColumnPlan,
    folder: ColumnFolder,
    labels: PyramidLabels,
    done: Sequence[columns.Column],
    control: Control,
) -> Generator[Progress, None, None]:
    """Write every plane; what an earlier plan has painted goes away first."""
    keys = [plan.keys[c.number] for c in done]
    digest = hashlib.sha256(" ".join(keys).encode()).hexdigest()
    pieces: dict[int, list[str]] = {}
    for key in keys:
        for plane in _finished(folder, key).planes:
            pieces.setdefault(plane, []).append(key)
    labels.reserve(max((n for c in done for n in c.ids), default=0))
    for plane, index in enumerate(plan.indices):
        yield Progress("paint", plane, len(plan.indices), f"plane {plane + 1} painted")
        control.check()
        address = plan.address(index)
        painted = folder.painted(index)
        if painted == ("done", digest):
            continue
        if painted != ("begun", digest):
            _clear(labels, address, plan.plane_shape)
        folder.mark_painted(index, "begun", digest)
        for key in pieces.get(plane, ()):
            piece = folder.piece(key, plane)
            nothing = np.zeros_like(piece.labels)
            highest = int(piece.labels.max())
            labels.apply(LabelDelta(address, piece.box, nothing, piece.labels, highest))
        folder.mark_painted(index, "done", digest)


def _clear(labels: PyramidLabels, address: PlaneAddress, shape: tuple[int, int]) -> None:
    rows = max(1, columns.BAND // shape[1])
    for top in range(0, shape[0], rows):
        box = Box(top, 0, min(top + rows, shape[0]), shape[1])
        old = labels.read(address, box)
        if old.any():
            labels.apply(LabelDelta(address, box, old, np.zeros_like(old), 0))


# --- what came of it ---------------------------------------------------------------------------


def _result(
    plan: ColumnPlan,
    folder: ColumnFolder,
    source: Source,
    labels: PyramidLabels,
    done: Sequence[columns.Column],
) -> PropagationResult:
    ids = sorted(n for c in done for n in c.ids)
    rows = {label: row for row, label in enumerate(ids)}
    sizes = [source.shape[source.axes.index(name)] for name in plan.axes]
    confidence = np.full((len(ids), *sizes), np.nan, dtype=np.float32)
    inside: tuple[slice, ...] = tuple(slice(a, b) for a, b in plan.bounds)
    lengths = [b - a for a, b in plan.bounds]
    doubts: list[Doubt] = []
    for column in done:
        found = _finished(folder, plan.keys[column.number])
        doubts += found.doubts
        for label, values in zip(column.ids, found.confidence, strict=True):
            confidence[rows[label]][inside] = values.reshape(lengths)
    review = sorted(doubts, key=lambda d: (d.confidence, d.address.fixed, d.label))
    return PropagationResult(labels.data, confidence, tuple(ids), tuple(review), plan.axes)


def _finished(folder: ColumnFolder, key: str) -> Finished:
    found = folder.finished(key)
    if found is None:
        raise PartLost(
            "a finished part is gone", where=str(folder.root), todo="Run again: it is done anew"
        )
    return found
