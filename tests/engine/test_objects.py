"""Operations on objects: what they do to pixels, on labels in memory and on disk."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.data.label_edit import write_plane
from napari_ditto.data.label_search import COUNTABLE
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.engine.object_splitting import part_planes, split_by_clicks, split_by_line
from napari_ditto.engine.objects import (
    LabelImage,
    delete,
    give_id,
    merge,
    renumber,
)
from napari_ditto.errors import JobCancelled, LabelsError, StoreError

SHAPE = (3, 24, 20)
PLANE = PlaneAddress("y", "x", (("z", 1),))
SIDE = PlaneAddress("z", "x", (("y", 9),))


def blobs(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Return boxes under ids with gaps, some of them through several planes."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for label in rng.permutation([1, 2, 4, 7, 9, 300])[: rng.integers(2, 7)]:
        low = [int(rng.integers(0, n - 1)) for n in shape]
        high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, shape, strict=True)]
        labels[tuple(map(slice, low, high))] = label
    return labels


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """Return a maker of label pyramids in which the same objects cross the borders of chunks."""
    folder, numbers = tmp_path_factory.mktemp("labels"), itertools.count()

    def make(labels):
        path = folder / f"{next(numbers)}.ome.zarr"
        store = PyramidLabels.create(path, labels.shape, "zyx", dtype=labels.dtype, chunk=8)
        for z, plane in enumerate(labels):
            at = PlaneAddress("y", "x", (("z", z),))
            store.paint(at, Box.of_shape(plane.shape), plane)
        return store

    return make


def in_memory(labels):
    return ArrayLabels(labels.copy(), "zyx")


def content(store):
    return np.array(store.data[...])


def undo(store, changed):
    for delta in reversed(changed.deltas):
        store.revert(delta)


def redo(store, changed):
    for delta in changed.deltas:
        store.apply(delta)


def check_undo(store, changed, before):
    after = content(store)
    undo(store, changed)
    np.testing.assert_array_equal(content(store), before)
    redo(store, changed)
    np.testing.assert_array_equal(content(store), after)


@st.composite
def operations(draw):
    """Draw labels, an operation on them, and what must come of it."""
    labels = blobs(draw(st.integers(0, 10_000)))
    used = [int(i) for i in np.unique(labels) if i]
    some = draw(st.lists(st.sampled_from(used), min_size=1, unique=True))
    name = draw(st.sampled_from(["merge", "delete", "delete here", "renumber", "give"]))
    expected = labels.copy()
    if name == "merge" and len(some) > 1:
        expected[np.isin(labels, some)] = some[0]
        return labels, lambda image: merge(image, some), expected
    if name == "delete here" and (here := [i for i in some if (labels[1] == i).any()]):
        expected[1][np.isin(labels[1], here)] = 0
        return labels, lambda image: delete(image, here, PLANE), expected
    if name == "renumber" and used != list(range(1, len(used) + 1)):
        expected = np.searchsorted([0, *used], labels).astype(labels.dtype)
        return labels, renumber, expected
    if name == "give":
        expected[labels == some[0]] = 500
        return labels, lambda image: give_id(image, some[0], 500), expected
    expected[np.isin(labels, some)] = 0
    return labels, lambda image: delete(image, some), expected


class TestPixels:
    @settings(max_examples=40, deadline=None)
    @given(operations())
    def test_only_the_objects_change_and_undo_is_exact(self, operation):
        labels, steps, expected = operation
        store = in_memory(labels)
        changed = drain(steps(LabelImage(store, tuple("zyx"))))
        np.testing.assert_array_equal(content(store), expected)
        check_undo(store, changed, labels)

    @settings(max_examples=8, deadline=None)
    @given(operation=operations())
    def test_on_disk_across_chunks_too(self, operation, on_disk):
        labels, steps, expected = operation
        store = on_disk(labels)
        changed = drain(steps(LabelImage(store, tuple("zyx"))))
        np.testing.assert_array_equal(content(store), expected)
        assert np.array(store.levels[-1][...]).max() == expected.max()
        check_undo(store, changed, labels)

    @pytest.mark.parametrize("where", ["memory", "disk"])
    def test_new_ids_go_on_after_a_renumbering_and_its_undo(self, where, on_disk):
        labels = np.full((3, 10, 10), 5, np.uint16)
        labels[0, 0, 0] = 300
        store = in_memory(labels) if where == "memory" else on_disk(labels)
        store.reserve(400)
        changed = drain(renumber(LabelImage(store, tuple("zyx"))))
        assert store.next_label() == 3
        undo(store, changed)
        assert store.next_label() > 300

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.booleans(), st.sampled_from([PLANE, SIDE]), st.data())
    def test_the_parts_of_a_split_are_the_object(self, seed, everywhere, plane, data):
        labels = blobs(seed)
        store, image = in_memory(labels), None
        image = LabelImage(store, tuple("zyx"))
        shown = store.read(plane, Box.of_shape(plane_shape(plane)))
        at = np.argwhere(shown > 0)
        if not len(at):
            return
        y, x = data.draw(st.sampled_from(at.tolist()))
        label = int(shown[y, x])
        if data.draw(st.booleans()):
            others = np.argwhere(shown == label).tolist()
            clicks = [(plane, y, x), (plane, *data.draw(st.sampled_from(others)))]
            steps = split_by_clicks(image, label, clicks, plane, everywhere)
        else:
            path = np.array([data.draw(spots(shown.shape)) for _ in range(3)])
            steps = split_by_line(image, label, path, plane, everywhere)
        try:
            changed = drain(steps)
        except LabelsError:
            np.testing.assert_array_equal(content(store), labels)
            return
        after, ids = content(store), changed.became[label]
        assert len(ids) > 1
        assert ids[0] == label
        assert not set(ids[1:]) & set(np.unique(labels))
        assert set(ids) <= set(np.unique(after))
        np.testing.assert_array_equal(np.isin(after, ids), labels == label)
        np.testing.assert_array_equal(after[labels != label], labels[labels != label])
        if not everywhere:
            sizes = [
                np.count_nonzero(store.read(plane, Box.of_shape(shown.shape)) == i) for i in ids
            ]
            assert sizes == sorted(sizes, reverse=True)
        check_undo(store, changed, labels)


def plane_shape(plane):
    sizes = dict(zip("zyx", SHAPE, strict=True))
    return sizes[plane.rows], sizes[plane.columns]


def spots(shape):
    return st.tuples(*(st.floats(-3, n + 3) for n in shape))


def disks(*centres, radius=6, shape=(30, 40)):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    near = [(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for y, x in centres]
    return np.logical_or.reduce(near)


class TestSplit:
    CENTRES = ((15, 12), (15, 22))

    def image(self, labels):
        axes = "zyx"[-labels.ndim :]
        return LabelImage(ArrayLabels(labels, axes), tuple(axes))

    def two(self):
        labels = np.where(disks(*self.CENTRES), np.uint8(3), np.uint8(0))
        labels[15, 17] = 3
        return labels

    def test_two_clicks_part_two_disks_at_their_waist(self):
        labels, plane = self.two(), PlaneAddress()
        clicks = [(plane, 14, 10), (plane, 17, 24)]
        drain(split_by_clicks(self.image(labels), 3, clicks, plane))
        assert (labels[15, 12], labels[15, 22]) in {(3, 4), (4, 3)}
        assert abs(int((labels == 3).sum()) - int((labels == 4).sum())) < 20

    def test_three_clicks_make_three_parts(self):
        centres = (*self.CENTRES, (15, 32))
        labels, plane = np.where(disks(*centres), 3, 0), PlaneAddress()
        image = self.image(labels)
        changed = drain(split_by_clicks(image, 3, [(plane, y, x) for y, x in centres], plane))
        assert changed.became == {3: (3, 4, 5)}
        assert {labels[c] for c in centres} == {3, 4, 5}

    def test_a_ring_is_parted_too(self):
        labels = np.where(disks((15, 20), radius=12), 3, 0)
        labels[disks((15, 20), radius=6)] = 0
        plane, image = PlaneAddress(), self.image(labels)
        drain(split_by_clicks(image, 3, [(plane, 15, 11), (plane, 15, 29)], plane))
        assert labels[15, 11] != labels[15, 29]
        assert labels[15, 11] * labels[15, 29] > 0

    def test_a_line_that_ends_just_inside_still_cuts(self):
        labels, plane = self.two(), PlaneAddress()
        path = np.array([[11.5, 17.0], [18.5, 17.0]])
        drain(split_by_line(self.image(labels), 3, path, plane))
        assert labels[15, 12] != labels[15, 22]

    def test_says_when_the_line_misses(self):
        labels, plane = self.two(), PlaneAddress()
        for path in ([[2.0, 2.0], [2.0, 30.0]], [[15.0, 11.0], [15.0, 13.0]]):
            with pytest.raises(LabelsError, match="the line does not cross object 3"):
                drain(split_by_line(self.image(labels), 3, np.array(path), plane))

    def test_says_when_a_click_misses(self):
        labels, plane = self.two(), PlaneAddress()
        clicks = [(plane, 15, 12), (plane, 1, 1)]
        with pytest.raises(LabelsError, match="1 of 2 clicks lie on object 3"):
            drain(split_by_clicks(self.image(labels), 3, clicks, plane))

    def test_through_all_planes_and_only_on_one(self):
        plane, path = PlaneAddress("y", "x", (("z", 1),)), np.array([[0.0, 17.0], [29.0, 17.0]])
        labels = np.stack([self.two()] * 3)
        drain(split_by_line(self.image(labels), 3, path, plane))
        assert [len(np.unique(p)) for p in labels] == [2, 3, 2]
        labels = np.stack([self.two()] * 3)
        drain(split_by_line(self.image(labels), 3, path, plane, everywhere=True))
        assert (labels[:, 15, 12] == labels[0, 15, 12]).all()
        assert (labels[:, 15, 22] == labels[0, 15, 22]).all()
        assert labels[0, 15, 12] != labels[0, 15, 22]

    def test_clicks_on_different_planes_part_a_volume(self):
        labels = np.zeros((9, 30, 40), np.uint8)
        labels[:4, 5:15, 5:15] = labels[5:, 5:15, 5:15] = labels[4, 9:11, 9:11] = 3
        plane = PlaneAddress("y", "x", (("z", 1),))
        clicks = [(plane, 9, 9), (plane.with_index({"z": 7}), 9, 9)]
        drain(split_by_clicks(self.image(labels), 3, clicks, plane, everywhere=True))
        assert len(np.unique(labels[:4])) == len(np.unique(labels[5:])) == 2
        assert labels[1, 9, 9] != labels[7, 9, 9]

    def test_between_two_planes(self):
        labels = np.stack([self.two()] * 4)
        changed = drain(part_planes(self.image(labels), 3, PlaneAddress("y", "x", (("z", 2),))))
        assert labels[:, 15, 12].tolist() == [3, 3, 4, 4]
        assert changed.became == {3: (3, 4)}
        with pytest.raises(LabelsError, match="not on both sides"):
            drain(part_planes(self.image(labels), 4, PlaneAddress("y", "x", (("z", 2),))))


class TestRefusals:
    def image(self):
        return LabelImage(in_memory(blobs(3)), tuple("zyx"))

    def test_what_is_not_there(self):
        for steps in (merge(self.image(), [1, 77]), delete(self.image(), [77])):
            with pytest.raises(LabelsError, match="there is no object"):
                drain(steps)

    def test_one_object_is_not_merged(self):
        with pytest.raises(LabelsError, match="one object alone"):
            drain(merge(self.image(), [1, 1]))

    def test_an_id_that_is_taken(self):
        image = self.image()
        a, b = (int(i) for i in np.unique(image.store.data)[1:3])
        with pytest.raises(LabelsError, match=f"another object has the id {b}"):
            drain(give_id(image, a, b))
        for new in (0, -1, 70_000):
            with pytest.raises(LabelsError, match="is no id"):
                drain(give_id(image, a, new))

    def test_no_room_for_more_ids(self):
        labels = np.full((10, 10), 255, np.uint8)
        image, path = LabelImage(ArrayLabels(labels, "yx"), ("y", "x")), np.array([[0, 5], [9, 5]])
        with pytest.raises(LabelsError, match="no free id"):
            drain(split_by_line(image, 255, path, PlaneAddress()))
        assert (labels == 255).all()

    def test_ids_in_order_are_left(self):
        image = LabelImage(ArrayLabels(np.arange(4).reshape(2, 2), "yx"), ("y", "x"))
        with pytest.raises(LabelsError, match="1 to 3 already"):
            drain(renumber(image))


class TestAllOrNothing:
    def test_a_cancelled_job_leaves_no_trace(self):
        labels = np.ones((3, 10, 10), np.uint8)
        store = in_memory(labels * 5)
        steps = renumber(LabelImage(store, tuple("zyx")))
        told = []
        with pytest.raises(JobCancelled):
            drain(steps, told.append, lambda: sum(p.stage == "write" for p in told) == 3)
        np.testing.assert_array_equal(content(store), labels * 5)

    def test_a_disk_that_refuses_half_way_leaves_no_trace(self, monkeypatch):
        store = in_memory(np.full((3, 10, 10), 5, np.uint8))
        real, calls = store._write_block, itertools.count()

        def write(index, block):
            if next(calls) == 2:
                raise OSError(28, "No space left on device")
            real(index, block)

        monkeypatch.setattr(store, "_write_block", write)
        with pytest.raises(StoreError, match="No space left"):
            drain(renumber(LabelImage(store, tuple("zyx"))))
        assert (content(store) == 5).all()


@pytest.mark.parametrize("high", [50_000, COUNTABLE - 1, COUNTABLE, 2**31 - 1])
@pytest.mark.parametrize("low", [0, -7])
def test_ids_of_any_size_are_renumbered_in_order(high, low):
    """Small ones are looked up in a table, and large or negative ones by a search."""
    rng = np.random.default_rng(0)
    ids = np.array([low, 3, high, 17, high - 5], np.int32)
    labels = ids[rng.integers(0, len(ids), (60, 70))]
    store = ArrayLabels(labels.copy(), "yx")
    drain(renumber(LabelImage(store, ("y", "x"))))
    order = [3, 17, high - 5, high]
    expected = labels.copy()
    for new, old in enumerate(order, 1):
        expected[labels == old] = new
    np.testing.assert_array_equal(store.data, expected)


def test_a_change_of_a_large_box_is_kept_small_and_whole():
    labels = np.kron(np.arange(1, 17, dtype=np.uint32).reshape(4, 4), np.ones((64, 64), np.uint32))
    store = ArrayLabels(labels.copy(), "yx")
    changed = drain(give_id(LabelImage(store, ("y", "x")), 6, 99))
    (first,) = drain(merge(LabelImage(store, ("y", "x")), (1, 16))).deltas
    assert sum(delta.nbytes for delta in changed.deltas) <= 2 * 64 * 64 * 4
    whole = Box(0, 0, 256, 256)
    new = store.read(PlaneAddress("y", "x"), whole) * 2
    delta = write_plane(store, PlaneAddress("y", "x"), whole, store.data.copy(), new)
    assert delta.nbytes < new.nbytes / 20
    np.testing.assert_array_equal(delta.new, new)
    assert delta.new.dtype == new.dtype
    store.revert(delta)
    store.revert(first)
    for each in changed.deltas:
        store.revert(each)
    np.testing.assert_array_equal(store.data, labels)
