"""From an image and labelled planes to the plan of a propagation in columns."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto import __version__
from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Gate
from napari_ditto.core.run_plan import ModelRef
from napari_ditto.data.column_folder import ColumnFolder
from napari_ditto.data.protocols import Source
from napari_ditto.data.resumable import open_resumable
from napari_ditto.engine.propagate import PATIENCE, Plane, Within
from napari_ditto.engine.propagation_input import (
    Examples,
    as_labels,
    read_index,
    read_walk,
    told_index,
)
from napari_ditto.engine.whole import columns
from napari_ditto.engine.whole.columns_plan import ColumnPlan, digest_of
from napari_ditto.engine.whole.opening import source_ref
from napari_ditto.errors import LabelsError


def plan_columns_steps(
    source: Source,
    examples: Examples,
    axis: str | Sequence[str],
    model: ModelRef,
    target: Path | str,
    *,
    plane: Plane = None,
    within: Within = None,
    gate: Gate | None = None,
    region: Box | None = None,
    side: int = columns.SIDE,
    halo: int | None = None,
    patience: int = PATIENCE,
) -> Generator[Progress, None, ColumnPlan]:
    """Return what is to be done, and keep it with the examples in the target's folder.

    Parameters
    ----------
    source : Source
        The image.
    examples : mapping of int, or tuple of int, to array-like of int, shape (height, width)
        As for :func:`~napari_ditto.engine.propagate.propagate`; zarr arrays are read in parts.
    axis, plane, within, gate, patience
        As there.
    model : ModelRef
        Which model, or which stepper.
    target : path
        OME-Zarr labels, new or made by an earlier propagation.
    region : Box, optional
        Objects whose examples touch it are followed; all by default.
    side, halo : int
        See :func:`~.columns.cut`.

    Raises
    ------
    SourceError, LabelsError, StoreError
        What cannot be done, in one line.
    """
    target = Path(target).expanduser().absolute()
    axes, base, bounds = read_walk(source, axis, plane, within)
    shape = source.plane_shape(base)
    anchors = {read_index(key, axes, bounds): labels for key, labels in examples.items()}
    parts = []
    for number, (index, labels) in enumerate(anchors.items()):
        yield Progress("read", number, len(anchors), f"example {number + 1} of {len(anchors)}")
        parts.append(_extents(labels, shape, f"example at {told_index(axes, index)}"))
    cut = columns.cut(columns.joined(parts), shape, region=region, side=side, halo=halo)
    if not cut:
        raise LabelsError(
            "no example shows an object" + (" in the region" if region else ""),
            where=source.name,
            todo="Label an object in one plane first",
        )
    yield Progress("read", len(anchors), len(anchors), "keeping the examples")
    made = {"program": f"napari-ditto {__version__}", **model.provenance, "image": source.name}
    open_resumable(target, source, made)
    folder = ColumnFolder(target)
    with folder.lock():
        name = folder.keep_examples(list(anchors.values()), columns.BAND // shape[1] + 1)
        digests = tuple(digest_of(folder.examples(name, c.window)) for c in cut)
        plan = ColumnPlan(
            source_ref(source),
            model,
            str(target),
            base,
            axes,
            tuple((b.start, b.stop) for b in bounds),
            tuple(anchors),
            shape,
            cut,
            digests,
            gate or Gate(),
            patience,
            name,
        )
        folder.write_plan(plan.to_json())
        folder.drop_examples(name)
    return plan


def _extents(
    labels: NDArray[np.generic], shape: tuple[int, int], where: str
) -> dict[int, columns.Extent]:
    """Return the extents of a plane's objects, read some rows at a time."""
    given = tuple(np.shape(labels))
    if given != shape:
        raise LabelsError(f"labels of shape {given} for a plane of {shape}", where=where)
    rows = max(1, columns.BAND // shape[1])
    bands = []
    for top in range(0, shape[0], rows):
        band = np.asarray(labels[top : top + rows])
        bands.append(columns.extents(as_labels(band, band.shape, where), top))
    return columns.joined(bands, same_plane=True)
