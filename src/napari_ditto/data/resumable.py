"""Labels on disk that a run writes plane by plane, and its finished steps beside them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from napari_ditto.data.ngff_labels import register_labels
from napari_ditto.data.protocols import Source
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.scratch import is_orphan, scratch_name
from napari_ditto.data.steps import DiskSteps
from napari_ditto.errors import LabelsError, StoreError

FOLDER = ".ditto-steps"
UNFINISHED = ".ditto-new"


def open_resumable(
    path: Path, source: Source, provenance: Mapping[str, object] | None = None
) -> tuple[PyramidLabels, DiskSteps]:
    """Return labels of a source's shape at `path`, new or to be gone on with, and their steps.

    Raises
    ------
    LabelsError
        If something else is there, or labels of another image.
    StoreError
        If the disk refuses.
    """
    path = Path(path)
    if not path.exists():
        _create(path, source, provenance)
    if not (path / FOLDER).is_dir():
        raise LabelsError(
            "there is something already that no propagation has made",
            where=str(path),
            todo="Choose another name",
        )
    labels = PyramidLabels.open(path)
    if labels.shape != source.shape or labels.axes != source.axes:
        raise LabelsError(
            f"labels of shape {labels.shape} for an image of {source.shape}",
            where=str(path),
            todo="Choose another name",
        )
    return labels, DiskSteps(path / FOLDER)


def _create(path: Path, source: Source, provenance: Mapping[str, object] | None) -> None:
    """Make empty labels with a folder for steps; nobody ever sees half of them."""
    for left in path.parent.glob(f"*{UNFINISHED}"):
        if is_orphan(left):
            shutil.rmtree(left, ignore_errors=True)
    scratch = path.with_name(scratch_name() + UNFINISHED)
    scale = getattr(source, "scale", None)
    try:
        PyramidLabels.create(
            scratch, source.shape, source.axes, scale=scale, provenance=provenance, register=False
        )
        (scratch / FOLDER).mkdir()
        scratch.rename(path)
        register_labels(path)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise StoreError(
            f"the labels cannot be created: {error.strerror or error}", where=str(path)
        ) from error
