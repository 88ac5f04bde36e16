"""A table of objects that is kept beside labels on disk, written when it has been calm a moment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from napari_ditto.data.object_json import write_objects
from napari_ditto.data.object_records import ObjectTable
from napari_ditto.errors import DittoError

log = logging.getLogger(__name__)

CALM_SECONDS = 0.5
MANY = 10_000
"""So many objects take 0.15 s to write; a larger table waits longer for the next change."""


def _log(error: DittoError) -> None:
    log.warning("%s", error)


class TableFile:
    """Writes the newest table from a thread of its own, which ends when nothing is left to write.

    The program waits for that thread when it ends.

    Parameters
    ----------
    labels : Path
        The OME-Zarr group of the labels.
    fail : callable
        Told what went wrong, on that thread; by default the log is.
    """

    def __init__(self, labels: Path, fail: Callable[[DittoError], None] = _log) -> None:
        self._labels, self._fail = labels, fail
        self._lock = threading.Lock()
        self._wanted: ObjectTable | None = None
        self._writer: threading.Thread | None = None
        self._put_at, self._calm = 0.0, CALM_SECONDS

    def put(self, table: ObjectTable) -> None:
        """Have a table written soon; of several only the last is."""
        with self._lock:
            self._wanted, self._put_at = table, time.monotonic()
            self._calm = CALM_SECONDS * (1 + len(table.records) / MANY)
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="ditto objects")
                self._writer.start()

    def flush(self) -> None:
        """Wait until what was put is written."""
        with self._lock:
            writer, self._put_at = self._writer, 0.0
        if writer is not None:
            writer.join()

    def _write(self) -> None:
        while (table := self._next()) is not None:
            try:
                write_objects(self._labels, table)
            except DittoError as error:
                self._fail(error)

    def _next(self) -> ObjectTable | None:
        """Return what is to be written once it is calm; None, and no thread, if nothing is."""
        while (rest := self._put_at + self._calm - time.monotonic()) > 0:
            time.sleep(min(rest, CALM_SECONDS / 10))
        with self._lock:
            table, self._wanted = self._wanted, None
            if table is None:
                self._writer = None
        return table
