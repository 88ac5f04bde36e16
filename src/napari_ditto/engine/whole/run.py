"""A whole-image run from its plan to its result; it can be killed at any moment and gone on with.

All that is known lies in the target: a record for each finished item, under a key made of what it
was made from. What is there under the right key is not done again; what is damaged is.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_ditto import __version__
from napari_ditto.core.control import Control
from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import Plan
from napari_ditto.data.protocols import Source
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.resumable import fresh_labels
from napari_ditto.data.run_folder import RunFolder
from napari_ditto.engine.lessons import Lesson
from napari_ditto.engine.whole import painting, stacks
from napari_ditto.engine.whole.context import RunContext, TileLost, key_of, place_text
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.merging import after, group_steps, pairs_key, rename_rows
from napari_ditto.engine.whole.opening import Model
from napari_ditto.engine.whole.preview import Preview
from napari_ditto.engine.whole.segmenter import pack_lesson
from napari_ditto.engine.whole.work import (
    Executor,
    Failure,
    Outcome,
    RunSummary,
    TileDone,
    WorkStage,
)
from napari_ditto.engine.whole.worker import keys_number, make_worker
from napari_ditto.errors import LabelsError

ROUNDS = 3
"""How often a run begins again because a finished tile turns out to be damaged."""

HOPELESS = 8
"""A run whose first so many tiles all fail is given up."""


def create_run(plan: Plan, lesson: Lesson | None = None) -> RunFolder:
    """Make the target with empty labels and the plan inside; it is there whole or not at all.

    Raises
    ------
    LabelsError
        If there is something at the target already.
    StoreError
        If the disk refuses.
    """
    target = Path(plan.target)
    if target.exists():
        raise LabelsError(
            "there is something already", where=str(target), todo="Choose another name"
        )
    made = {"program": f"napari-ditto {__version__}", **plan.model.provenance}
    made |= {"image": plan.source.name, "task": plan.task.kind, "plan": plan.digest}
    with fresh_labels(target) as scratch:
        labels = PyramidLabels.create(
            scratch, plan.shape, plan.axes, dtype=plan.dtype, ngff=plan.ngff,
            scale=plan.scale, provenance=made, register=False,
        )  # fmt: skip
        labels.set_run_state("running")
        folder = RunFolder.create(scratch, plan.to_json())
        if lesson is not None:
            head, arrays = pack_lesson(lesson)
            folder.put("memory", 0, plan.task.settings["memory"], head, arrays)
    return RunFolder.open(target)


def open_plan(target: Path | str) -> Plan:
    """Return the plan of the run at a target.

    Raises
    ------
    LabelsError, StoreError
        If there is no run, or its plan is damaged.
    """
    return Plan.from_json(RunFolder.open(Path(target)).plan)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is.

    Attributes
    ----------
    plan : Plan
        What is to be done.
    done : int
        Finished tiles.
    failed : tuple of Failure
        Tiles that were given up.
    state : "running", "finished" or "incomplete"
        The first also for a run that was stopped.
    edited : bool
        Whether its labels were corrected since it ended.
    """

    plan: Plan
    done: int
    failed: tuple[Failure, ...]
    state: Literal["running", "finished", "incomplete"]
    edited: bool


def run_status(target: Path | str) -> RunStatus:
    """Return how far the run at a target is; no model is loaded."""
    folder = RunFolder.open(Path(target))
    plan = Plan.from_json(folder.plan)
    labels = PyramidLabels.open(Path(target))
    done = folder.finished("tiles", plan.digest)
    state = labels.run_state or "running"
    return RunStatus(plan, len(done), _failures(folder), state, labels.is_edited)


def run_steps(
    plan: Plan,
    *,
    source: Source | None = None,
    model: Model | None = None,
    lesson: Lesson | None = None,
    executor: Executor | None = None,
    control: Control | None = None,
    preview: bool = False,
) -> Generator[Progress, None, RunSummary]:
    """Do all of a plan that is not done yet.

    Parameters
    ----------
    plan : Plan
        From :func:`~napari_ditto.engine.whole.planning.make_plan`, or of a run that was begun.
    source, model : Source and model, optional
        As planned; opened and loaded by the plan if not given. Other processes always do that.
    lesson : Lesson, optional
        What the examples have taught, for a new run of the task "like".
    executor : Executor, optional
        Who works; one thread of this process by default.
    control : Control, optional
        Pause and cancel from other threads. Closing the generator cancels too.
    preview : bool
        Whether to paint finished tiles into the target at once, under ids for the time being.

    Yields
    ------
    Progress
        Of the stages "tiles", "pairs", "merge", "join", "paint" and "pyramid"; the partial result
        of a finished tile is a :class:`~napari_ditto.engine.whole.work.TileDone`.

    Raises
    ------
    JobCancelled
        If cancelled; what is finished is kept.
    LabelsError
        If the target holds something else, another run, or labels that were corrected by hand.
    SourceError, ModelError
        If image or model are not the plan's, or nothing works at all.
    StoreError
        If the disk refuses, or another process is at it.
    """
    target = Path(plan.target)
    folder = RunFolder.open(target) if target.exists() else create_run(plan, lesson)
    if Plan.from_json(folder.plan).digest != plan.digest:
        raise LabelsError(
            "there is a run with other settings already",
            where=str(target),
            todo="Resume it with its own, or choose another name",
        )
    with folder.lock():
        folder.sweep()
        worker = make_worker(plan, folder, source, model)
        job = _Run(worker.run, worker, executor or ThreadExecutor(), control or Control())
        job.preview = Preview(worker.run) if preview else None
        return (yield from job.steps())


@dataclass(eq=False)
class _Run:
    """One go at a plan."""

    run: RunContext
    worker: Any
    executor: Executor
    control: Control
    preview: Preview | None = None
    begun: float = field(default_factory=time.perf_counter)
    failed: list[Failure] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)
    facts: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    redone: int = 0

    def steps(self) -> Generator[Progress, None, RunSummary]:
        labels = self.run.labels
        if labels.is_edited:
            raise LabelsError(
                "the labels were corrected by hand since the run has ended",
                where=str(labels.path),
                todo="Begin a new run under another name",
            )
        labels.set_run_state("running")
        for left in reversed(range(ROUNDS)):
            try:
                count = yield from self._round()
                break
            except TileLost:
                if not left:
                    raise
                self.run.look_again()
        labels.reserve(count)
        state: Literal["finished", "incomplete"] = "incomplete" if self.failed else "finished"
        labels.set_run_state(state)
        done = self.redone
        return RunSummary(
            labels.path,
            self.run.plan.count,
            done,
            len(self.facts) - done,
            sum(bool(f["skipped"]) for f in self.facts.values()),
            tuple(self.failed),
            count,
            time.perf_counter() - self.begun,
            state,
        )

    def _round(self) -> Generator[Progress, None, int]:
        """Go through all stages; return the number of objects."""
        yield from self._tiles()
        self._tell("", "")
        if not self.run.plan.task.instances:
            yield from self._paint()
            return len(self.run.plan.task.settings["classes"])
        yield from self._pairs()
        groups, count = yield from group_steps(self.run, self.digests)
        ids = groups
        if self.run.plan.join != "none":
            self._tell(groups, "")
            ids, count = yield from self._join(groups, count)
        self._tell(groups, ids)
        yield from self._paint()
        return count

    def _tell(self, groups: str, ids: str) -> None:
        """Say to all workers which records count."""
        tiles = key_of(*(f"{n} {d}" for n, d in sorted(self.digests.items())))
        head = {"tiles": tiles, "groups": groups, "ids": ids}
        self.run.folder.put("groups", keys_number(self.run.plan), self.run.plan.digest, head, {})
        self.run.look_again()

    def _tiles(self) -> Generator[Progress, None, None]:
        """Do the tiles that are not done, and note what is known of all."""
        plan, folder = self.run.plan, self.run.folder
        self.failed, self.facts, self.digests = [], {}, {}
        ready = folder.finished("tiles", plan.digest)
        missing = []
        for number in plan.numbers():
            told = folder.told("tiles", number, plan.digest) if number in ready else None
            if told is None:
                missing.append(number)
            else:
                self.facts[number], self.digests[number] = told
        reused = len(self.facts)
        self.run.threads = max(1, self.executor.workers // max(1, len(missing)))
        text = f"{reused} of {plan.count} tiles are done" if reused else "reading…"
        yield Progress("tiles", reused, plan.count, text)
        for outcome in self._outcomes("tiles", missing):
            partial = None if outcome is None else self._note(outcome)
            text = self._text(reused, len(missing))
            yield Progress("tiles", len(self.facts) + len(self.failed), plan.count, text, partial)

    def _note(self, outcome: Outcome) -> TileDone | None:
        """Take down one tile that was done or given up."""
        number, folder = outcome.item, self.run.folder
        if outcome.error is not None:
            place = place_text(self.run.plan.tile(number))
            self.failed.append(Failure(number, place, str(outcome.error)))
            folder.set_failure(number, place, str(outcome.error))
            if len(self.failed) >= min(HOPELESS, self.run.plan.count) and not self.facts:
                raise outcome.error
            return None
        folder.clear_failure(number)
        self.facts[number], self.digests[number] = outcome.facts, outcome.facts["digest"]
        self.redone += 1
        if self.preview:
            self.preview.show(number)
        told = outcome.facts
        return TileDone(number, int(told["objects"]), bool(told["skipped"]))

    def _text(self, reused: int, missing: int) -> str:
        """Return one line on how far the tiles are."""
        done = len(self.facts) - reused + len(self.failed)
        left = time_left(time.perf_counter() - self.begun, done, missing)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"tile {reused + done} of {self.run.plan.count}{failed}{left}"

    def _pairs(self) -> Generator[Progress, None, None]:
        """Match every tile with those after it, where that is not known yet."""
        ready = [
            number
            for number in self.digests
            if self.run.folder.told("pairs", number, self._pairs_key(number)) is None
        ]
        yield from self._all("pairs", ready, "looking at the seams")

    def _pairs_key(self, number: int) -> str:
        return pairs_key(self.digests, number, after(self.run, number))

    def _join(self, groups: str, count: int) -> Generator[Progress, None, tuple[str, int]]:
        """Join the objects of planes; return the key of the final ids, and how many there are."""
        ready = self.run.folder.finished("join", groups)
        items = [i for i in range(stacks.items(self.run)) if i not in ready]
        yield from self._all("join", items, "comparing slices")
        key, ids = yield from stacks.joined_steps(self.run, groups, count)
        rename_rows(self.run, groups, key, ids)
        self.run.look_again()
        return key, int(np.max(ids, initial=0))

    def _paint(self) -> Generator[Progress, None, None]:
        yield from self._all("paint", painting.touched(self.run), "painting labels")
        first = 0
        for base, each in painting.bases(self.run):
            items = [first + item for item in painting.touched(self.run, base)]
            yield from self._all("pyramid", items, "painting the overview")
            first += len(self.run.plan.addresses) * each

    def _all(
        self, stage: WorkStage, items: Iterable[int], text: str
    ) -> Generator[Progress, None, None]:
        """Do all items of a stage in which none may fail."""
        items = list(items)
        done = 0
        yield Progress(stage, 0, len(items), text)
        for outcome in self._outcomes(stage, items):
            if outcome is not None:
                if outcome.error is not None:
                    raise outcome.error
                done += 1
                yield Progress(stage, done, len(items), text)

    def _outcomes(
        self, stage: WorkStage, items: Iterable[int]
    ) -> Generator[Outcome | None, None, None]:
        """Pass on what the executor yields, and end it well."""
        target = Path(self.run.plan.target)
        found = self.executor.run(self.worker, target, stage, items, self.control)
        with closing(found):  # type: ignore[type-var]
            for outcome in found:
                if self.control.cancelled:
                    self.control.check()
                yield outcome


def _failures(folder: RunFolder) -> tuple[Failure, ...]:
    return tuple(Failure(f["number"], f["place"], f["reason"]) for f in folder.failures())


def time_left(seconds: float, done: int, total: int) -> str:
    """Return how long the rest will take, for people; nothing if that is not known."""
    if not done or done >= total:
        return ""
    left = seconds / done * (total - done)
    if left < 90:
        return f", about {max(1, round(left))} s left"
    return f", about {round(left / 60)} min left" if left < 7200 else f", {left / 3600:.1f} h left"
