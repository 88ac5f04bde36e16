"""Everything in a plane: each object found once and whole."""

import threading

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.synthetic import blobs, tissue
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.candidates import stability
from napari_ditto.engine.everything import EverythingResult, segment_all, segment_all_steps
from napari_ditto.errors import SourceError
from napari_ditto.testing.fakes import TRUTH_WINDOW, CountingModel, PerfectModel, paint_truth
from napari_ditto.testing.scenes import disc, snake, truth_source


def assert_same_objects(found, truth):
    """Assert a one-to-one relation of ids, pixel for pixel."""
    pairs = np.unique(np.stack([found.ravel().astype(np.int64), truth.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    assert [0, 0] in pairs.T.tolist() or 0 not in truth
    assert found.max(initial=0) == len(np.unique(truth[truth > 0]))


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shape", [(64, 64), (150, 203), (40, 300)])
def test_separate_cells_over_many_tiles_are_recovered(shape, seed, connected):
    truth = blobs(shape, 40, radius=9, seed=seed)
    found = segment_all(truth_source(truth), PerfectModel(64, connected), min_area=1)
    assert_same_objects(found, truth)


def test_confluent_tissue_is_recovered():
    truth = tissue((170, 190), 60, seed=4)
    assert_same_objects(segment_all(truth_source(truth), PerfectModel(64, True)), truth)


def test_objects_larger_than_a_tile_are_whole():
    truth = np.zeros((200, 260), np.uint8)
    truth[disc(truth.shape, (100, 100), 70)] = 1
    truth[150:190, 180:250] = 2
    truth[10:40, 190:200] = 3
    assert_same_objects(segment_all(truth_source(truth), PerfectModel(64)), truth)


def test_a_snake_is_one_object():
    truth = snake((120, 130)).astype(np.uint8)
    found = segment_all(truth_source(truth), PerfectModel(64, connected=True))
    assert_same_objects(found, truth)


def test_a_grid_of_points_finds_what_has_no_suggestions():
    truth = blobs((130, 100), 25, radius=9, seed=2)
    found = segment_all(truth_source(truth), CountingModel(PerfectModel(64)))
    assert_same_objects(found, truth)


def test_a_plane_of_a_stack():
    truth = np.stack([blobs((80, 90), 12, radius=8, seed=s) for s in range(3)])
    source = open_source(paint_truth(truth), axes="zyxc", window=TRUTH_WINDOW)
    assert_same_objects(segment_all(source, PerfectModel(64), {"z": 2}), truth[2])


def test_small_objects_are_left_out():
    truth = np.zeros((64, 64), np.uint8)
    truth[10:13, 10:13] = 1
    truth[30:40, 30:40] = 2
    found = segment_all(truth_source(truth), PerfectModel(64), min_area=50)
    assert np.array_equal(found, truth == 2)


def test_a_region_has_its_own_shape_and_cuts_nothing_else():
    truth = blobs((150, 150), 30, radius=9, seed=5)
    region = Box(40, 30, 110, 120)
    found = segment_all(truth_source(truth), PerfectModel(64), region=region, min_area=1)
    assert found.shape == region.shape
    assert_same_objects(found, truth[region.slices])


def test_nothing_in_nothing_out():
    found = segment_all(truth_source(np.zeros((70, 90), np.uint8)), PerfectModel(64))
    assert found.shape == (70, 90)
    assert not found.any()


def test_a_second_run_encodes_nothing():
    truth = blobs((150, 150), 30, radius=9, seed=5)
    cache, model = EmbeddingCache(directory=None), CountingModel(PerfectModel(64))
    first = segment_all(truth_source(truth), model, cache=cache)
    encoded = model.encoded
    assert encoded == 9
    again = segment_all(truth_source(truth), model, cache=cache)
    assert model.encoded == encoded
    assert np.array_equal(first, again)


def test_progress_counts_tiles_and_shows_partial_results():
    truth = blobs((150, 150), 30, radius=9, seed=5)
    steps = list(segment_all_steps(truth_source(truth), PerfectModel(64)))
    tiles = [p for p in steps if p.stage == "encode" and p.total > 1]
    assert [p.done for p in tiles] == list(range(9))
    partial = [p.partial for p in tiles if p.partial]
    assert isinstance(partial[-1], EverythingResult)
    assert 0 < partial[0].labels.max() < truth.max()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(threads):
    truth = blobs((200, 300), 30, radius=9, seed=4)
    source, model = truth_source(truth), PerfectModel(64)
    alone, together = (drain(segment_all_steps(source, model, threads=n)) for n in (1, threads))
    np.testing.assert_array_equal(alone.labels, together.labels)
    np.testing.assert_array_equal(alone.scores, together.scores)


def test_many_threads_stop_when_closed():
    truth = blobs((200, 300), 30, radius=9, seed=4)
    steps = segment_all_steps(truth_source(truth), PerfectModel(64), threads=3)
    for _ in range(8):
        next(steps)
    steps.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ditto-decode")]


def test_a_plane_too_large_for_memory_is_refused_before_anything_is_read():
    class Untouchable:
        shape, dtype, ndim = (2**40, 2**40), np.dtype(np.uint8), 2

        def __getitem__(self, index):
            raise AssertionError("read")

    source = open_source(Untouchable(), axes="yx", window=(0, 255))
    with pytest.raises(SourceError, match="Choose a region"):
        segment_all(source, PerfectModel(64))


def test_stability_is_the_share_of_sure_pixels():
    logits = np.array([[3.0, 0.5, -0.5, -3.0]], np.float32)
    assert stability(logits) == pytest.approx(1 / 3)
    assert stability(np.full((2, 2), -9, np.float32)) == 0
