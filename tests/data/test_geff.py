"""Tracks as GEFF, read back by the geff library."""

import numpy as np
import pytest

from napari_ditto.core.lineage import Lineage
from napari_ditto.data.geff_file import edges, write_geff
from napari_ditto.errors import StoreError

POINTS = np.array(
    [(3, 0, 1, 2), (3, 2, 1.5, 2), (7, 3, 0, 2), (70_000, 3, 4, 2), (70_000, 4, 5, 2)], dtype=float
)
LINEAGE = Lineage(POINTS, {7: (3,), 70_000: (3,)})


def test_edges_follow_tracks_and_divisions():
    assert sorted(map(tuple, edges(LINEAGE).tolist())) == [(0, 1), (1, 2), (1, 3), (3, 4)]


def test_geff_reads_what_was_written(tmp_path):
    import geff

    scores = np.array([np.nan, 0.5, 0.7, 0.8, 1], dtype=np.float32)
    path = write_geff(
        tmp_path / "a.geff", LINEAGE, scores=scores, scale=(0.5, 0.5), unit="micrometer"
    )
    graph, facts = geff.read(path, backend="networkx")
    nodes = [graph.nodes[i] for i in range(len(POINTS))]
    found = [(n["track"], n["t"], n["y"], n["x"]) for n in nodes]
    assert np.array_equal(found, POINTS)
    assert sorted(graph.edges) == [(0, 1), (1, 2), (1, 3), (3, 4)]
    assert "score" not in nodes[0]
    assert nodes[1]["score"] == pytest.approx(0.5)
    assert [(a.name, a.type, a.scale) for a in facts.axes] == [
        ("t", "time", None),
        ("y", "space", 0.5),
        ("x", "space", 0.5),
    ]
    assert facts.directed


def test_geff_of_volumes(tmp_path):
    import geff

    points = np.column_stack([POINTS, np.arange(5.0)])
    graph, facts = geff.read(write_geff(tmp_path / "a.geff", Lineage(points)), backend="networkx")
    assert [a.name for a in facts.axes] == ["t", "z", "y", "x"]
    assert graph.nodes[4]["x"] == 4


def test_no_tracks_at_all(tmp_path):
    import geff

    path = write_geff(tmp_path / "a.geff", Lineage(np.zeros((0, 4))))
    graph, _ = geff.read(path, backend="networkx")
    assert len(graph) == 0


def test_an_old_folder_is_never_replaced(tmp_path):
    with pytest.raises(StoreError, match="exists already"):
        write_geff(tmp_path, LINEAGE)
