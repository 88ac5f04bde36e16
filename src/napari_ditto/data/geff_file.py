"""Tracks as GEFF, the graph exchange format for tracking (liveimagetrackingtools.org/geff).

A zarr group with a node for each object and frame and an edge for each link, from earlier to
later; a node with two edges divides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.lineage import Lineage
from napari_ditto.data.whole_or_nothing import whole_or_nothing

SPACE = ("z", "y", "x")


def edges(lineage: Lineage) -> NDArray[np.int64]:
    """Return the links between the lineage's points, as pairs of row numbers, shape (n, 2)."""
    tracks = lineage.points[:, 0].astype(np.int64)
    inside = np.flatnonzero(np.diff(tracks) == 0)
    found = np.stack([inside, inside + 1], axis=1)
    between = [
        (np.searchsorted(tracks, mother, side="right") - 1, np.searchsorted(tracks, track))
        for track, mothers in lineage.parents.items()
        for mother in mothers
    ]
    return np.concatenate([found, np.array(between, dtype=np.int64).reshape(-1, 2)])


def write_geff(
    path: Path | str,
    lineage: Lineage,
    *,
    scores: NDArray[np.floating] | None = None,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
) -> Path:
    """Write tracks as a GEFF folder.

    Parameters
    ----------
    path : Path
        The new folder, usually ``*.geff``; it appears when all is written.
    lineage : Lineage
        The tracks, sorted by track and frame as :class:`Lineage` says.
    scores : ndarray of float, shape (n,), optional
        One for each point of `lineage`, NaN where not known; a property of the nodes.
    scale : sequence of float, optional
        Size of a pixel along ``(z,) y, x``; positions are written in pixels.
    unit : str, optional
        Of `scale`, such as ``"micrometer"``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    StoreError
        If the folder exists, or the disk refuses.
    """
    target = Path(path).expanduser().absolute()
    with whole_or_nothing(target, what="the tracks", folder=True) as partial:
        _write(partial, lineage, scores, scale, unit)
    return target


def _write(
    folder: Path,
    lineage: Lineage,
    scores: NDArray[np.floating] | None,
    scale: Sequence[float] | None,
    unit: str | None,
) -> None:
    from geff.core_io import write_arrays
    from geff_spec import GeffMetadata
    from geff_spec.utils import update_metadata_axes

    points = lineage.points
    space = SPACE[len(SPACE) - (points.shape[1] - 2) :]
    scales: list[float | None] | None = None if scale is None else [None, *map(float, scale)]
    facts = GeffMetadata(
        directed=True,
        node_props_metadata={},
        edge_props_metadata={},
        track_node_props={"tracklet": "track"},
    )
    metadata = update_metadata_axes(
        facts,
        ["t", *space],
        axis_types=["time", *("space" for _ in space)],
        axis_scales=scales,
        scaled_units=None if unit is None else [None, *(unit for _ in space)],
    )
    columns: dict[str, NDArray[np.generic]] = {
        "t": points[:, 1].astype(np.int64),
        "track": points[:, 0].astype(np.int64),
    }
    columns |= {name: points[:, 2 + i] for i, name in enumerate(space)}
    properties: dict[str, Any] = {k: {"values": v, "missing": None} for k, v in columns.items()}
    if scores is not None:
        missing = np.isnan(scores)
        known = np.where(missing, 0, scores).astype(np.float32)
        properties["score"] = {"values": known, "missing": missing}
    nodes = np.arange(len(points), dtype=np.uint64)
    write_arrays(
        folder,
        node_ids=nodes,
        node_props=properties,
        edge_ids=edges(lineage).astype(np.uint64),
        edge_props={},
        metadata=metadata,
        zarr_format=3,
    )
