"""The executor of other processes and machines: workers of ``dask.distributed``.

A few items more than there are workers are under way, never a graph of all. A worker that dies
loses its items to the others; a run ends only if no worker comes back.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from napari_ditto.core.control import Control
from napari_ditto.data.cluster import Cluster, Ended, Ticket, connect
from napari_ditto.engine.whole.attempts import Attempts
from napari_ditto.engine.whole.executors import BEAT, cancelled
from napari_ditto.engine.whole.remote import Call, error_in, name_of, run_item, versions
from napari_ditto.engine.whole.work import Outcome, Worker, WorkStage
from napari_ditto.errors import DittoError, StoreError

_RUN_ITEM = name_of(run_item)
_COUNT_EVERY = 1.0  # seconds between two questions how many workers there are


class DaskExecutor:
    """Does items on dask workers; :meth:`connect` makes one.

    Parameters
    ----------
    cluster : Cluster
        The workers.
    workers : int, optional
        Do at most so many items at once, however many workers there are.
    retries : int
        How often an item is tried again after an error.
    patience : float, optional
        Seconds to wait for a first worker, or for another one after the last has gone;
        ``NAPARI_DITTO_PATIENCE``, or 60, by default.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        workers: int | None = None,
        retries: int = 2,
        patience: float | None = None,
    ) -> None:
        self._cluster, self._most, self._retries = cluster, workers, retries
        self._patience = _usual_patience() if patience is None else patience
        self._census = _Census(cluster)

    @classmethod
    def connect(
        cls,
        spec: object = "local",
        workers: int | None = None,
        retries: int = 2,
        patience: float | None = None,
    ) -> DaskExecutor:
        """Connect to workers: see :func:`napari_ditto.data.cluster.connect`."""
        return cls(connect(spec, workers), workers=workers, retries=retries, patience=patience)

    @property
    def text(self) -> str:
        """Who works."""
        return f"{self._cluster.name}: {self.workers} workers"

    @property
    def workers(self) -> int:
        """How many items are done at once, by the workers there are now."""
        found = self._census.threads()
        return min(found, self._most) if self._most else found

    def run(
        self,
        worker: Worker,
        target: Path,
        stage: WorkStage,
        items: Iterable[int],
        control: Control,
    ) -> Iterator[Outcome | None]:
        """Yield the outcome of every item; see :class:`~.work.Executor`."""
        attempts = Attempts(items, self._retries)
        opener, place = name_of(worker.opener), str(target.resolve())
        self._census.begin()
        with closing(_Flight(self._cluster)) as flight:
            while True:
                if control.cancelled:
                    cancelled()
                while len(flight) < max(2 * self.workers, 1) and not control.paused:
                    if (item := attempts.next()) is None:
                        break
                    flight.start(Call(opener, place, stage, item, versions()))
                if not len(flight) and not control.paused:
                    return
                ended = flight.ended()
                if ended or control.paused:
                    self._census.begin()
                for item, end in ended:
                    yield _judged(item, end, attempts)
                if not ended:
                    self._census.check(self._patience)
                    yield None

    def close(self) -> None:
        """End the connection, and the workers if they were started by it."""
        self._cluster.close()


class _Census:
    """How many workers there are; asked once in a while."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._threads, self._asked = 0, float("-inf")
        self.begin()

    def begin(self) -> None:
        """Begin to be patient."""
        self._seen = time.monotonic()

    def threads(self) -> int:
        """Return how many items the workers can do at once."""
        now = time.monotonic()
        if now - self._asked >= _COUNT_EVERY:
            self._threads, self._asked = self._cluster.threads(), now
        if self._threads:
            self._seen = now
        return self._threads

    def check(self, patience: float) -> None:
        """Raise a DittoError if there was no worker for so many seconds."""
        if not self.threads() and time.monotonic() - self._seen > patience:
            raise DittoError(
                f"no dask worker for {patience:g} s",
                where=self._cluster.name,
                todo="What is finished is kept; start workers, then resume",
            )


class _Flight:
    """The items that dask has been given."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._items: dict[Ticket, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def start(self, call: Call) -> None:
        """Hand an item over."""
        self._items[self._cluster.submit(_RUN_ITEM, json.dumps(asdict(call)))] = call.item

    def ended(self) -> list[tuple[int, Ended]]:
        """Return the items that ended, after waiting for the first of them for a while."""
        ends = self._cluster.ended(self._items, BEAT)
        return [(self._items.pop(end.ticket), end) for end in ends]

    def close(self) -> None:
        """Drop what is under way."""
        self._cluster.drop(self._items)


def _judged(item: int, end: Ended, attempts: Attempts) -> Outcome | None:
    """Return what is told of an item, None if it will be tried again.

    Raises
    ------
    DittoError
        If no other item would fare better: the target refuses, or the workers cannot open it.
    """
    if end.how == "lost":
        attempts.again(item)
        return None
    if end.how == "killed" and end.error:  # dask has tried it on four workers
        return attempts.given_up(item, end.error)
    answer = end.value or {}
    error = end.error or error_in(answer)
    if error is None:
        return attempts.done(item, answer["facts"], answer["seconds"])
    during = answer.get("during")
    if during == "storing" and isinstance(error, StoreError):
        raise error
    outcome = attempts.failed(item, error)
    if outcome and (during == "opening" or end.how == "refused"):
        raise error
    return outcome


def _usual_patience() -> float:
    text = os.environ.get("NAPARI_DITTO_PATIENCE", "60")
    try:
        return float(text)
    except ValueError as error:
        raise DittoError(
            f"{text!r} is no number of seconds", where="NAPARI_DITTO_PATIENCE"
        ) from error
