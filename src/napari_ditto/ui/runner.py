"""One background thread per dock: the newest request wins, writes keep their order.

No Qt here: the thread hands its messages to `post`, which must call them on the main thread
(:class:`napari_ditto.ui.bridge.MainThread` does so by a queued signal). Everything else of this
module runs on the main thread.

We do not use superqt's ``GeneratorWorker``: it never reports the end of a job that raised
RuntimeError (torch's out-of-memory is one), and it replaces the process-wide warning filters
while it runs. napari's wrapper also keeps every worker, and its result, until the window closes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic
from typing import Any

from napari_ditto.core.progress import Progress
from napari_ditto.errors import DittoError

log = logging.getLogger(__name__)

Steps = Generator[Progress, None, Any]

REPORT_SECONDS = 0.05
"""Progress of one stage is passed on at most this often, or a fast job floods the event loop."""


def _ignore(_: object) -> None:
    """Stand in for a callback that nobody gave."""


@dataclass(eq=False)
class Job:
    """A generator to run in the background, and who wants to hear of it.

    Attributes
    ----------
    name : str
        What the user reads while it runs.
    steps : callable
        Makes the generator; called in the worker thread.
    on_done, on_error, on_progress : callable
        Called on the main thread, unless the job was dropped before.
    replaceable : bool
        Of such jobs only the newest counts.
    cancellable : bool
        Whether the user may cancel it; a write to the labels runs to its end.
    idle : bool
        Whether nobody waits for it: it gives way to every job that comes after it, begins only
        where nothing else is to be done, and is no work that the user is told of.
    """

    name: str
    steps: Callable[[], Steps]
    on_done: Callable[[Any], None] = _ignore
    on_error: Callable[[DittoError], None] = _ignore
    on_progress: Callable[[Progress], None] = _ignore
    replaceable: bool = False
    cancellable: bool = True
    idle: bool = False
    dropped: threading.Event = field(default_factory=threading.Event)

    def drain(self, report: Callable[[Progress], None]) -> object:
        """Run to the end, or to the first step after it was dropped; return the result."""
        steps, stage, reported = self.steps(), "", 0.0
        while not self.dropped.is_set():
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value
            news = progress.stage != stage or progress.partial is not None
            if news or monotonic() - reported >= REPORT_SECONDS:
                stage, reported = progress.stage, monotonic()
                report(progress)
        steps.close()
        return None


def as_ditto_error(error: Exception) -> DittoError:
    """Return the error itself if it is one of ours, else one line that names it."""
    if isinstance(error, DittoError):
        return error
    log.error("a background job failed", exc_info=error)
    line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return DittoError(f"unexpected error, {line}", todo="Details are in the log")


class Runner:
    """Runs jobs one at a time, in one thread that starts with the first of them.

    Parameters
    ----------
    post : callable
        Takes a function without arguments and has it called on the main thread, in order.
    on_state : callable
        Told the job that the user waits for, or None, whenever it may have changed.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        on_state: Callable[[Job | None], None] = _ignore,
    ) -> None:
        self.on_state = on_state
        self._post = post
        self._waiting: list[Job] = []
        self._current: Job | None = None
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def current(self) -> Job | None:
        """The job that the user waits for; a dropped one that winds down does not count."""
        waited_for = (job for job in self._jobs() if not (job.idle or job.dropped.is_set()))
        return next(waited_for, None)

    @property
    def is_busy(self) -> bool:
        """Whether any job runs or waits, also one that nobody waits for."""
        return any(not job.dropped.is_set() for job in self._jobs())

    def submit(self, job: Job) -> None:
        """Queue a job; a replaceable one takes the place of all earlier such.

        Every job takes the place of idle ones; an idle one is not taken while there is work.
        """
        if self._closed or (job.idle and self.current is not None):
            return
        self._drop(lambda other: other.idle or (job.replaceable and other.replaceable))
        self._waiting.append(job)
        self._start_next()
        self.on_state(self.current)

    def drop_replaceable(self) -> None:
        """Forget the newest request too; nobody wants its answer any more."""
        self._drop(lambda job: job.replaceable)
        self.on_state(self.current)

    def cancel(self) -> None:
        """Forget every job that can be cancelled; the step in flight ends unheard.

        The caller's interface is free at once. What that step leaves in a cache stays there.
        """
        self._drop(lambda job: job.cancellable)
        self.on_state(self.current)

    def wind_down(self) -> None:
        """Let what can be cancelled end at its next step, and tell nobody, before :meth:`close`."""
        self._drop(lambda job: job.cancellable)

    def close(self, seconds: float = 5.0) -> bool:
        """Drop everything and wait for the thread; return whether it has ended."""
        self._closed = True
        self._drop(lambda job: True)
        if self._thread is None:
            return True
        self._inbox.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _jobs(self) -> list[Job]:
        return [*filter(None, [self._current]), *self._waiting]

    def _drop(self, which: Callable[[Job], bool]) -> None:
        for job in filter(which, self._jobs()):
            job.dropped.set()
        self._waiting = [job for job in self._waiting if not job.dropped.is_set()]

    def _start_next(self) -> None:
        """Hand the thread its next job, also while a dropped one ends its last step."""
        if not self._waiting or (self._current and not self._current.dropped.is_set()):
            return
        self._current = self._waiting.pop(0)
        self._inbox.put(self._current)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="ditto", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        """Run what comes in; this and what it calls is all that the worker thread does."""
        while job := self._inbox.get():
            self._work(job)

    def _work(self, job: Job) -> None:
        try:
            result = job.drain(lambda progress: self._tell(job, job.on_progress, progress))
        except Exception as error:
            log.debug("%s ended with an error", job.name, exc_info=True)
            self._finish(job, job.on_error, as_ditto_error(error))
        else:
            self._finish(job, job.on_done, result)

    def _tell(self, job: Job, listener: Callable[[Any], None], message: object) -> None:
        if not self._closed:
            self._post(lambda: None if job.dropped.is_set() else listener(message))

    def _finish(self, job: Job, listener: Callable[[Any], None], message: object) -> None:
        """Free the slot first, so that the listener may submit the next job."""
        if not self._closed:
            self._post(lambda: self._free(job))
        self._tell(job, listener, message)
        if not self._closed:
            self._post(self._settle)

    def _free(self, job: Job) -> None:
        if self._current is job:
            self._current = None

    def _settle(self) -> None:
        if not self._closed:
            self._start_next()
            self.on_state(self.current)
