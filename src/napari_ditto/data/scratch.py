"""Names for what is not finished yet, which tell afterwards whether its writer still lives."""

from __future__ import annotations

import hashlib
import os
import platform
import time
import uuid
from pathlib import Path

ORPHAN_SECONDS = 86_400.0


def scratch_name() -> str:
    """Return a name that nobody else uses, of this host and process."""
    return f"{_host()}-{os.getpid()}-{uuid.uuid4().hex}"


def is_orphan(scratch: Path) -> bool:
    """Whether the process that made a file or folder of a scratch name is gone.

    Known for certain on this POSIX host only; elsewhere a day of age decides, since nothing takes
    that long to write.
    """
    pid = scratch.name.partition("-")[2].partition("-")[0]
    if os.name == "posix" and is_from_here(scratch) and pid.isdigit():
        return not _is_alive(int(pid))
    try:
        return time.time() - scratch.stat().st_mtime > ORPHAN_SECONDS
    except FileNotFoundError:
        return False


def is_from_here(scratch: Path) -> bool:
    """Whether a scratch name was made on this host."""
    return scratch.name.partition("-")[0] == _host()


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
