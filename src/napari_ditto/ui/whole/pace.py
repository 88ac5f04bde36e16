"""How long a run will still take, from what it has taken so far; and spans of time in words."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

FEWEST = 2
"""After so many items the time left is told; the first one also warms the model up."""


class Pace:
    """Measures the seconds per item of a stage; time that it is paused does not count.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since: float | None = clock()
        self._spent, self._items = 0.0, 0

    def restart(self) -> None:
        """Begin anew, with another stage."""
        self._spent, self._items = 0.0, 0
        if self._since is not None:
            self._since = self._clock()

    def pause(self) -> None:
        """Stop the clock."""
        self._spent, self._since = self._seconds, None

    def resume(self) -> None:
        """Let the clock go on."""
        if self._since is None:
            self._since = self._clock()

    def count(self, items: int) -> None:
        """Say how many items have been done since the start; none starts the clock anew."""
        if items == 0:
            self.restart()
        self._items = items

    @property
    def per_item(self) -> float | None:
        """Seconds of an item; None while it is not known."""
        return self._seconds / self._items if self._items >= FEWEST else None

    def left(self, items: int) -> float | None:
        """Seconds for so many more items; None while it is not known."""
        return None if self.per_item is None else self.per_item * items

    @property
    def _seconds(self) -> float:
        return self._spent + (self._clock() - self._since if self._since is not None else 0.0)


def duration(seconds: float) -> str:
    """Return a span of time as people say it: ``"40 s"``, ``"14 min"``, ``"3 h 20 min"``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes >= 24 * 60:
        return f"{round(seconds / 3600)} h"
    hours, rest = divmod(round(minutes / 10) * 10, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def size(count: float) -> str:
    """Return a number of bytes as people say it: ``"340 MB"``, ``"1.2 GB"``."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{max(1, round(count / 1e6))} MB"
