"""Finished tiles painted into the target while others are still to come."""

from __future__ import annotations

import numpy as np

from napari_ditto.engine.whole.context import RunContext

APART = 4096
"""Ids of two tiles differ by so much, so that neighbours differ in colour."""


class Preview:
    """Paints the core of each finished tile, under ids for the time being."""

    def __init__(self, run: RunContext) -> None:
        self._run = run

    def show(self, number: int) -> None:
        """Paint one tile's core on all levels."""
        run, tile = self._run, self._run.plan.tile(number)
        done, box = run.tile(number), tile.core
        labels = done.labels[box.shift(-tile.window.y0, -tile.window.x0).slices]
        if not labels.any():
            return
        if run.plan.task.instances:
            ids = np.arange(int(labels.max()) + 1, dtype=np.int64) + number * APART
        else:
            ids = np.array([0, *run.plan.task.settings["classes"]], dtype=np.int64)
        ids %= np.iinfo(np.int32).max
        ids[0] = 0
        run.labels.paint(tile.address, box, ids[labels].astype(run.labels.dtype))
