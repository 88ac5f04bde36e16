"""Which machine this is, for what is measured once and remembered."""

from __future__ import annotations

import hashlib
import os
import platform


def this_machine() -> str:
    """Return what tells this machine from others that share a home folder."""
    node = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {node}"
