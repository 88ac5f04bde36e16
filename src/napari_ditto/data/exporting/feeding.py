"""A library that takes everything in one call, fed step by step so that it can be stopped."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

Piece = TypeVar("Piece")

ROOM = 2
"""Pieces that wait to be taken."""

_WAIT_SECONDS = 0.1


class _Stopped(Exception):
    """The feeder gave up; raised inside of the library."""


def feed(
    take: Callable[[Iterator[Piece]], None], pieces: Iterator[Piece]
) -> Generator[int, None, None]:
    """Let `take` consume `pieces` in a thread of its own, and yield how many it was given.

    The pieces are made here, in the caller's thread. A caller that stops early ends `take` with an
    exception; an exception of `take` is raised here.
    """
    taker = _Taker(take)
    taker.start()
    try:
        for number, piece in enumerate(pieces, 1):
            if not taker.put(piece):
                break
            yield number
    except BaseException:
        taker.is_stopped = True
        raise
    finally:
        taker.put(None)
        taker.join()
    if taker.failure is not None:
        raise taker.failure


class _Taker(threading.Thread, Generic[Piece]):
    """The thread that consumes."""

    def __init__(self, take: Callable[[Iterator[Piece]], None]) -> None:
        super().__init__(name="ditto export")
        self._take = take
        self._waiting: queue.Queue[Piece | None] = queue.Queue(ROOM)
        self.is_stopped = False
        self.failure: BaseException | None = None

    def put(self, piece: Piece | None) -> bool:
        """Hand a piece over, None for the end; return whether there was anybody to take it."""
        while self.is_alive():
            try:
                self._waiting.put(piece, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def run(self) -> None:
        try:
            self._take(self._given())
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.failure = error

    def _given(self) -> Iterator[Piece]:
        while (piece := self._waiting.get()) is not None:
            yield piece
        if self.is_stopped:
            raise _Stopped
