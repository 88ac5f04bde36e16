"""Long work as generators: drain one here, or let a user interface step through it.

Every ``yield`` is a :class:`~napari_ditto.core.progress.Progress`: a line for the user and a place
to cancel. A generator touches no layer and no widget, and closing it keeps what it finished. There
are no threads here; the dock's runner has one, in which the newest request wins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from napari_ditto.core.progress import Progress
from napari_ditto.errors import JobCancelled

T = TypeVar("T")


def drain(
    steps: Generator[Progress, None, T],
    on_progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> T:
    """Run a job to its end and return its result.

    Parameters
    ----------
    steps : generator of Progress
        The job.
    on_progress : callable, optional
        Told each step before it is done.
    cancelled : callable, optional
        Asked at each step.

    Raises
    ------
    JobCancelled
        If `cancelled` said so; the job was closed, what it had finished is kept.
    """
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if on_progress:
            on_progress(progress)
        if cancelled and cancelled():
            steps.close()
            raise JobCancelled("cancelled", where=progress.text)
