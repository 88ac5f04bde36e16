"""The executor of this process: a reader, some threads that compute, a writer.

While tiles are computed the next are read and the last are stored. What is under way is bounded,
so memory is flat, however slow the disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import NoReturn

from napari_ditto.core.control import Control
from napari_ditto.core.free_memory import free_memory
from napari_ditto.engine.whole.attempts import Attempts
from napari_ditto.engine.whole.work import Done, Facts, Outcome, Worker, WorkStage
from napari_ditto.errors import JobCancelled, StoreError
from napari_ditto.models.device import has_accelerator, one_thread_each

BEAT = 0.2
"""Seconds after which an executor says that it is still there."""

_POLL = 0.02  # seconds; how soon a thread that waits sees that the run goes on or is over


_THREAD_BYTES = 1 << 30
"""Memory for one tile under way; the bundled network takes half of that."""

_MOST_THREADS = 16
"""More hinder one another in Python; processes, by dask, do not."""


class ThreadExecutor:
    """Does items in threads of this process.

    PyTorch computes each item with one thread, so that the labels do not depend on how many
    threads there are, and many threads do not fight for the cores.

    Parameters
    ----------
    workers : int, optional
        How many items are computed at once; :func:`usual_threads` by default.
    retries : int
        How often an item is tried again after an error.
    ahead : int
        How many items are read before they are needed, or wait to be stored.
    """

    def __init__(self, workers: int | None = None, retries: int = 2, ahead: int = 2) -> None:
        self._workers, self._retries, self._ahead = workers, retries, max(ahead, 1)

    @property
    def text(self) -> str:
        """Who works."""
        return f"{self.workers} thread{'s' if self.workers > 1 else ''}"

    @property
    def workers(self) -> int:
        """How many items are computed at once."""
        return self._workers or usual_threads()

    def run(
        self,
        worker: Worker,
        target: Path,
        stage: WorkStage,
        items: Iterable[int],
        control: Control,
    ) -> Iterator[Outcome | None]:
        """Yield the outcome of every item; see :class:`~.work.Executor`."""
        attempts, count = Attempts(items, self._retries), self.workers
        with one_thread_each(), closing(_Line(worker, stage, control, count)) as line:
            while True:
                while line.under_way < count + self._ahead and not control.paused:
                    if (item := attempts.next()) is None:
                        break
                    line.start(item)
                if not line.under_way and not control.paused:
                    return
                end = line.end()
                yield _judged(end, attempts) if end else None

    def close(self) -> None:
        """Do nothing: threads end with the stage."""


def usual_threads() -> int:
    """Return how many threads this machine has cores and memory for; two feed a GPU."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux; a container may have few of many
    cores = 2 if has_accelerator() else len(affinity(0)) if affinity else os.cpu_count() or 1
    free = free_memory()
    room = cores if free is None else free // _THREAD_BYTES
    return max(1, min(cores, room, _MOST_THREADS))


@dataclass(frozen=True, slots=True)
class _End:
    """Of an item: its facts, or what went wrong, and whether that was in storing."""

    item: int
    facts: Facts = field(default_factory=dict)
    seconds: float = 0.0
    error: BaseException | None = None
    storing: bool = False


def _judged(end: _End, attempts: Attempts) -> Outcome | None:
    if end.error is None:
        return attempts.done(end.item, end.facts, end.seconds)
    if isinstance(end.error, JobCancelled) or not isinstance(end.error, Exception):
        raise end.error
    if isinstance(end.error, StoreError) and end.storing:
        raise end.error
    return attempts.failed(end.item, end.error)


class _Line:
    """The threads of one stage; an item passes reader, computer and writer."""

    def __init__(self, worker: Worker, stage: WorkStage, control: Control, count: int) -> None:
        self._worker, self._stage, self._control = worker, stage, control
        self._over = Event()
        self._ends: SimpleQueue[_End] = SimpleQueue()
        self.under_way = 0
        self._reader, self._computers, self._writer = (
            ThreadPoolExecutor(n, thread_name_prefix=f"ditto-{role}")
            for n, role in ((1, "read"), (count, "compute"), (1, "write"))
        )

    def start(self, item: int) -> None:
        """Take an item; it ends as an :meth:`end`."""
        self.under_way += 1
        self._pass(self._reader, self._read, item)

    def end(self) -> _End | None:
        """Return the next end of an item, None if there is none for a while.

        Raises
        ------
        JobCancelled
            If the user has cancelled.
        """
        if self._control.cancelled:
            cancelled()
        try:
            end = self._ends.get(timeout=BEAT)
        except Empty:
            return None
        self.under_way -= 1
        return end

    def close(self) -> None:
        """End every item at its next step, and wait for the threads."""
        self._over.set()
        for pool in (self._reader, self._computers, self._writer):
            pool.shutdown(cancel_futures=True)

    def _pass(self, pool: ThreadPoolExecutor, work: Callable[[int], None], item: int) -> None:
        """Let a pool do its part of an item; whatever goes wrong is the end of the item."""

        def guarded() -> None:
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - judged by the thread that runs the stage
                self._ends.put(_End(item, error=error, storing=pool is self._writer))

        pool.submit(guarded)

    def _read(self, item: int) -> None:
        self._gate()
        self._worker.prefetch(self._stage, item)
        self._pass(self._computers, self._compute, item)

    def _compute(self, item: int) -> None:
        start = time.perf_counter()
        done = self._steps(item)
        self._pass(self._writer, lambda _: self._store(item, done, start), item)

    def _steps(self, item: int) -> Done:
        with closing(self._worker.compute(self._stage, item)) as steps:
            while True:
                self._gate()
                try:
                    next(steps)
                except StopIteration as end:
                    done: Done = end.value
                    return done

    def _store(self, item: int, done: Done, start: float) -> None:
        facts = done.store()
        self._ends.put(_End(item, facts, time.perf_counter() - start))

    def _gate(self) -> None:
        """Wait while paused; polled, because a stage may also end while it is paused."""
        while self._control.paused and not self._over.is_set():
            self._over.wait(_POLL)
        if self._over.is_set() or self._control.cancelled:
            cancelled()


def cancelled() -> NoReturn:
    """Raise the end of a run that the user does not want any more."""
    raise JobCancelled("cancelled", todo="What is finished is kept; resume to go on")
