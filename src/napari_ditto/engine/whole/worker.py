"""Does single items of a run, in whichever process it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path

from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import Plan
from napari_ditto.core.window import Window
from napari_ditto.data.chunk_cache import buffered, warm
from napari_ditto.data.protocols import Source
from napari_ditto.data.run_folder import RunFolder
from napari_ditto.engine.whole.context import RunContext, Stored
from napari_ditto.engine.whole.merging import pairs_steps
from napari_ditto.engine.whole.opening import LastOne, Model, check_model, open_model, open_source
from napari_ditto.engine.whole.painting import coarsen_steps, paint_steps
from napari_ditto.engine.whole.segmenter import segmenter_for, unpack_lesson
from napari_ditto.engine.whole.stacks import join_item_steps
from napari_ditto.engine.whole.tiles import tile_steps
from napari_ditto.engine.whole.work import WorkStage
from napari_ditto.errors import SourceError, StoreError

CHUNK_BYTES = 64 << 20
"""Decoded chunks of the image that are kept for the next tiles."""


class RunWorker:
    """Does items of one run; see :class:`~napari_ditto.engine.whole.work.Worker`."""

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self._seen: str | None = None
        self._lock = threading.Lock()

    @property
    def opener(self) -> Callable[[str], RunWorker]:
        """What another process calls."""
        return worker_for

    def prefetch(self, stage: WorkStage, item: int) -> None:
        """Read a tile's pixels, whose chunks are then at hand."""
        if stage == "tiles":
            tile = self.run.plan.tile(item)
            warm(self.run.source, tile.address, tile.window)

    def compute(self, stage: WorkStage, item: int) -> Generator[Progress, None, Stored]:
        """Do one item except for storing it."""
        run = self.run
        if stage == "tiles":
            return (yield from tile_steps(run, item))
        groups, ids = self._keys()
        if stage == "pairs":
            return (yield from pairs_steps(run, item))
        if stage == "join":
            return (yield from join_item_steps(run, item, groups))
        if stage == "paint":
            return (yield from paint_steps(run, item, ids))
        return (yield from coarsen_steps(run, item, ids))

    def _keys(self) -> tuple[str, str]:
        """Return the keys of the groups and of the final ids, as the coordinator has said."""
        told = self.run.folder.told("groups", keys_number(self.run.plan), self.run.plan.digest)
        if told is None:
            raise StoreError("the run does not say what is finished", todo="Run it again")
        head = told[0]
        with self._lock:
            if head["tiles"] != self._seen:
                self.run.look_again()
                self._seen = head["tiles"]
        return head["groups"], head["ids"]


def keys_number(plan: Plan) -> int:
    """Return the number of the record that says which records count: after all rows."""
    return plan.grid.rows.count * len(plan.addresses) + 1


def make_worker(
    plan: Plan, folder: RunFolder, source: Source | None = None, model: Model | None = None
) -> RunWorker:
    """Return a worker; image and model are opened as the plan says if they are not given.

    Raises
    ------
    SourceError, ModelError, StoreError
        If they are not those of the plan.
    """
    source, model = source or open_source(plan.source), model or open_model(plan.model)
    check_model(model, plan.model)
    if tuple(source.shape) != plan.shape or tuple(source.axes) != plan.axes:
        raise SourceError(
            f"the image has shape {tuple(source.shape)}, the run is for {plan.shape}",
            where=source.name,
            todo="Give the same image, or begin a new run",
        )
    lesson = None
    if plan.task.kind == "like":
        record = folder.get("memory", 0, plan.task.settings["memory"])
        if record is None:
            raise StoreError(
                "what the examples have taught is damaged", todo="Begin a new run elsewhere"
            )
        lesson = unpack_lesson(plan.task, record.head, record.arrays)
    fixed = source.with_window(Window.from_pairs(plan.source.window))
    segmenter = segmenter_for(plan.task, model, lesson)
    return RunWorker(
        RunContext(plan, folder, buffered(fixed, CHUNK_BYTES, overlap=2 * plan.halo), segmenter)
    )


_LAST = LastOne[RunWorker]()


def worker_for(target: str) -> RunWorker:
    """Return this process's worker for the run at `target`; the model is loaded once.

    Raises
    ------
    DittoError
        If the target is not seen from here, or the image or model cannot be opened.
    """
    folder = RunFolder.open(Path(target))
    plan = Plan.from_json(folder.plan)
    return _LAST.get(target, plan.digest, lambda: make_worker(plan, folder))
