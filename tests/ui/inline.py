"""A runner without a thread."""

from __future__ import annotations

from napari_ditto.ui.runner import Runner


class InlineRunner(Runner):
    """Runs a job as soon as it is submitted, unless it is held back."""

    def __init__(self):
        super().__init__(post=lambda call: call())
        self.hold = False

    def _start_next(self):
        while self._waiting and not self.hold and self._current is None:
            self._current = self._waiting.pop(0)
            self._work(self._current)

    def release(self):
        self.hold = False
        self._start_next()
