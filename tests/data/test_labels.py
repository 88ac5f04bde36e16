"""Label stores over numpy and zarr arrays."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data import labels as labels_module
from napari_ditto.data.labels import ArrayLabels, new_labels
from napari_ditto.data.labelscan import largest_id
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError, StoreError
from napari_ditto.testing.contracts.labels import AXES, SHAPE, LabelStoreContract

PLANE = PlaneAddress("y", "x")
DOT = np.ones((1, 1), bool)


def dot(store, y, x, label, overlap="keep"):
    return store.write(PLANE, Box(y, x, y + 1, x + 1), DOT, label, overlap)


def over_numpy(dtype, order="C"):
    class TestNumpy(LabelStoreContract):
        def make(self):
            return ArrayLabels(np.zeros(SHAPE, dtype, order=order), AXES)

    return TestNumpy


TestUint8 = over_numpy("uint8")
TestUint16 = over_numpy("uint16")
TestInt32 = over_numpy("int32")
TestUint32 = over_numpy("uint32")
TestInt64 = over_numpy("int64")
TestUint64 = over_numpy("uint64")
TestBigEndian = over_numpy(">i2")
TestFortranOrder = over_numpy("uint32", "F")


class TestView(LabelStoreContract):
    def make(self):
        return ArrayLabels(np.zeros((9, 13, 12, 2), "uint16").T[:, ::2], AXES)


class TestMemoryMap(LabelStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory):
        self.folder = tmp_path_factory.mktemp("maps")

    def make(self):
        path = self.folder / f"{os.urandom(8).hex()}.raw"
        return ArrayLabels(np.memmap(path, "uint16", "w+", shape=SHAPE), AXES)


def over_zarr(zarr_format, dtype="uint32", **options):
    class TestZarr(LabelStoreContract):
        def make(self):
            array = zarr.create_array(
                MemoryStore(),
                name="deep/labels",
                shape=SHAPE,
                dtype=dtype,
                zarr_format=zarr_format,
                **({"chunks": (1, 2, 5, 4)} | options),
            )
            return ArrayLabels(array, AXES)

    return TestZarr


TestZarr3 = over_zarr(3)
TestZarr3Sharded = over_zarr(3, shards=(1, 4, 10, 8))
TestZarr2 = over_zarr(2, "uint16")
TestZarr2Nested = over_zarr(2, "int32", chunk_key_encoding={"name": "v2", "separator": "/"})
TestZarr2BigEndian = over_zarr(2, ">u2")


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((4, 5), bool), "no room for ids"),
        (np.zeros((4, 5), np.float32), "no room for ids"),
        (np.zeros((4, 5), object), "no room for ids"),
        (da.zeros((4, 5), dtype=np.uint8), "cannot be written"),
        ([np.zeros((4, 5), int), np.zeros((2, 2), int)], "cannot be written"),
        (np.zeros((4, 5, 3), int), "axes y, x"),
        (np.zeros(4, int), "axes y, x"),
    ],
)
def test_refuses_what_is_no_label_image(data, words):
    with pytest.raises(LabelsError, match=words):
        ArrayLabels(data, "yx")


def test_refuses_labels_of_another_image():
    with pytest.raises(LabelsError, match=r"\(4, 5\) for an image of \(4, 6\)"):
        ArrayLabels(np.zeros((4, 5), int), "yx", shape=(4, 6))


def test_read_only_arrays_can_be_read(tmp_path):
    array = np.arange(20, dtype=np.uint8).reshape(4, 5)
    array.flags.writeable = False
    zarr.create_array(tmp_path / "a", data=np.array(array))
    on_disk = zarr.open_array(tmp_path / "a", mode="r")
    for store in (ArrayLabels(array, "yx"), ArrayLabels(on_disk, "yx")):
        assert store.read(PLANE, Box(3, 4, 4, 5)) == 19
        assert store.next_label() == 20
        with pytest.raises(LabelsError, match=r"read-only.*Duplicate"):
            dot(store, 0, 0, 20)


class FailingStore(LocalStore):
    """A disk that fills up: it takes `left` more writes."""

    left = 10**6

    async def set(self, key, value, *args, **kwargs):
        if FailingStore.left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        FailingStore.left -= 1
        await super().set(key, value, *args, **kwargs)


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(FailingStore, "left", 10**6)
    array = zarr.create_array(FailingStore(tmp_path), shape=(8, 8), chunks=(4, 4), dtype="u1")
    store = ArrayLabels(array, "yx")
    box = Box(0, 0, 8, 8)
    store.write(PLANE, box, np.ones((8, 8), bool), 1)
    monkeypatch.setattr(FailingStore, "left", 0)
    with pytest.raises(StoreError, match="cannot be written: No space left"):
        store.write(PLANE, box, np.ones((8, 8), bool), 2, "replace")
    monkeypatch.setattr(FailingStore, "left", 10**6)
    assert (store.read(PLANE, box) == 1).all()


def test_a_write_that_fails_half_way_is_taken_back(monkeypatch):
    store = ArrayLabels(np.zeros((8, 8), np.uint8), "yx")
    write, calls = ArrayLabels._write_block, []

    def torn(self, index, block):
        calls.append(index)
        write(self, index, block)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ArrayLabels, "_write_block", torn)
    with pytest.raises(StoreError, match="Input/output error"):
        dot(store, 3, 3, 1)
    assert not store.data.any()


def test_damaged_chunks_are_a_store_error(tmp_path):
    array = zarr.create_array(tmp_path / "a", data=np.ones((8, 8), "u2"), chunks=(8, 8))
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(b"garbage")
    with pytest.raises(StoreError, match="cannot be read"):
        ArrayLabels(array, "yx").read(PLANE, Box(0, 0, 2, 2))


# -- ids -------------------------------------------------------------------------------------


def test_ids_painted_by_hand_count():
    array = np.zeros((6, 7), np.int32)
    store = ArrayLabels(array, "yx")
    assert store.next_label() == 1
    array[2, 2] = 41
    assert store.next_label() == 42
    array[2, 2] = 0
    assert store.next_label() == 1


def test_negative_ids_are_left_alone():
    store = ArrayLabels(np.full((6, 7), -3, np.int16), "yx")
    assert store.next_label() == 1
    assert dot(store, 0, 0, 1).box.is_empty
    delta = dot(store, 0, 0, 1, "replace")
    store.revert(delta)
    assert (store.data == -3).all()


def test_empty_arrays_have_a_next_label():
    assert ArrayLabels(np.zeros((0, 5), np.uint8), "yx").next_label() == 1


def test_reserved_ids_are_not_given_out():
    store = ArrayLabels(zarr.create_array({}, shape=(6, 7), dtype="u2"), "yx")
    store.reserve(100)
    assert store.next_label() == 101


def test_ids_of_undone_objects_come_back_only_when_there_are_no_others():
    store = ArrayLabels(np.zeros((6, 7), np.uint8), "yx")
    dot(store, 0, 0, 253)
    delta = dot(store, 1, 1, 254)
    store.revert(delta)
    assert store.next_label() == 255
    store.revert(dot(store, 1, 1, 255))
    assert store.next_label() == 254


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_largest_id_of_a_zarr_array_is_found_in_stored_chunks_only(zarr_format):
    class Counting(MemoryStore):
        reads = 0

        async def get(self, key, *args, **kwargs):
            Counting.reads += "zarr" not in key
            return await super().get(key, *args, **kwargs)

    array = zarr.create_array(
        Counting(), shape=(1 << 20, 1 << 20), chunks=(64, 64), dtype="u4", zarr_format=zarr_format
    )
    array[1_000_000, 77] = 9
    array[12, 1_000_000] = 1234
    array[1 << 19, 1 << 19] = 5
    before = Counting.reads
    assert largest_id(array) == 1234
    assert Counting.reads - before == 3


def test_a_memory_map_is_searched_once_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ditto.data.labelscan.BLOCK", 10)
    array = np.memmap(tmp_path / "a.raw", "u2", "w+", shape=(9, 4))
    array[8, 3] = 17
    store = ArrayLabels(array, "yx")
    assert store.next_label() == 18
    array[0, 0] = 99
    assert store.next_label() == 18


# -- compactness and choice ------------------------------------------------------------------


def test_deltas_are_as_small_as_the_change():
    store = ArrayLabels(np.zeros((1000, 1000), np.uint32), "yx")
    mask = np.zeros((1000, 1000), bool)
    mask[500:510, 600:620] = True
    delta = store.write(PLANE, Box(0, 0, 1000, 1000), mask, 1)
    assert delta.nbytes == 2 * 200 * 4
    again = store.write(PLANE, Box(0, 0, 1000, 1000), mask, 1)
    assert again.nbytes == 0
    store.revert(again)
    assert store.data.sum() == 200


def test_new_labels_chooses_by_size(tmp_path, monkeypatch):
    def made(shape, axes="zyx", **options):
        return new_labels(SimpleNamespace(shape=shape, axes=tuple(axes)), **options)

    assert isinstance(made((4, 4096, 4096)).data, np.ndarray)
    assert made((4096, 4096), "yx", dtype="uint8").dtype == np.uint8
    assert isinstance(made((1, 4097, 4096)), PyramidLabels)
    assert isinstance(made((17, 4096, 4096)), PyramidLabels)
    assert isinstance(made((1 << 20, 1 << 20, 1 << 20)), PyramidLabels)
    stored = made((4, 64, 64), path=tmp_path / "labels.ome.zarr")
    assert stored.path == tmp_path / "labels.ome.zarr"
    assert labels_module.PLANE_LIMIT == 4096**2
