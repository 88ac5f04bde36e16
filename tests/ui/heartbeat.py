"""How long Qt's event loop keeps others waiting."""

from __future__ import annotations

import time

import numpy as np
from qtpy.QtCore import Qt, QTimer


class Heartbeat:
    """Notes how long the event loop takes between two beats of a timer, in milliseconds."""

    def __init__(self, milliseconds=5):
        self.gaps, self._last = [], None
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(milliseconds)

    def _beat(self):
        now = time.perf_counter()
        if self._last is not None:
            self.gaps.append(1000 * (now - self._last))
        self._last = now

    def stop(self):
        self._timer.stop()
        return np.array(self.gaps)
