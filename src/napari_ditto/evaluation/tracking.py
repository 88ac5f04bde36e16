"""Tracks against the truth: link accuracy, id switches, and the figures of the field.

DET, TRA and division F1 are those of the library traccuracy. CHOTA follows Kaiser et al. 2024
(arXiv:2408.11571); the traccuracy that resolves beside current transformers has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core import synthetic
from napari_ditto.core.jobs import drain
from napari_ditto.core.lineage import Lineage
from napari_ditto.data.geff_file import edges
from napari_ditto.data.source import open_source
from napari_ditto.engine.linking import link_steps
from napari_ditto.engine.observation import FrameObjects, measure
from napari_ditto.engine.tracking import track
from napari_ditto.models.protocols import ContextModel

if TYPE_CHECKING:
    from traccuracy import TrackingGraph
    from traccuracy.matchers import Matched

Frames = NDArray[np.integer]

GIVEN = "given masks"
"""In place of a model's name: only the linking is measured."""

TIMELAPSE = ("images/T98G_sample_crop_tyx.tif", "masks/T98G_sample_crop_tracked_tyx.tif")
"""Movie and tracked masks of the set ``usiigaci_timelapse``."""


@dataclass(frozen=True, eq=False)
class Movie:
    """Labels of all frames under the ids of their tracks, and who descends from whom."""

    labels: Frames
    lineage: Lineage

    @classmethod
    def of(cls, labels: Frames, parents: Mapping[int, int] | None = None) -> Movie:
        """Return a movie whose objects of one id are one track."""
        tables = [measure(frame) for frame in labels]
        rows = [
            np.column_stack([t.ids, np.full(len(t.ids), n), t.centers])
            for n, t in enumerate(tables)
        ]
        points = np.concatenate(rows)
        order = np.lexsort((points[:, 1], points[:, 0]))
        there = set(points[:, 0].astype(int).tolist())
        known = {c: (m,) for c, m in (parents or {}).items() if {c, m} <= there}
        return cls(labels, Lineage(points[order], known))


@dataclass(frozen=True, slots=True)
class TrackingRow:
    """One movie, tracked by one model.

    Attributes
    ----------
    group, image, model : str
        Set, movie, and model; the model is "given masks" where the true masks were linked.
    frames, tracks, found_tracks : int
        Frames, and tracks in truth and as found.
    link_recall, link_precision : float
        Share of the true links that were found, and of the found ones that are true; objects are
        matched at an IoU of .5.
    id_switches : int
        How often a true track goes on under another id.
    det, tra, chota : float
        In [0, 1].
    divisions, found_divisions : int
        In truth, and as found.
    division_f1, division_f1_near : float
        In the very frame, and one frame off at most; NaN where nothing divides.
    """

    group: str
    image: str
    model: str
    frames: int
    tracks: int
    found_tracks: int
    link_recall: float
    link_precision: float
    id_switches: int
    det: float
    tra: float
    chota: float
    divisions: int
    found_divisions: int
    division_f1: float
    division_f1_near: float


def synthetic_rows(
    seeds: Sequence[int], model: ContextModel | None = None, *, frames: int = 20, cells: int = 8
) -> list[TrackingRow]:
    """Return a row for each synthetic movie of dividing cells, linked or tracked from frame 0."""
    rows = []
    for seed in seeds:
        made = synthetic.movie(frames, count=cells, seed=seed)
        truth = Movie.of(made.labels, made.parents)
        found = follow(made.image, truth, model)
        rows.append(score(truth, found, ("synthetic", f"seed {seed}", _name(model))))
    return rows


def timelapse_row(
    root: Path, model: ContextModel | None = None, frames: int | None = None
) -> TrackingRow:
    """Return the row of the real movie ``usiigaci_timelapse``, linked or tracked from frame 0."""
    import tifffile

    image, labels = (tifffile.imread(root / "usiigaci_timelapse" / p)[:frames] for p in TIMELAPSE)
    truth = Movie.of(labels)
    found = follow(image, truth, model)
    return score(truth, found, ("usiigaci_timelapse", "T98G", _name(model)))


def follow(image: NDArray[np.generic], truth: Movie, model: ContextModel | None) -> Movie:
    """Return the tracks of the true masks, or of those that a model finds after frame 0."""
    if model is None:
        linked = drain(link_steps(truth.labels))
    else:
        linked = track(open_source(image, axes="tyx"), {0: truth.labels[0]}, model)
    return Movie(np.asarray(linked.labels), linked.lineage)


def score(truth: Movie, found: Movie, names: tuple[str, str, str]) -> TrackingRow:
    """Return how well tracks agree with the truth."""
    from traccuracy.metrics import CTCMetrics, DivisionMetrics

    alike = match(truth, found, one_to_one=True)
    hits = true_links(alike)
    covered = match(truth, found, one_to_one=False)
    with redirect_stderr(StringIO()):  # traccuracy draws bars of its own
        divided = DivisionMetrics(max_frame_buffer=1).compute(alike).results
        field = CTCMetrics().compute(covered).results
    exact, near = (divided[f"Frame Buffer {n}"] for n in (0, 1))
    return TrackingRow(
        *names,
        frames=len(truth.labels),
        tracks=len(truth.lineage.tracks),
        found_tracks=len(found.lineage.tracks),
        link_recall=hits / max(1, alike.gt_graph.graph.number_of_edges()),
        link_precision=hits / max(1, alike.pred_graph.graph.number_of_edges()),
        id_switches=id_switches(alike),
        det=field["DET"],
        tra=field["TRA"],
        chota=chota(covered),
        divisions=int(exact["Total GT Divisions"]),
        found_divisions=int(exact["Total Predicted Divisions"]),
        division_f1=_f1(exact),
        division_f1_near=_f1(near),
    )


def match(truth: Movie, found: Movie, *, one_to_one: bool) -> Matched:
    """Return which found object is which true one.

    Parameters
    ----------
    truth, found : Movie
        Of equal shape.
    one_to_one : bool
        True: where their IoU is above one half. False: where the found one covers more than half
        of the true one, as the Cell Tracking Challenge does it.
    """
    from traccuracy.matchers import Matched

    (true, node), (got, other) = (_nodes(m) for m in (truth, found))
    pairs: list[tuple[int, int]] = []
    for number in range(len(truth.labels)):
        same = _same(truth.labels[number], found.labels[number], one_to_one)
        pairs += [(node[i, number], other[j, number]) for i, j in same]
    kind = {"matching type": "one-to-one"} if one_to_one or not pairs else {}
    return Matched(true, got, pairs, {"name": "overlap", **kind})


def true_links(matched: Matched) -> int:
    """Return how many links join the objects that a true link joins."""
    found = {true: got[0] for true, got in matched.gt_pred_map.items()}
    links = ((found.get(a), found.get(b)) for a, b in matched.gt_graph.graph.edges)
    return sum(matched.pred_graph.graph.has_edge(a, b) for a, b in links)


def id_switches(matched: Matched) -> int:
    """Return how often a true track goes on under another id, daughters excepted."""
    seen: dict[int, int] = {}
    switches = 0
    for node, got in sorted(matched.gt_pred_map.items()):
        was = int(matched.gt_graph.graph.nodes[node]["segmentation_id"])
        now = int(matched.pred_graph.graph.nodes[got[0]]["segmentation_id"])
        switches += seen.get(was, now) != now
        seen[was] = now
    return switches


def chota(matched: Matched) -> float:
    """Return the Cell-specific Higher Order Tracking Accuracy, in [0, 1].

    Kaiser et al. 2024, arXiv:2408.11571: as HOTA, but pairs agree by whole families, that is by
    all tracks that descend from one another.
    """
    true, true_kin = _families(matched.gt_graph)
    got, got_kin = _families(matched.pred_graph)
    shared = np.zeros((len(true_kin), len(got_kin)))
    for (a, b), count in Counter((true[a], got[b]) for a, b in matched.mapping).items():
        shared[a, b] = count
    lost = np.bincount(_unmatched(true, matched.gt_pred_map), minlength=len(true_kin))
    extra = np.bincount(_unmatched(got, matched.pred_gt_map), minlength=len(got_kin))
    both = true_kin @ shared @ got_kin.T
    either = (true_kin @ (shared.sum(1) + lost))[:, None] + got_kin @ (shared.sum(0) + extra) - both
    agreement = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    total = len(matched.mapping) + lost.sum() + extra.sum()
    return float(np.sqrt((shared * agreement).sum() / total)) if total else 0.0


def _families(graph: TrackingGraph) -> tuple[dict[Any, int], NDArray[np.float64]]:
    """Return the track of each node, and which tracks descend from one another (1) or not (0)."""
    import networkx as nx

    pieces = graph.get_tracklets(include_division_edges=False)
    number = {node: i for i, piece in enumerate(pieces) for node in piece.nodes}
    between: nx.DiGraph = nx.DiGraph()
    between.add_nodes_from(range(len(pieces)))
    edges = ((number[a], number[b]) for a, b in graph.graph.edges)
    between.add_edges_from((a, b) for a, b in edges if a != b)
    kin = np.eye(len(pieces))
    for ancestor in between:
        for descendant in nx.descendants(between, ancestor):
            kin[ancestor, descendant] = kin[descendant, ancestor] = 1
    return number, kin


def _unmatched(number: Mapping[Any, int], matched: Mapping[Any, object]) -> list[int]:
    return [track for node, track in number.items() if node not in matched]


def _nodes(movie: Movie) -> tuple[TrackingGraph, dict[tuple[int, int], int]]:
    """Return the tracks as a graph of the lineage's rows, and the row of each id and frame."""
    import networkx as nx
    from traccuracy import TrackingGraph

    points = movie.lineage.points
    keys = [(int(track), int(frame)) for track, frame in points[:, :2]]
    space = ("z", "y", "x")[5 - points.shape[1] :]
    graph: nx.DiGraph = nx.DiGraph()
    for node, (key, place) in enumerate(zip(keys, points[:, 2:].tolist(), strict=True)):
        where = dict(zip(space, place, strict=True))
        graph.add_node(node, t=key[1], segmentation_id=key[0], **where)
    graph.add_edges_from(edges(movie.lineage).tolist())
    return TrackingGraph(graph, location_keys=space), {key: i for i, key in enumerate(keys)}


def _same(
    a: NDArray[np.integer], b: NDArray[np.integer], one_to_one: bool
) -> list[tuple[int, int]]:
    """Return the ids of the objects of two frames that are taken for the same."""
    true, got = measure(a), measure(b)
    both = (a != 0) & (b != 0)
    met, pixels = np.unique(_numbers(a[both], b[both], got), return_counts=True)
    i, j = np.divmod(met, max(1, len(got.ids)))
    whole = true.areas[true.rows(i)]
    same = pixels > 0.5 * (whole + one_to_one * (got.areas[j] - pixels))
    return list(zip(i[same].tolist(), got.ids[j[same]].tolist(), strict=True))


def _numbers(
    true: NDArray[np.integer], got: NDArray[np.integer], table: FrameObjects
) -> NDArray[np.int64]:
    return true.astype(np.int64) * max(1, len(table.ids)) + table.rows(got)


def _f1(found: Mapping[str, float]) -> float:
    """Return F1 from counts; NaN if nothing divides in truth and result."""
    hits = found["True Positive Divisions"]
    total = found["Total GT Divisions"] + found["Total Predicted Divisions"]
    return float(2 * hits / total) if total else float("nan")


def _name(model: ContextModel | None) -> str:
    return GIVEN if model is None else model.spec.id
