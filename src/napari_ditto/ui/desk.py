"""What the parts of the controller share: session, viewer, jobs, and where trouble goes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from napari_ditto.core.progress import Progress
from napari_ditto.errors import DittoError
from napari_ditto.ui.runner import Job, Runner, Steps, as_ditto_error
from napari_ditto.ui.session import Session
from napari_ditto.ui.views import Scene
from napari_ditto.ui.workshop import Workshop

log = logging.getLogger(__name__)


def _nothing_to_settle() -> None:
    """Stand in where nothing is kept."""


class Desk:
    """One session, one viewer, one background thread.

    Parameters
    ----------
    session, scene, runner, workshop
        See there; the session is kept in step with the runner from now on.

    Attributes
    ----------
    settle : callable
        Called in the background before any result is shown: what was asked must be safe by then.
    """

    def __init__(self, session: Session, scene: Scene, runner: Runner, workshop: Workshop) -> None:
        self.session, self.scene, self.runner, self.workshop = session, scene, runner, workshop
        self.settle: Callable[[], None] = _nothing_to_settle
        runner.on_state = self._on_runner_state

    def run(
        self,
        name: str,
        steps: Callable[[], Steps],
        on_done: Callable[[Any], None],
        on_error: Callable[[DittoError], None] | None = None,
        *,
        on_partial: Callable[[Any], None] | None = None,
        replaceable: bool = False,
        cancellable: bool = True,
    ) -> None:
        """Run a job in the background; trouble in what follows it is shown in the dock too."""

        def on_progress(progress: Progress) -> None:
            self.session.progress = progress
            if on_partial and progress.partial is not None:
                self.guarded(lambda: on_partial(progress.partial))

        def settled() -> Steps:
            result = yield from steps()
            self.settle()
            return result

        job = Job(
            name,
            settled,
            on_done=lambda result: self.guarded(lambda: on_done(result)),
            on_error=on_error or self.fail,
            on_progress=on_progress,
            replaceable=replaceable,
            cancellable=cancellable,
        )
        self.runner.submit(job)

    def run_idle(
        self,
        name: str,
        steps: Callable[[], Steps],
        on_done: Callable[[Any], None],
        on_partial: Callable[[Any], None],
        on_error: Callable[[], object] = _nothing_to_settle,
    ) -> None:
        """Run a job that nobody waits for: any other one drops it; trouble is only logged."""

        def on_progress(progress: Progress) -> None:
            if progress.partial is not None:
                quietly(lambda: on_partial(progress.partial))

        def on_failed(error: DittoError) -> None:
            log.debug("%s: %s", name, error)
            quietly(on_error)

        self.runner.submit(
            Job(
                name,
                steps,
                lambda result: quietly(lambda: on_done(result)),
                on_error=on_failed,
                on_progress=on_progress,
                idle=True,
            )
        )

    def guarded(self, call: Callable[[], object]) -> None:
        """Call, and show any trouble in the dock; what is not ours goes to the log as well."""
        try:
            call()
        except DittoError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - logged there, and shown
            self.fail(as_ditto_error(error))

    def fail(self, error: DittoError) -> None:
        """Show an error in the dock."""
        self.session.error = str(error)

    def _on_runner_state(self, job: Job | None) -> None:
        name = job.name if job else ""
        if name != self.session.working:
            self.session.progress = None
        self.session.working = name
        self.session.cancellable = job.cancellable if job else True


def quietly(call: Callable[[], object]) -> None:
    """Call what nobody has asked for: trouble goes to the log alone."""
    try:
        call()
    except DittoError as error:
        log.debug("%s", error)
    except Exception:  # nobody waits for it; what was really asked for tells its own trouble
        log.exception("looking ahead failed")
