"""From links to tracks: ids, who descends from whom, and what wants a look."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.lineage import Lineage
from napari_ditto.core.propagation import Doubt
from napari_ditto.engine.frames import Frames
from napari_ditto.engine.links import Links, Nodes
from napari_ditto.engine.observation import LARGEST_ID, Indices
from napari_ditto.errors import LabelsError

SURE = 0.5
"""Links below want a look."""

UNEXPLAINED = 0.5
"""Confidence of a track that begins or ends in the middle of the picture."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks of all objects of a movie.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        The track of each node.
    lineage : Lineage
        The same for people and formats.
    scores : ndarray of float32, shape (n,)
        How sure the link is that leads to each of the lineage's points, NaN where none does.
    """

    ids: Indices
    lineage: Lineage
    scores: NDArray[np.float32]


def name_tracks(nodes: Nodes, links: Links, keep: Collection[int] = (0,), start: int = 0) -> Tracks:
    """Return tracks under the ids that the user gave, the others under new ones.

    Parameters
    ----------
    nodes, links : Nodes, Links
        Who goes on as whom.
    keep : collection of int
        Frames whose ids are the user's. A track has the id of its first object in one of them,
        unless an earlier track has it already.
    start : int
        Number of the first frame.
    """
    number = _chains(links)
    kept = np.isin(nodes.frame, sorted(keep))
    names = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    taken: set[int] = set()
    for node in np.flatnonzero(kept).tolist():
        label = int(nodes.ids[node])
        if not names[number[node]] and label not in taken:
            names[number[node]] = label
            taken.add(label)
    unnamed = np.flatnonzero(names == 0)
    names[unnamed] = max(taken, default=0) + 1 + np.arange(unnamed.size)
    if names.max(initial=0) > LARGEST_ID:
        raise LabelsError(f"no free id above {max(taken)}", todo="Relabel the first frame")
    ids = names[number]
    born = np.flatnonzero(links.mother >= 0)
    parents = {int(ids[n]): (int(ids[links.mother[n]]),) for n in born}
    order = np.lexsort((nodes.frame, ids))
    points = np.column_stack([ids, nodes.frame + start, nodes.centers])[order]
    return Tracks(ids, Lineage(points, dict(sorted(parents.items()))), links.score[order])


def doubts(nodes: Nodes, links: Links, ids: Indices, frames: Frames) -> tuple[Doubt, ...]:
    """Return what wants a look, worst first.

    Parameters
    ----------
    nodes, links : Nodes, Links
        Who goes on as whom.
    ids : ndarray of int64, shape (n,)
        The track of each node.
    frames : Frames
        Says which plane a place is in.
    """
    found = [
        Doubt(_address(nodes, node, frames), int(ids[node]), confidence, reasons)
        for node, confidence, reasons in (*_weak(nodes, links), *_loose(nodes, links))
    ]
    return tuple(sorted(found, key=lambda d: (d.confidence, str(d.address), d.label)))


def _chains(links: Links) -> Indices:
    """Return a number from 0 for each node's track, in the order in which tracks begin."""
    begins = links.previous < 0
    number = np.where(begins, np.cumsum(begins) - 1, -1)
    for node in np.flatnonzero(~begins).tolist():
        number[node] = number[links.previous[node]]
    return number


Found = tuple[int, float, tuple[str, ...]]


def _weak(nodes: Nodes, links: Links) -> Iterator[Found]:
    """Yield links and divisions that are not sure."""
    for node in np.flatnonzero(links.score < SURE).tolist():
        mother, previous = int(links.mother[node]), int(links.previous[node])
        if mother >= 0:
            yield node, float(links.score[node]), ("doubtful daughter",)
        else:
            yield node, float(links.score[node]), tuple(_reasons(nodes, previous, node))


def _reasons(nodes: Nodes, before: int, after: int) -> Iterator[str]:
    missing = int(nodes.frame[after] - nodes.frame[before]) - 1
    moved = float(np.linalg.norm(nodes.places[after] - nodes.places[before]))
    moved /= float(nodes.diameters[before])
    ratio = float(nodes.areas[after] / nodes.areas[before])
    if missing:
        yield f"missing for {missing} frames" if missing > 1 else "missing for 1 frame"
    if moved > 0.5:
        yield f"moved {moved:.1f} diameters"
    if not 2 / 3 < ratio < 3 / 2:
        yield f"size x {ratio:.2f}"
    if not missing and moved <= 0.5 and 2 / 3 < ratio < 3 / 2:
        yield "another fits as well"


def _loose(nodes: Nodes, links: Links) -> Iterator[Found]:
    """Yield tracks that begin or end where nothing explains it."""
    divided = np.zeros(len(nodes), dtype=bool)
    divided[links.mother[links.mother >= 0]] = True
    inside = ~nodes.at_border
    begins = (links.previous < 0) & (links.mother < 0) & (nodes.frame > 0) & inside
    ends = (links.following < 0) & ~divided & (nodes.frame < nodes.frames - 1) & inside
    for node in np.flatnonzero(begins).tolist():
        yield node, UNEXPLAINED, ("appears inside the picture",)
    for node in np.flatnonzero(ends).tolist():
        yield node, UNEXPLAINED, ("vanishes inside the picture",)


def _address(nodes: Nodes, node: int, frames: Frames) -> PlaneAddress:
    """Return the plane through an object's centre."""
    others = [name for name in frames.axes if name != frames.axis]
    place = dict(zip(others, np.rint(nodes.centers[node]).astype(int).tolist(), strict=True))
    return frames.address(int(nodes.frame[node]), place)
