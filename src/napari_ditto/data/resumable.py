"""Labels on disk that a run writes plane by plane, and its finished steps beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    with fresh_labels(path) as scratch:
        PyramidLabels.create(
            scratch,
            source.shape,
            source.axes,
            scale=getattr(source, "scale", None),
            provenance=provenance,
            register=False,
        )
        (scratch / FOLDER).mkdir()


@contextmanager
def fresh_labels(target: Path) -> Iterator[Path]:
    """Yield where new labels are made that are then put at the target; nobody sees half of them.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    for left in target.parent.glob(f"*{UNFINISHED}"):
        if is_orphan(left):
            shutil.rmtree(left, ignore_errors=True)
    scratch = target.with_name(scratch_name() + UNFINISHED)
    try:
        yield scratch
        scratch.rename(target)
        register_labels(target)
    except OSError as error:
        raise StoreError(
            f"the labels cannot be created: {error.strerror or error}",
            where=str(target),
            todo="Choose a folder that can be written and has room",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
