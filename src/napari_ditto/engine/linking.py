"""Objects of a movie linked into tracks, with divisions, gaps, births and deaths.

The frames are read twice, one at a time: to measure, and to write their tracks. Between stands a
table of objects, from which everything is decided: links from frame to frame (:mod:`.links`), then
gaps and divisions (:mod:`.segments`). Neither the ids of the objects nor their order play a part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.lineage import Lineage
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt, PlaneDone
from napari_ditto.data.arrays import Sliceable
from napari_ditto.data.protocols import LabelStore
from napari_ditto.engine.frames import Frames, new_store, write_plane
from napari_ditto.engine.joining import relabel
from napari_ditto.engine.lineages import Tracks, doubts, name_tracks
from napari_ditto.engine.links import Links, Nodes, Rules, link_frames
from napari_ditto.engine.observation import FrameObjects, observe_steps
from napari_ditto.engine.segments import LATE, join_segments
from napari_ditto.errors import LabelsError

Linker = Literal["laptrack", "trackastra"]


@dataclass(frozen=True, eq=False)
class Linked:
    """A movie whose objects have the ids of their tracks.

    Attributes
    ----------
    labels : ndarray of uint32, or zarr.Array
        Of the shape of the labels that were given.
    lineage : Lineage
        Tracks and mothers; for napari ``viewer.add_tracks(lineage.points, graph=lineage.graph)``.
    scores : ndarray of float32, shape (n,)
        How sure the link is that leads to each of the lineage's points, in [0, 1]; NaN where none
        does.
    review : tuple of Doubt
        What wants a look, worst first.
    """

    labels: object
    lineage: Lineage
    scores: NDArray[np.float32]
    review: tuple[Doubt, ...] = ()


def link_steps(
    labels: Sliceable | Iterable[NDArray[np.integer]],
    *,
    axes: Sequence[str] | None = None,
    axis: str = "t",
    max_distance: float | None = None,
    gap: int = 2,
    divisions: bool = True,
    spacing: Sequence[float] | None = None,
    keep: Collection[int] = (0,),
    linker: Linker = "laptrack",
    image: NDArray[np.generic] | None = None,
    within: tuple[int, int] | None = None,
    out: Path | str | LabelStore | None = None,
) -> Generator[Progress, None, Linked]:
    """Return tracks of labelled objects.

    Parameters
    ----------
    labels : array or iterable of ndarray of int
        All frames as one array (numpy, dask, zarr), read frame by frame; or frames one by one,
        which are then held in memory. Ids need not agree between frames; 0 is background.
    axes : sequence of str, optional
        Names of the array's axes; ``tyx`` or ``tzyx`` by default.
    axis : str
        The axis of time.
    max_distance : float, optional
        Farthest that an object moves from frame to frame beyond the common motion, in units of
        `spacing`; derived from the movie by default.
    gap : int
        In how many frames on end an object may be missing.
    divisions : bool
        Whether an object may become two.
    spacing : sequence of float, optional
        Size of a pixel on each axis of a frame.
    keep : collection of int
        Frames whose ids are the user's; tracks keep them.
    linker : {"laptrack", "trackastra"}
        "trackastra" is a transformer of its own package (extra ``trackastra``); it wants the
        image, and holds image and labels in memory.
    image : array, optional
        The movie itself, of the shape of `labels`.
    within : (int, int), optional
        The frames to link, half-open; all by default. Others stay empty.
    out : Path or LabelStore, optional
        A new OME-Zarr for the tracks' labels, or where to write them, which may be the store that
        `labels` come from; in memory by default.

    Yields
    ------
    Progress
        Two for each frame; written ones carry a :class:`PlaneDone` per plane.

    Raises
    ------
    LabelsError
        If the labels are no ids, or have no such axis, or ids run out.
    ModelNotFoundError
        If Trackastra is not installed.
    StoreError
        If `out` cannot be written.

    Notes
    -----
    A daughter has .2 to .8 of the mother's area, both together .5 to 1.6; their common centre lies
    within the mother's diameter, and both live three frames or more, unless they leave or the
    movie ends. Both daughters are new tracks.
    """
    frames = Frames(labels, axes, axis, within)
    rules = Rules(max_distance, gap, divisions, None if spacing is None else tuple(spacing))
    _check(rules, frames)
    tables, meetings = yield from observe_steps(frames, max(gap, LATE) + 1)
    nodes = Nodes(tables, meetings, rules)
    yield Progress("merge", 0, 1, "linking")
    if linker == "trackastra":
        from napari_ditto.engine.trackastra_linker import link_with_trackastra

        links = link_with_trackastra(nodes, tables, frames, image, divisions=divisions)
    else:
        links = link_frames(nodes)
        join_segments(nodes, links, rules)
    tracks = name_tracks(nodes, links, [k - frames.start for k in keep], frames.start)
    review = doubts(nodes, links, tracks.ids, frames)
    store = out if isinstance(out, LabelStore) else new_store(frames.shape, frames.axes, out)
    yield from _write(store, frames, tables, nodes, links, tracks, review)
    return Linked(store.data, tracks.lineage, tracks.scores, review)


def _check(rules: Rules, frames: Frames) -> None:
    if rules.gap < 0 or (rules.max_distance is not None and rules.max_distance <= 0):
        raise LabelsError("a gap is at least 0, and a distance more")
    if rules.spacing is not None and len(rules.spacing) != len(frames.shape) - 1:
        raise LabelsError(
            f"{len(rules.spacing)} pixel sizes for frames of {len(frames.shape) - 1} axes"
        )


def _write(
    store: LabelStore,
    frames: Frames,
    tables: Sequence[FrameObjects],
    nodes: Nodes,
    links: Links,
    tracks: Tracks,
    review: Sequence[Doubt],
) -> Generator[Progress, None, None]:
    """Write the labels under the ids of their tracks, frame by frame."""
    by_plane = defaultdict(list)
    for doubt in review:
        by_plane[doubt.address].append(doubt)
    total = len(frames)
    for number, table in enumerate(tables):
        here = nodes.of_frame(number)
        frame = relabel(frames[number], table, tracks.ids[here])
        known = dict(zip(tracks.ids[here].tolist(), links.score[here].tolist(), strict=True))
        for at, address in frames.planes(number):
            write_plane(store, address, frame[at])
            shown = {i: known[i] for i in np.unique(frame[at]).tolist() if i}
            done = PlaneDone(address, frame[at], shown, tuple(by_plane[address]))
            yield Progress("write", number + 1, total, f"frame {number + 1} of {total}", done)
