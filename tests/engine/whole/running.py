"""Runs of stand-ins over small pictures, for the tests of this folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import zarr

import napari_ditto as nd
from napari_ditto.core.jobs import drain
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.run import run_steps
from napari_ditto.engine.whole.segmenter import all_task
from napari_ditto.testing.bounded import LEVELS, BoundedModel, canonical


def source_of(image, axes=None):
    return nd.open_source(image, axes=axes or "tzyx"[-image.ndim :], window=(0, LEVELS))


def plan_of(image, target, *, model=None, axes=None, **options):
    model = model or BoundedModel()
    # The values are ids, which differ too little to be seen as contrast.
    options = {"empty_below": 0.0, **options}
    return make_plan(source_of(image, axes), model, all_task(), target, **options)


def run(image, target: Path, *, model=None, workers=1, executor=None, axes=None, **options):
    """Return the summary and the labels of a run over an image in memory."""
    model = model or BoundedModel()
    plan = plan_of(image, target, model=model, axes=axes, **options)
    executor = executor or ThreadExecutor(workers)
    steps = run_steps(plan, source=source_of(image, axes), model=model, executor=executor)
    return drain(steps), labels_of(target)


def labels_of(target: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(str(target), mode="r")["0"])


def hash_of(labels: np.ndarray) -> str:
    return hashlib.sha256(canonical(labels).tobytes()).hexdigest()
