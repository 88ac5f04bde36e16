"""Pause and cancel, from any thread."""

from __future__ import annotations

import threading
import time

import pytest

from napari_ditto.core.control import Control
from napari_ditto.errors import JobCancelled


def test_work_waits_while_paused_and_goes_on():
    control, done = Control(), threading.Event()
    control.pause()
    thread = threading.Thread(target=lambda: (control.check(), done.set()))
    thread.start()
    time.sleep(0.05)
    assert control.paused
    assert not done.is_set()
    control.resume()
    thread.join(5)
    assert done.is_set()


@pytest.mark.parametrize("first", ["pause", "cancel"])
def test_cancel_ends_what_waits_whatever_came_first(first):
    control = Control()
    for name in (first, "cancel" if first == "pause" else "pause"):
        getattr(control, name)()
    with pytest.raises(JobCancelled):
        control.check()
