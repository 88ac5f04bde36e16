"""How often an item is tried, and what is told of one that was given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from napari_ditto.engine.whole.work import Facts, Outcome
from napari_ditto.errors import DittoError

_LONGEST = 300  # of a message that is not ours; some list whole arrays


class Attempts:
    """The items of a stage: which comes next, which were tried how often.

    Parameters
    ----------
    items : iterable of int
        Taken one by one.
    retries : int
        How often an item is tried again after an error.
    """

    def __init__(self, items: Iterable[int], retries: int) -> None:
        self._fresh: Iterator[int] = iter(items)
        self._retries = retries
        self._again: list[int] = []
        self._failures: Counter[int] = Counter()

    def next(self) -> int | None:
        """Return an item to be tried, one that failed before others; None if there is none."""
        return self._again.pop() if self._again else next(self._fresh, None)

    def again(self, item: int) -> None:
        """Take back an item that was lost, which is no failure."""
        self._again.append(item)

    def done(self, item: int, facts: Facts, seconds: float) -> Outcome:
        """Return what is told of a finished item."""
        return Outcome(item, facts, tries=self._failures.pop(item, 0) + 1, seconds=seconds)

    def failed(self, item: int, error: BaseException) -> Outcome | None:
        """Count a failure: None if the item will be tried again, otherwise what is told of it."""
        self._failures[item] += 1
        if self._failures[item] <= self._retries:
            self._again.append(item)
            return None
        return self.given_up(item, error)

    def given_up(self, item: int, error: BaseException) -> Outcome:
        """Return what is told of an item that is not tried again."""
        tries = max(self._failures.pop(item, 0), 1)
        return Outcome(item, {}, error=in_one_line(error), tries=tries)


def in_one_line(error: BaseException) -> DittoError:
    """Return an error for people: ours as it is, any other named and shortened."""
    if isinstance(error, DittoError):
        return error
    text = " ".join(str(error).split())[:_LONGEST]
    return DittoError(f"{type(error).__name__}: {text}" if text else type(error).__name__)
