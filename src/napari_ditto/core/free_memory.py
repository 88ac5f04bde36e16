"""How much memory can still be had, with the standard library alone."""

from __future__ import annotations

import os
import re
from pathlib import Path


def free_memory() -> int | None:
    """Return the bytes that this machine can still give; None where nobody knows."""
    return _linux() or _posix()


def _linux() -> int | None:
    table = Path("/proc/meminfo")
    if not table.is_file():
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", table.read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else None


def _posix() -> int | None:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS no such name
        return None
