"""The corpora need pipes, links and limits of the kind that POSIX has."""

from __future__ import annotations

import os

collect_ignore_glob = ["test_*"] if os.name == "nt" else []
