"""Pause and cancel for work that runs in several threads."""

from __future__ import annotations

import threading

from napari_ditto.errors import JobCancelled


class Control:
    """What a user says to a run while it goes on; safe to use from any thread."""

    def __init__(self) -> None:
        self._go, self._stop = threading.Event(), threading.Event()
        self._go.set()

    @property
    def paused(self) -> bool:
        """Whether work waits."""
        return not self._go.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether work is to end; what is finished is kept."""
        return self._stop.is_set()

    def pause(self) -> None:
        """Let work wait at its next :meth:`check`; what was cancelled does not wait."""
        if not self.cancelled:
            self._go.clear()

    def resume(self) -> None:
        """Let work go on."""
        self._go.set()

    def cancel(self) -> None:
        """End work at its next :meth:`check`, also where it waits."""
        self._stop.set()
        self._go.set()

    def check(self) -> None:
        """Wait while paused.

        Raises
        ------
        JobCancelled
            If cancelled.
        """
        self._go.wait()
        if self._stop.is_set():
            raise JobCancelled("cancelled", todo="What is finished is kept; resume to go on")
