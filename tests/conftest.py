"""What all tests share: when a GUI test may run."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

# A busy machine makes a fast example slow once in a while; pytest's timeout still holds.
settings.register_profile("ditto", deadline=None)
settings.load_profile("ditto")


def missing_display() -> str:
    """Return why a window cannot be opened here, empty if it can."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return ""
    return "no display; install xvfb, or see what scripts/system-libs.sh says"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip GUI tests where there is no display; on CI that is a fault of the machine."""
    reason = missing_display() if item.get_closest_marker("gui") else ""
    if reason and os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
