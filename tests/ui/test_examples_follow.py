"""Following as a job: ways, whose plane it is, what is written; and ids beyond 65,535."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.source import open_source
from napari_ditto.testing.blobs import BlobContextModel
from napari_ditto.ui.examples import ways
from napari_ditto.ui.examples.follow_jobs import Trail, Way, follow_steps
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.label_writing import Print, exchange, repaint
from napari_ditto.ui.workshop import Workshop

SIDE = 48


def movie(shape=(3, 4)):
    """Return labels of shape (t, z, y, x): two discs that drift, ids 1 and 70,000."""
    out = np.zeros((*shape, SIDE, SIDE), np.uint32)
    y, x = np.ogrid[:SIDE, :SIDE]
    for t, z in np.ndindex(*shape):
        for label, (cy, cx) in ((1, (14, 14)), (70_000, (32, 30))):
            out[t, z][(y - cy - t) ** 2 + (x - cx - z) ** 2 <= 36] = label
    return out


def address(t, z):
    return PlaneAddress("y", "x", (("t", t), ("z", z)))


class Case:
    def __init__(self, axis="t,z", first=0, last=2):
        self.truth = movie()
        pixels = np.where(self.truth > 0, 200, 10).astype(np.uint8)
        self.source = open_source(pixels, axes="tzyx", window=(0, 255))
        labels = np.zeros_like(self.truth)
        labels[1, 2] = self.truth[1, 2]
        self.store = ArrayLabels(labels, "tzyx")
        self.way = ways.make_way(self.source, address(1, 2), axis, first, last)
        self.trail = Trail()
        self.model = BlobContextModel()
        self.workshop = Workshop(lambda: EmbeddingCache(directory=None), lambda n, d: self.model)
        self.deltas = []

    def run(self, *examples, store=None):
        return drain(
            follow_steps(
                self.workshop, Setup(self.source, "blob", "cpu"), store or self.store, self.way,
                examples or (self.example(),), self.trail, self.deltas,
                kinds="objects", overlap="keep",
            )
        )  # fmt: skip

    def example(self, t=1, z=2):
        return PlaneExample(self.source, address(t, z), self.truth[t, z].copy(), partial=True)


def test_axes_to_choose_from():
    case = Case()
    choices = ways.axis_choices(case.source, address(0, 0))
    assert [(c.key, c.text) for c in choices] == [("z", "z"), ("t", "t"), ("t,z", "t and z")]
    assert choices[-1].note == "12 planes in one run"
    flat = open_source(np.zeros((1, 8, 8), np.uint8), axes="zyx")
    assert ways.axis_choices(flat, flat.plane()) == ()
    assert ways.usual_kind("t") == "cells"
    assert ways.usual_kind("z") == ways.usual_kind("t,z") == "objects"


def test_a_way_knows_its_planes():
    way = Case("z", 1, 2).way
    assert list(way.positions()) == [(1,), (2,)]
    assert way.position(address(1, 2)) == (2,)
    assert way.position(address(1, 3)) is None, "outside the bounds"
    assert way.position(address(0, 2)) is None, "another time"
    assert way.position(PlaneAddress("z", "x", (("t", 1), ("y", 2)))) is None, "another view"
    assert way.address((1,)) == address(1, 1)


def test_t_and_z_in_one_job_with_large_ids():
    case = Case()
    case.run()
    np.testing.assert_array_equal(case.store.data, case.truth)
    assert len(case.deltas) == 11


def test_one_axis_leaves_the_others_alone():
    case = Case("z", 0, 3)
    case.run()
    np.testing.assert_array_equal(case.store.data[1], case.truth[1])
    assert not case.store.data[[0, 2]].any()


def test_a_second_run_does_nothing_again():
    case = Case()
    assert case.run() == 0
    encoded, decoded = case.model.encoded, case.model.decoded
    assert case.run() == 11
    assert (case.model.encoded, case.model.decoded) == (encoded, decoded)


def test_an_object_that_the_user_adds_to_a_plane_is_followed_too():
    case = Case()
    case.truth[case.truth == 70_000] = 0
    case.store.data[:] = np.where(case.store.data == 1, 1, 0)
    case.run()
    assert set(np.unique(case.store.data)) == {0, 1}
    whole = movie()
    case.store.data[0, 0][whole[0, 0] == 70_000] = 5
    case.run()
    assert (case.store.data[0, 1] == 5).any()


def test_a_new_layer_gets_the_examples_too():
    case = Case()
    empty = ArrayLabels(np.zeros_like(case.truth), "tzyx")
    case.run(store=empty)
    np.testing.assert_array_equal(empty.data, case.truth)


def test_other_objects_keep_their_pixels():
    case = Case("z", 0, 3)
    case.store.data[1, 3, 14:20, 14:20] = 9
    case.run()
    assert (case.store.data[1, 3] == 9).sum() == 36


def test_examples_of_one_plane_are_joined():
    case = Case("z", 0, 3)
    case.store.data[:] = 0
    one = case.example()
    parts = [PlaneExample(case.source, one.address, one.labels, ids=(n,)) for n in (1, 70_000)]
    case.run(*parts)
    np.testing.assert_array_equal(case.store.data[1], case.truth[1])


# --- writing --------------------------------------------------------------------------------------


@pytest.fixture
def flat():
    data = np.zeros((6, 6), np.uint16)
    data[:2], data[2:4] = 1, 2
    return ArrayLabels(data, "yx")


def test_repaint_touches_only_its_ids(flat):
    new = np.zeros((6, 6), np.uint16)
    new[1:5, 3:] = 1
    delta = repaint(flat, PlaneAddress(), new, {1}, "keep")
    assert (flat.data[2:4] == 2).all()
    assert (flat.data == 1).sum() == 6
    flat.revert(delta)
    assert (flat.data[:2] == 1).all()
    repaint(flat, PlaneAddress(), new, {1}, "replace")
    assert (flat.data == 1).sum() == 12


def test_exchange_replaces_an_object(flat):
    mask = np.ones((3, 3), bool)
    exchange(flat, PlaneAddress(), (6, 6), 1, Box(4, 4, 7, 7), mask, "keep")
    assert (flat.data == 1).sum() == 4, "what lies outside the plane is cut off"
    assert (flat.data[2:4] == 2).all()


def test_prints_tell_followed_objects_and_others(flat):
    before = Print.of(flat.data, {1})
    assert before.others == {2}
    flat.data[5, 5] = 3
    after = Print.of(flat.data, {1})
    assert after.digest == before.digest
    assert after.others == {2, 3}
    flat.data[0, 0] = 0
    assert Print.of(flat.data, {1}).digest != before.digest


def test_positions_of_a_way_count():
    way = Way(("t", "z"), address(0, 0), {"t": (0, 2), "z": (1, 4)})
    assert way.count == len(list(way.positions())) == 6


def test_ids_that_do_not_fit_are_refused_not_wrapped():
    from napari_ditto.errors import LabelsError

    narrow = ArrayLabels(np.zeros((6, 6), np.uint8), "yx")
    with pytest.raises(LabelsError, match="id 300 does not fit"):
        repaint(narrow, PlaneAddress(), np.full((6, 6), 300, np.uint32), {300}, "keep")
    assert not narrow.data.any()
