"""What an executor is given to do, and what it reports.

A run has stages (:data:`STAGES`); each stage is a set of numbered items, which may be done in any
order, by any thread, process or machine that sees the target folder, and more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from napari_ditto.core.control import Control
from napari_ditto.core.progress import Progress
from napari_ditto.errors import DittoError

WorkStage = Literal["tiles", "pairs", "join", "paint", "pyramid"]
STAGES: tuple[WorkStage, ...] = ("tiles", "pairs", "join", "paint", "pyramid")

Facts = Mapping[str, Any]
"""What is told of a finished item, JSON types only."""


class Done(Protocol):
    """An item that is computed but not stored yet."""

    def store(self) -> Facts:
        """Write the record; afterwards the item counts as done. May run in another thread."""
        ...


class Worker(Protocol):
    """Does single items; one per process, shared by its threads."""

    @property
    def opener(self) -> Callable[[str], Worker]:
        """What another process calls with the target: a function of a module, that caches."""
        ...

    def prefetch(self, stage: WorkStage, item: int) -> None:
        """Read what an item will need from the image, so that it is at hand; or do nothing."""
        ...

    def compute(self, stage: WorkStage, item: int) -> Generator[Progress, None, Done]:
        """Do an item except for storing it; every ``yield`` is a place to pause or cancel."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item that is done, or was given up.

    Attributes
    ----------
    item : int
        Its number.
    facts : mapping
        What the worker told of it.
    error : DittoError or None
        Why it was given up, after the last try.
    tries : int
        How often it was tried.
    seconds : float
        Of the last try.
    """

    item: int
    facts: Facts
    error: DittoError | None = None
    tries: int = 1
    seconds: float = 0.0


class Executor(Protocol):
    """Does the items of a stage, somewhere."""

    @property
    def text(self) -> str:
        """Who works, e.g. ``"2 threads"`` or ``"dask: 8 workers"``; for people."""
        ...

    @property
    def workers(self) -> int:
        """How many items are done at once."""
        ...

    def run(
        self,
        worker: Worker,
        target: Path,
        stage: WorkStage,
        items: Iterable[int],
        control: Control,
    ) -> Iterator[Outcome | None]:
        """Yield the outcome of every item as it comes, and None at least every quarter second.

        Parameters
        ----------
        worker : Worker
            For work in this process; other processes make their own from `target`.
        target : Path
            The OME-Zarr folder of the run.
        stage : str
            Which stage.
        items : iterable of int
            Taken one by one, never all at once.
        control : Control
            Asked before each item and at each step of one.

        Raises
        ------
        JobCancelled
            If cancelled; items in flight are dropped.
        StoreError
            If the target refuses: no other item would fare better.
        """
        ...

    def close(self) -> None:
        """Release threads, processes and connections that it has opened itself."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A tile that was tried and given up.

    Attributes
    ----------
    number : int
        Of the tile.
    place : str
        For people: plane and box.
    reason : str
        One line.
    """

    number: int
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class TileDone:
    """A finished tile, as the partial result of a progress.

    Attributes
    ----------
    number : int
        Of the tile.
    objects : int
        Found in its window.
    skipped : bool
        Whether it was found empty.
    reused : bool
        Whether it was done already.
    """

    number: int
    objects: int = 0
    skipped: bool = False
    reused: bool = False


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run has done.

    Attributes
    ----------
    target : Path
        The OME-Zarr folder.
    tiles, done, reused, skipped : int
        Planned; done now; done by an earlier run; found empty (of the done and the reused).
    failed : tuple of Failure
        Given up; the result has holes there until a later run mends them.
    objects : int
        In the result.
    seconds : float
        This run took.
    state : "finished" or "incomplete"
        The latter if any tile failed.
    """

    target: Path
    tiles: int
    done: int
    reused: int
    skipped: int
    failed: tuple[Failure, ...]
    objects: int
    seconds: float
    state: Literal["finished", "incomplete"]


def check_whole(summary: RunSummary, what: str, todo: str) -> None:
    """Raise DittoError if parts of a run have failed: there are holes."""
    if summary.failed:
        first = summary.failed[0]
        raise DittoError(
            f"{len(summary.failed)} of {summary.tiles} {what} failed, the first at "
            f"{first.place}: {first.reason}",
            where=str(summary.target),
            todo=todo,
        )
