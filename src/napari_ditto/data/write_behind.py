"""Write embeddings to disk behind the back of who made them.

A click waits for its mask, not for the disk, and an encoder goes on with the next tile. What waits
is bounded by bytes, so that a disk slower than the encoder slows it down and fills no memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from napari_ditto.core.embedding import Embedding

LIMIT = 64 << 20
"""Bytes that may wait: the embeddings of a few tiles of the largest models."""


class WriteBehind:
    """Hands embeddings to a slow store in a thread of its own, in their order.

    The thread lives as long as there is something to write, and Python waits for it at its end:
    only a kill loses what waits, which is then encoded again.

    Parameters
    ----------
    write : callable
        Writes one embedding under its key. What it raises, the next :meth:`put` or :meth:`flush`
        raises.
    limit : int
        Bytes that may wait.
    """

    def __init__(self, write: Callable[[str, Embedding], None], limit: int = LIMIT) -> None:
        self._write, self._limit = write, limit
        self._waiting: dict[str, Embedding] = {}
        self._changed = threading.Condition()
        self._running = False
        self._error: Exception | None = None

    def put(self, key: str, embedding: Embedding) -> None:
        """Have an embedding written soon; waits only while too much waits already."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(embedding) or key in self._waiting)
            self._raise()
            if key in self._waiting:
                return
            self._waiting[key] = embedding
            if self._running:
                return
            self._running = True
        thread = threading.Thread(target=self._run, name="ditto-writer", daemon=False)
        try:
            thread.start()
        except RuntimeError:  # Python is about to end, and starts no more threads
            self._run()

    def get(self, key: str) -> Embedding | None:
        """Return an embedding that is not written yet, or None."""
        with self._changed:
            return self._waiting.get(key)

    def flush(self) -> None:
        """Return when nothing waits any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error

    def _has_room(self, embedding: Embedding) -> bool:
        waiting = sum(other.nbytes for other in self._waiting.values())
        return not waiting or waiting + embedding.nbytes <= self._limit

    def _run(self) -> None:
        while (key := self._next()) is not None:
            try:
                self._write(key, self._waiting[key])
            except Exception as error:  # noqa: BLE001  # for whoever comes next
                self._error = error
            finally:
                with self._changed:
                    del self._waiting[key]
                    self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            key = next(iter(self._waiting), None)
            self._running = key is not None
            return key
