"""Where a run stands, from what the engine yields; told ten times a second, not for every tile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from time import monotonic
from typing import TypeVar

from napari_ditto.core.progress import Progress
from napari_ditto.engine.whole.work import TileDone

TELL_SECONDS = 0.1

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run is: partial result of the job.

    Attributes
    ----------
    stage : str
        Of :class:`~napari_ditto.core.progress.Progress`.
    done, total : int
        Items of that stage.
    fresh : int
        Of the done, how many this run did and had something to do for.
    skipped, failed : int
        Tiles found empty, and given up.
    known : int
        Tiles that are done, now or by an earlier run; the rest of `done` was given up.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    fresh: int = 0
    skipped: int = 0
    failed: int = 0
    known: int = 0

    def after(self, progress: Progress) -> Standing:
        """Return where the run stands after a step."""
        now = replace(self, done=progress.done, total=progress.total)
        if progress.stage != self.stage:
            now = replace(now, stage=progress.stage, fresh=0)
            return replace(now, known=progress.done) if now.stage == "tiles" else now
        if progress.stage != "tiles":
            return replace(now, fresh=progress.done)
        tile = progress.partial
        if isinstance(tile, TileDone):
            now = replace(
                now,
                known=now.known + 1,
                fresh=now.fresh + (not tile.skipped),
                skipped=now.skipped + tile.skipped,
            )
        return replace(now, failed=now.done - now.known)


def watched(
    steps: Generator[Progress, None, Result], clock: Callable[[], float] = monotonic
) -> Generator[Progress, None, Result]:
    """Pass a run's steps on with its standing; it is news only now and then.

    Steps between are passed on bare, so that there is still a place to cancel at each.
    """
    standing, told = Standing(), float("-inf")
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                yield Progress("write", partial=standing)
                result: Result = end.value
                return result
            changed = progress.stage != standing.stage
            standing = standing.after(progress)
            if changed or clock() - told >= TELL_SECONDS:
                told = clock()
                yield replace(progress, partial=standing)
            else:
                yield replace(progress, partial=None)
