"""Tracks in CTC format, read back by traccuracy."""

import numpy as np
import pytest

from napari_ditto.core import synthetic
from napari_ditto.core.lineage import Lineage
from napari_ditto.data.ctc import runs, write_ctc
from napari_ditto.errors import StoreError


def square(frame: np.ndarray, label: int, y: int, x: int) -> None:
    frame[y : y + 4, x : x + 4] = label


def dividing() -> tuple[np.ndarray, Lineage]:
    """One cell with a gap in frame 1, which divides after frame 2."""
    labels = np.zeros((5, 20, 20), dtype=np.uint32)
    for frame in (0, 2):
        square(labels[frame], 70_000, 8, 8)
    for frame in (3, 4):
        square(labels[frame], 5, 4, 8)
        square(labels[frame], 9, 12, 8)
    points = [(5, 3, 5.5, 9.5), (5, 4, 5.5, 9.5), (9, 3, 13.5, 9.5), (9, 4, 13.5, 9.5)]
    points += [(70_000, 0, 9.5, 9.5), (70_000, 2, 9.5, 9.5)]
    return labels, Lineage(np.array(points, dtype=float), {5: (70_000,), 9: (70_000,)})


def test_a_gap_becomes_a_parent_with_one_child():
    found = [(r.track, r.begin, r.end, r.parent) for r in runs(dividing()[1])]
    assert found == [(5, 3, 4, 4), (9, 3, 4, 4), (70_000, 0, 0, 0), (70_000, 2, 2, 3)]


def test_traccuracy_reads_what_was_written(tmp_path):
    from traccuracy.loaders import load_ctc_data

    labels, lineage = dividing()
    folder = write_ctc(tmp_path / "out", labels, lineage)
    graph = load_ctc_data(str(folder))
    assert sorted(p.name for p in folder.iterdir()) == [
        *(f"mask{i:03}.tif" for i in range(5)),
        "res_track.txt",
    ]
    assert ((graph.segmentation > 0) == (labels > 0)).all()
    assert graph.segmentation.dtype == np.uint16
    assert sorted(graph.graph.edges) == [
        ("1_3", "1_4"), ("2_3", "2_4"), ("3_0", "4_2"), ("4_2", "1_3"), ("4_2", "2_3"),
    ]  # fmt: skip


def test_a_movie_survives_the_round_trip(tmp_path):
    from traccuracy.loaders import load_ctc_data

    movie = synthetic.movie(12, (96, 96), 4, seed=3)
    where = np.argwhere([[(f == i).any() for f in movie.labels] for i in np.arange(60)[1:]])
    points = np.column_stack([where[:, 0] + 1, where[:, 1], np.zeros((len(where), 2))])
    lineage = Lineage(points.astype(float), {k: (v,) for k, v in movie.parents.items()})
    graph = load_ctc_data(str(write_ctc(tmp_path / "gt", movie.labels, lineage, truth=True)))
    assert len(graph.graph) == len(points)
    assert len(graph.get_divisions()) == len(lineage.divisions)
    assert (tmp_path / "gt" / "man_track.txt").exists()


def test_more_tracks_than_16_bits_number_are_refused(tmp_path):
    tracks = np.arange(1, 65_537)
    points = np.column_stack([tracks, np.zeros((len(tracks), 3))])
    with pytest.raises(StoreError, match=r"65536 tracks.*65535 at most.*GEFF"):
        write_ctc(tmp_path / "out", [np.zeros((4, 4), int)], Lineage(points))
    assert not list(tmp_path.iterdir())


def test_an_old_folder_is_never_replaced(tmp_path):
    labels, lineage = dividing()
    with pytest.raises(StoreError, match="exists already"):
        write_ctc(tmp_path, labels, lineage)


def test_a_failure_leaves_nothing_behind(tmp_path):
    labels, lineage = dividing()

    class Broken:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> np.ndarray:
            if index == 3:
                raise OSError(28, "No space left on device")
            return labels[index]

    with pytest.raises(StoreError, match="No space left"):
        write_ctc(tmp_path / "out", Broken(), lineage)
    assert not list(tmp_path.iterdir())


def test_no_tracks_at_all(tmp_path):
    folder = write_ctc(tmp_path / "out", np.zeros((2, 8, 8), int), Lineage(np.zeros((0, 4))))
    assert (folder / "res_track.txt").read_text() == ""
