"""What all tests share: when a GUI test may run."""

from __future__ import annotations

import os
import sys
import zlib

import pytest
from hypothesis import settings

# A busy machine makes a fast example slow once in a while; pytest's timeout still holds.
settings.register_profile("ditto", deadline=None)
settings.register_profile("stress", deadline=None, max_examples=1000)
settings.load_profile("stress" if os.environ.get("DITTO_STRESS") else "ditto")

# pytest-qt and qtpy must not choose different bindings.
if "QT_API" in os.environ:
    os.environ.setdefault("PYTEST_QT_API", os.environ["QT_API"])


def missing_display() -> str:
    """Return why a window cannot be opened here, empty if it can."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return ""
    return "no display; install xvfb, or see what scripts/system-libs.sh says"


@pytest.fixture(autouse=True, scope="session")
def isolated_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep every test out of the user's cache, models and settings."""
    for name in ("CACHE", "MODELS", "CONFIG", "TUNED", "JOURNAL"):
        folder = tmp_path_factory.mktemp(name.lower())
        os.environ.setdefault(f"NAPARI_DITTO_{name}", str(folder))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--second-binding", choices=("half", "whole"), help="what its run is to try")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the second Qt binding need not try again."""
    gui = [item for item in items if item.get_closest_marker("gui")]
    astray = [item.nodeid for item in gui if not item.nodeid.startswith("tests/ui/")]
    if astray:  # scripts/run_tests.py looks for them there alone
        raise pytest.UsageError(f"GUI tests belong in tests/ui: {astray}")
    how = config.getoption("second_binding")
    if not how:
        return
    left = [item for item in items if not _tried_again(item, how)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if _tried_again(item, how)]


def _tried_again(item: pytest.Item, how: str) -> bool:
    """Every second name; chosen by the name, so that it is the same in every run."""
    if item.get_closest_marker("once"):
        return False
    return how == "whole" or zlib.crc32(item.nodeid.encode()) % 2 == 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip GUI tests where there is no display; on CI that is a fault of the machine."""
    reason = missing_display() if item.get_closest_marker("gui") else ""
    if reason and os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
