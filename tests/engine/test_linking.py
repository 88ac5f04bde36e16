"""Tracks of given masks: who is who, who divides, and what plays no part in it."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core import synthetic
from napari_ditto.core.jobs import drain
from napari_ditto.engine.linking import Linked, link_steps
from napari_ditto.errors import LabelsError, ModelNotFoundError


def link(labels: object, **options: object) -> Linked:
    return drain(link_steps(labels, **options))


def square(frame: np.ndarray, label: int, y: int, x: int, side: int = 6) -> None:
    frame[y : y + side, x : x + side] = label


def crossing(frames: int = 6) -> np.ndarray:
    """One still cell under changing ids, and one that moves by 2 pixels."""
    labels = np.zeros((frames, 40, 40), dtype=np.int64)
    for t in range(frames):
        square(labels[t], 10 + t, 4, 4)
        square(labels[t], 30 - t, 20, 4 + 2 * t)
    return labels


def dividing() -> np.ndarray:
    """A disc that becomes two of .56 of its area after frame 2."""
    y, x = np.ogrid[:60, :60]
    labels = np.zeros((7, 60, 60), dtype=np.int32)
    for t in range(3):
        labels[t][np.hypot(y - 30, x - 30) <= 12] = 1
    for t in range(3, 7):
        away = 9 + 2 * (t - 3)
        labels[t][np.hypot(y - 30, x - 30 + away) <= 9] = 1
        labels[t][np.hypot(y - 30, x - 30 - away) <= 9] = 2
    return labels


def partition(labels: np.ndarray, names: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(labels[labels > 0].tolist(), names[labels > 0].tolist(), strict=True))


def test_tracks_take_the_ids_of_the_first_frame():
    found = link(crossing())
    assert partition(
        np.sign(crossing()) * (np.indices((6, 40, 40))[1] // 15 + 1), found.labels
    ) == {
        (1, 10),
        (2, 30),
    }
    assert found.lineage.tracks == (10, 30)
    assert found.lineage.points[:6].tolist() == [[10, t, 6.5, 6.5] for t in range(6)]
    assert np.isnan(found.scores[[0, 6]]).all()
    assert (found.scores[[1, 2, 7, 8]] > 0.5).all()
    assert found.review == ()


def test_a_division_makes_two_tracks_with_a_mother():
    found = link(dividing())
    assert found.lineage.divisions == {1: (2, 3)}
    assert set(np.unique(found.labels[2])) == {0, 1}
    assert set(np.unique(found.labels[3])) == {0, 2, 3}


def test_divisions_can_be_switched_off():
    assert link(dividing(), divisions=False).lineage.parents == {}


def test_napari_shows_points_and_parents_as_they_are():
    layers = pytest.importorskip("napari.layers")
    lineage = link(dividing()).lineage
    layer = layers.Tracks(lineage.points, graph=lineage.graph)
    assert np.array_equal(layer.data, lineage.points)
    assert layer.graph == {2: [1], 3: [1]}


@pytest.mark.parametrize(("missing", "tracks"), [(1, 1), (2, 1), (3, 2)])
def test_gaps_of_two_frames_are_closed_and_no_longer_ones(missing, tracks):
    labels = np.zeros((8, 30, 30), int)
    for t in (0, 1, *range(2 + missing, 8)):
        square(labels[t], 3, 10, 10)
    found = link(labels)
    assert len(found.lineage.tracks) == tracks
    assert not found.labels[2].any()


def test_a_gap_and_no_gap_wanted():
    labels = crossing()
    labels[2] = 0
    assert len(link(labels).lineage.tracks) == 2
    assert len(link(labels, gap=0).lineage.tracks) == 4


def test_all_cells_leave_and_others_come():
    labels = crossing(9)
    labels[3:6] = 0
    labels[6:] = labels[6:, ::-1, ::-1]
    found = link(labels)
    assert len(found.lineage.tracks) == 4
    assert any("vanishes" in d.reasons[0] for d in found.review)
    assert any("appears" in d.reasons[0] for d in found.review)
    assert [d.confidence for d in found.review] == sorted(d.confidence for d in found.review)


def test_a_movie_of_one_frame_and_one_of_nothing():
    assert link(crossing(1)).lineage.tracks == (10, 30)
    empty = link(np.zeros((3, 8, 8), int))
    assert empty.lineage.points.shape == (0, 4)
    assert empty.lineage.parents == {}
    assert not empty.labels.any()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 500))
def test_relabelling_the_input_relabels_the_output_and_nothing_else(seed):
    movie = synthetic.movie(14, (128, 128), 4, seed)
    rng = np.random.default_rng(seed)
    renamed = np.zeros_like(movie.labels)
    for t, frame in enumerate(movie.labels):
        names = rng.permutation(90_000)[: frame.max() + 1] + 1
        renamed[t] = np.where(frame > 0, names[frame], 0)
    a, b = link(movie.labels), link(renamed)
    names = partition(a.labels, b.labels)
    assert len(names) == len({x for x, _ in names}) == len({y for _, y in names})
    rename = dict(names)
    assert {(rename[c], rename[m]) for c, (m,) in a.lineage.parents.items()} == {
        (c, m) for c, (m,) in b.lineage.parents.items()
    }
    assert (b.labels[0] == renamed[0]).all()


@pytest.mark.parametrize("seed", range(3))
def test_synthetic_cells_are_tracked_without_a_fault(seed):
    movie = synthetic.movie(20, (256, 256), 8, seed)
    found = link(movie.labels)
    names = dict(partition(movie.labels, found.labels))
    assert len(names) == len(found.lineage.tracks) == movie.labels.max()
    assert {names[c]: (names[m],) for c, m in movie.parents.items() if c in names} == dict(
        found.lineage.parents
    )


def test_common_motion_does_not_matter():
    still = synthetic.blobs((200, 200), 8, 8.0, seed=2)
    still[:, :70] = still[:, 150:] = 0
    labels = np.stack([np.roll(still, 16 * t, axis=1) for t in range(4)])
    found = link(labels)
    assert partition(labels, found.labels) == {(i, i) for i in np.unique(still)[1:].tolist()}


def test_ids_above_16_bits_and_the_last_of_32():
    labels = crossing(3)
    labels[labels == 10] = 70_000
    labels[labels == 30] = 2**32 - 2
    found = link(labels)
    assert found.lineage.tracks == (70_000, 2**32 - 2)
    assert found.labels.dtype == np.uint32


def test_70000_objects_in_a_frame():
    frame = np.zeros((530, 530), dtype=np.int64)
    frame[::2, ::2] = np.arange(1, 265 * 265 + 1).reshape(265, 265)
    found = link(np.stack([frame, frame[::-1, ::-1]]))
    assert frame.max() > 70_000
    assert len(found.lineage.tracks) == frame.max()
    assert (found.labels[1, ::-1, ::-1][::2, ::2] > 0).all()


def test_no_free_id():
    labels = crossing(3)
    labels[0][labels[0] == 10] = 2**32 - 1
    square(labels[2], 5, 30, 30)
    with pytest.raises(LabelsError, match=r"no free id above 4294967295.*Relabel"):
        link(labels)


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (np.zeros((3, 8, 8)), {}, "float64"),
        (np.full((3, 8, 8), -1), {}, "-1"),
        (np.full((3, 8, 8), 2**33), {}, "8589934592"),
        (np.zeros((8, 8), int), {}, "no axis t"),
        (np.zeros((3, 8, 8), int), {"axes": "zyx"}, "no axis t"),
        (np.zeros((3, 8, 8), int), {"within": (1, 9)}, "no frames 1 to 9 among 3"),
        (np.zeros((3, 8, 8), int), {"gap": -1}, "at least 0"),
        (np.zeros((3, 8, 8), int), {"spacing": (1, 1, 1)}, "3 pixel sizes"),
        ([np.zeros((3, 3), int), np.zeros((4, 4), int)], {}, "differ in shape"),
        ([], {}, "none"),
    ],
)
def test_what_is_no_movie_of_labels(labels, options, said):
    with pytest.raises(LabelsError, match=said):
        link(labels, **options)


def test_frames_one_by_one_or_as_an_array_are_the_same(tmp_path):
    import zarr

    labels = dividing()
    stored = zarr.create_array(tmp_path / "a.zarr", data=labels, chunks=(1, 60, 60))
    expected = link(labels)
    for given_ in (list(labels), iter(labels), stored):
        found = link(given_)
        assert (found.labels == expected.labels).all()
        assert np.array_equal(found.lineage.points, expected.lineage.points)


def test_frames_are_read_when_needed_and_few_at_a_time():
    """No more than two reads of each frame, and never the whole."""
    labels = crossing(12)
    reads: list[int] = []

    class Recorder:
        shape, dtype, ndim = labels.shape, labels.dtype, 3

        def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
            part = labels[index]
            reads.append(part.shape[0])
            return part

    link(Recorder())
    assert reads == [1] * 24


def test_within_a_range_frames_keep_their_numbers():
    found = link(crossing(), within=(2, 5), keep=(2,))
    assert found.lineage.tracks == (12, 28)
    assert sorted(set(found.lineage.points[:, 1])) == [2, 3, 4]
    assert not found.labels[[0, 1, 5]].any()
    assert (found.labels[2] == crossing()[2]).all()


def test_ids_of_later_frames_of_the_user_are_kept_where_they_are_free():
    labels = crossing()
    square(labels[3], 77, 30, 30)
    square(labels[4], 99, 30, 30)
    found = link(labels, keep=(0, 4))
    assert found.lineage.tracks == (10, 30, 99)


def test_volumes_and_other_axis_orders():
    labels = np.stack([np.stack([f] * 3) for f in dividing()])
    found = link(labels, spacing=(2, 1, 1))
    assert found.lineage.divisions == {1: (2, 3)}
    assert found.lineage.points.shape[1] == 5
    swapped = link(labels.swapaxes(0, 1), axes="ztyx", spacing=(2, 1, 1))
    assert (swapped.labels.swapaxes(0, 1) == found.labels).all()
    assert swapped.lineage.divisions == found.lineage.divisions


def test_tracks_go_to_disk(tmp_path):
    import zarr

    found = link(dividing(), out=tmp_path / "tracks.zarr")
    assert isinstance(found.labels, zarr.Array)
    assert (found.labels[:] == link(dividing()).labels).all()


def test_written_planes_are_shown():
    steps = link_steps(crossing(3))
    planes = [s.partial for s in steps if s.stage == "write"]
    assert [str(p.address) for p in planes] == [f"yx plane at t={t}" for t in range(3)]
    assert planes[0].labels.max() == 30
    assert set(planes[1].confidence) == {10, 30}


def test_a_doubtful_link_says_why():
    labels = np.zeros((4, 60, 60), int)
    for t in range(4):
        square(labels[t], 1, *((20, 20, 24) if t < 2 else (38, 38, 12)))
    (doubt,) = link(labels, divisions=False).review
    assert doubt.address.index == {"t": 2}
    assert doubt.label == 1
    assert doubt.reasons == ("moved 0.6 diameters", "size x 0.25")
    assert doubt.confidence < 0.5


def test_trackastra_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackastra", None)
    with pytest.raises(ModelNotFoundError, match=r"not installed.*napari-ditto\[trackastra\]"):
        link(crossing(), linker="trackastra", image=crossing())


def test_trackastra_gets_numbered_masks_and_its_graph_becomes_tracks(monkeypatch):
    """A stand-in with the interface of trackastra 0.5: the real weights are not here."""
    import networkx as nx

    asked = {}

    class Trackastra:
        @classmethod
        def from_pretrained(cls, name: str, device: str) -> "Trackastra":
            asked.update(name=name, device=device)
            return cls()

        def track(self, imgs, masks, *, mode):
            asked.update(mode=mode, masks=masks)
            graph = nx.DiGraph()
            for t in range(3):
                for label in np.unique(masks[t])[1:].tolist():
                    graph.add_node((t, label), time=t, label=label)
            graph.add_edge((0, 1), (1, 1), weight=0.9)
            graph.add_edge((1, 1), (2, 1), weight=0.8)
            graph.add_edge((1, 1), (2, 2), weight=0.7)
            return graph, masks

    module = types.ModuleType("trackastra.model")
    module.Trackastra = Trackastra
    monkeypatch.setitem(sys.modules, "trackastra", types.ModuleType("trackastra"))
    monkeypatch.setitem(sys.modules, "trackastra.model", module)
    labels = dividing()[1:4] * 70_000
    found = link(labels, linker="trackastra", image=labels)
    assert (asked["name"], asked["mode"]) == ("general_2d", "greedy")
    assert asked["masks"].max() == 2
    assert found.lineage.divisions == {70_000: (70_001, 70_002)}
    assert found.scores[1] == pytest.approx(0.9)


def test_trackastra_wants_the_image():
    with pytest.raises(LabelsError, match="wants an image"):
        link(crossing(), linker="trackastra")


def test_many_cells_that_all_come_at_once_are_not_compared_one_by_one():
    frame = np.zeros((300, 300), dtype=np.int64)
    frame[::3, ::3] = np.arange(1, 10_001).reshape(100, 100)
    half = np.where(frame % 2 == 0, frame, 0)
    found = link(np.stack([half, frame]))
    assert len(found.lineage.tracks) == 10_000
    assert found.lineage.parents == {}
