"""Linking by Trackastra (Gallusser & Weigert 2024), if the user has it.

Its network is made for cells; it fetches its own weights, once, from its authors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ditto.engine.frames import Frames
from napari_ditto.engine.joining import relabel
from napari_ditto.engine.links import Links, Nodes
from napari_ditto.engine.observation import FrameObjects
from napari_ditto.errors import LabelsError, ModelNotFoundError
from napari_ditto.models.online import require_online

if TYPE_CHECKING:
    import networkx as nx

WEIGHTS = {2: "general_2d", 3: "ctc"}
"""The published weights by axes of a frame."""


class Tracker(Protocol):
    """What is used of ``trackastra.model.Trackastra``."""

    def track(
        self, imgs: NDArray[np.generic], masks: NDArray[np.integer], *, mode: str
    ) -> tuple[nx.DiGraph, NDArray[np.integer]]:
        """Return the graph, whose nodes know ``time`` and ``label``, and the tracked masks."""
        ...


def link_with_trackastra(
    nodes: Nodes,
    tables: Sequence[FrameObjects],
    frames: Frames,
    image: NDArray[np.generic] | None,
    *,
    divisions: bool = True,
    model: Tracker | None = None,
) -> Links:
    """Return the links that Trackastra chooses, gaps excepted: it has none.

    Parameters
    ----------
    nodes, tables : Nodes, sequence of FrameObjects
        The objects.
    frames : Frames
        Their labels; all are held in memory.
    image : array
        The movie, of the shape of the frames.
    divisions : bool
        Whether an object may become two.
    model : Tracker, optional
        The published weights by default.

    Raises
    ------
    ModelNotFoundError
        If Trackastra is not installed.
    LabelsError
        If there is no image of the labels' shape.
    """
    if image is None or image.shape != frames.shape:
        raise LabelsError(f"Trackastra wants an image of the labels' shape {frames.shape}")
    model = model or _published(len(frames.shape) - 1)
    # Its graph speaks of labels; positions in the table are unique however large the ids are.
    numbered = np.stack([_numbered(frames[i], table) for i, table in enumerate(tables)])
    movie = np.moveaxis(np.asarray(image), frames.axes.index(frames.axis), 0)
    graph, _ = model.track(movie, numbered, mode="greedy" if divisions else "greedy_nodiv")
    return _links(nodes, graph)


def _published(axes: int) -> Tracker:
    try:
        from trackastra.model import Trackastra
    except ImportError as error:
        raise ModelNotFoundError(
            "Trackastra is not installed",
            todo="pip install 'napari-ditto[trackastra]', or use linker='laptrack'",
        ) from error
    # It fetches what is not in its folder, and asks nobody.
    if not (Path("~/.trackastra/.models").expanduser() / WEIGHTS[axes]).exists():
        require_online(f"Trackastra's weights {WEIGHTS[axes]}")
    tracker: Tracker = Trackastra.from_pretrained(WEIGHTS[axes], device="automatic")
    return tracker


def _numbered(frame: NDArray[np.integer], table: FrameObjects) -> NDArray[np.int32]:
    return relabel(frame, table, np.arange(1, len(table.ids) + 1)).astype(np.int32)


def _links(nodes: Nodes, graph: nx.DiGraph) -> Links:
    """Return the edges of a networkx graph whose nodes know their ``time`` and ``label``."""
    place = {
        node: int(nodes.first[int(facts["time"])]) + int(facts["label"]) - 1
        for node, facts in graph.nodes(data=True)
    }
    links = Links.none(len(nodes))
    for node in graph.nodes:
        after = [place[n] for n in graph.successors(node)]
        sure = np.array([graph.edges[node, n].get("weight", 1.0) for n in graph.successors(node)])
        if len(after) == 1:
            links.add(np.array([place[node]]), np.array(after), sure)
        elif after:
            links.divide(place[node], (after[0], after[1]), float(sure.min()))
    return links
