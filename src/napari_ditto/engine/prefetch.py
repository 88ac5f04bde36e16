"""Read tiles before they are asked for, in threads, a bounded number of bytes ahead.

While the encoder works on a tile, the next ones are read: what is done takes as long as the slower
of the two, not as both. Tiles are handed out in whatever order they are asked for; one that nobody
has read yet, or that was not expected, is read on the spot and waits for no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

LIMIT = 16 << 20
"""Bytes that wait to be asked for: two tiles of 1024 x 1024, or six of 512 x 512. More would save
no time, and take more from the encoder for what a click may make useless."""

READERS = 2
"""A store far away answers two questions in the time of one."""

R = TypeVar("R", bound=Hashable)
T = TypeVar("T")


class Prefetch(Generic[R, T]):
    """Reads what is wanted next; safe to ask from any thread.

    Parameters
    ----------
    read : callable
        Returns what a request is about; is called from several threads at once.
    size : callable
        Bytes of what `read` returned.
    limit : int
        Bytes kept ahead; reading pauses when they are reached.
    readers : int
        Threads, which end with what is wanted or when told to.
    """

    def __init__(
        self,
        read: Callable[[R], T],
        size: Callable[[T], int],
        limit: int = LIMIT,
        readers: int = READERS,
    ) -> None:
        self._read, self._size, self._limit, self._readers = read, size, limit, readers
        self._ahead: dict[R, Future[T]] = {}
        self._past: set[R] = set()
        self._wanted: Iterator[R] | None = None
        self._changed = threading.Condition()

    def expect(self, wanted: Iterable[R]) -> None:
        """Read these from now on, in their order; what was expected before is forgotten."""
        self.stop()
        with self._changed:
            self._wanted = mine = iter(wanted)
        for _ in range(self._readers):
            # A daemon, because a store that never answers must not keep Python from its end.
            threading.Thread(
                target=self._run, args=(mine,), name="ditto-reader", daemon=True
            ).start()

    def take(self, request: R) -> T:
        """Return what a request is about: read already, being read, or read now.

        Raises
        ------
        Exception
            Whatever reading it has raised, whichever thread that was in.
        """
        with self._changed:
            ahead = self._ahead.get(request)
            self._pass(request)
        if ahead is None:
            return self._read(request)
        try:
            return ahead.result()
        finally:
            self.drop(request)

    def drop(self, request: R) -> None:
        """Forget a request that nobody will ask for any more."""
        with self._changed:
            self._pass(request)
            self._ahead.pop(request, None)
            self._changed.notify_all()

    def stop(self) -> None:
        """Read nothing more; what is being read just now is dropped when it comes."""
        with self._changed:
            self._wanted = None
            self._ahead.clear()
            self._past.clear()
            self._changed.notify_all()

    def _pass(self, request: R) -> None:
        if self._wanted is not None:
            self._past.add(request)

    def _run(self, mine: Iterator[R]) -> None:
        while (started := self._start(mine)) is not None:
            request, ahead = started
            try:
                ahead.set_result(self._read(request))
            except BaseException as error:  # noqa: BLE001  # for whoever asks for it
                ahead.set_exception(error)

    def _start(self, mine: Iterator[R]) -> tuple[R, Future[T]] | None:
        """Return the next request, once there is room, and where its answer goes."""
        with self._changed:
            self._changed.wait_for(lambda: self._held() < self._limit or self._wanted is not mine)
            if self._wanted is not mine:
                return None
            for request in mine:
                if request not in self._ahead and request not in self._past:
                    ahead: Future[T] = Future()
                    self._ahead[request] = ahead
                    return request, ahead
            return None

    def _held(self) -> int:
        read = [ahead for ahead in self._ahead.values() if ahead.done() and not ahead.exception()]
        return sum(self._size(ahead.result()) for ahead in read)
