"""Finished jobs on disk, so that a long evaluation can go on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_ditto.evaluation.plan import Task
from napari_ditto.evaluation.runs import Done, Job


class KeptJobs:
    """What the jobs of one task have measured, a file for each.

    A job is known by its set, the settings that matter, and its model with the hash of the model's
    weights: new weights are measured anew.

    Parameters
    ----------
    folder : Path
        Made when the first job is kept.
    task : Task
        Which one.
    identity : callable
        From a model's name to what it is, e.g. :attr:`ModelSpec.key`.
    """

    def __init__(self, folder: Path, task: Task, identity: Callable[[str], str]) -> None:
        self._folder, self._task, self._identity = folder, task, identity

    def path(self, job: Job[Any]) -> Path:
        """Return the file of a job."""
        settings = tuple(getattr(job.settings, name) for name in self._task.settings)
        known = repr((self._task.name, job.given, settings, self._identity(job.model)))
        return self._folder / f"{hashlib.sha256(known.encode()).hexdigest()[:24]}.json"

    def get(self, job: Job[Any]) -> Done[Any] | None:
        """Return what a job has measured; None if it has not, or its file is damaged."""
        try:
            saved = json.loads(self.path(job).read_text("utf-8"))
            rows = tuple(self._task.row(**_tuples(fields)) for fields in saved["rows"])
            return Done(job, rows, float(saved["seconds"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, done: Done[Any]) -> None:
        """Keep what a job has measured."""
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self.path(done.job)
        part = target.with_suffix(".part")
        content = {"rows": [asdict(row) for row in done.rows], "seconds": done.seconds}
        part.write_text(json.dumps(content), "utf-8")
        os.replace(part, target)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
