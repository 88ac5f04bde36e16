"""Work on planes done by one thread beside the loop, so that the next plane is ready in time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from napari_ditto.core.progress import Progress
from napari_ditto.models.device import one_thread

Value = TypeVar("Value")

BEAT = 0.1
"""Seconds after which who waits says that it is still there."""


class Foresight:
    """Does work in the order in which it was begun, in a thread with one thread of the network.

    The thread ends with this object.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ditto-ahead")

    def begin(self, work: Callable[[], Value]) -> Future[Value]:
        """Do a piece of work after all that was begun before."""
        return self._pool.submit(one_thread(work))


def wait_steps(future: Future[Value]) -> Generator[Progress, None, Value]:
    """Return the result of a piece of work; closing this drops it if it has not begun.

    Yields
    ------
    Progress
        A place to cancel.

    Raises
    ------
    Exception
        What the work has raised.
    """
    try:
        while True:
            try:
                return future.result(BEAT)
            except TimeoutError:
                if future.done():  # the work itself has raised it, or has ended just now
                    return future.result()
                yield Progress("encode", 0, 0, "looking at the plane")
    finally:
        future.cancel()
