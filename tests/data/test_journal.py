"""Journals: what is written comes back, whatever happens to the file, and nothing else does."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data import journal as journal_module
from napari_ditto.data import journal_records
from napari_ditto.data.blocks import pack
from napari_ditto.data.journal import Journal
from napari_ditto.data.journal_frames import FILE, MARK, frame
from napari_ditto.data.journal_recorder import LabelRecorder
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_replay import read_journal, restore
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import DittoError, LabelsError, SourceError, StoreError

AXES = ("z", "y", "x")
SHAPE = (3, 20, 30)
YX = PlaneAddress("y", "x", (("z", 1),))
XZ = PlaneAddress("x", "z", (("y", 7),))


def record(labels: ArrayLabels, path: Path, **more: object) -> LabelRecorder:
    labels.recorder = LabelRecorder(Journal(path), ImageNote("cells", "/cells.tif"), **more)
    return labels.recorder


def make(path: Path, dtype: str = "uint32") -> ArrayLabels:
    labels = ArrayLabels(np.zeros(SHAPE, dtype), AXES)
    record(labels, path)
    return labels


def put(labels: ArrayLabels, label: int, box: Box, address: PlaneAddress = YX, **more: str):
    return labels.write(address, box, np.ones(box.shape, bool), label, **more)


# --- round trips ---

boxes = st.tuples(st.integers(0, 9), st.integers(0, 1), st.integers(10, 20), st.integers(2, 3))
writes = st.tuples(
    st.sampled_from(["yx", "xz"]), boxes, st.integers(0, 5), st.sampled_from(["keep", "replace"]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
actions = st.lists(st.one_of(writes, st.sampled_from(["undo", "redo"])), max_size=25)


@settings(max_examples=60)
@given(actions=actions, before=st.booleans(), dtype=st.sampled_from(["uint8", "int32", ">u4"]))
def test_labels_come_back_after_any_writes_undos_and_redos(
    tmp_path_factory, actions, before, dtype
):
    path = tmp_path_factory.mktemp("j") / "a.journal"
    data = np.zeros(SHAPE, dtype)
    if before:
        data[:, 3:9, 4:9] = 9
    labels = ArrayLabels(data, AXES)
    record(labels, path)
    done, undone = [], []
    for action in actions:
        if action == "undo" and done:
            undone.append(done.pop())
            labels.revert(undone[-1])
        elif action == "redo" and undone:
            done.append(undone.pop())
            labels.apply(done[-1])
        elif not isinstance(action, str):
            plane, corners, label, overlap, seed = action
            box, address = Box(*corners), YX if plane == "yx" else XZ
            mask = np.random.default_rng(seed).random(box.shape) < 0.5
            done.append(labels.write(address, box, mask, label, overlap))
            undone.clear()
    if not path.exists():
        assert not before or not labels.recorder.journal.is_begun
        return
    store, story = restore(path)
    assert np.array_equal(store.data, data)
    assert store.data.dtype == data.dtype
    assert story.lost == 0


def test_the_head_tells_image_and_labels(tmp_path):
    labels = make(tmp_path / "a.journal")
    put(labels, 1, Box(0, 0, 2, 2))
    story = read_journal(tmp_path / "a.journal")
    assert (story.head.image.name, story.head.image.path) == ("cells", "/cells.tif")
    assert (story.head.shape, story.head.axes, story.head.base) == (SHAPE, AXES, "empty")
    assert (story.edits, story.lost, story.trouble) == (1, 0, "")


def test_labels_painted_by_others_are_told_as_they_are(tmp_path):
    labels = make(tmp_path / "a.journal")
    put(labels, 1, Box(0, 0, 9, 9))
    labels.data[1, 2:4, 2:4] = 7
    labels.record((slice(1, 2), slice(0, 5), slice(0, 5)))
    assert np.array_equal(restore(tmp_path / "a.journal")[0].data, labels.data)


def test_a_write_that_fails_is_taken_back_in_the_journal_too(tmp_path, monkeypatch):
    labels = make(tmp_path / "a.journal")
    put(labels, 1, Box(0, 0, 4, 4))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(labels, "_store", refuse)
        with pytest.raises(StoreError):
            put(labels, 2, Box(5, 5, 9, 9))
    assert np.array_equal(restore(tmp_path / "a.journal")[0].data, labels.data)


def test_a_large_write_comes_back_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_records, "MAX_PIXELS", 50)
    labels = make(tmp_path / "a.journal")
    put(labels, 1, Box(0, 0, 3, 3))
    size = (tmp_path / "a.journal").stat().st_size
    put(labels, 2, Box(4, 0, 20, 30))
    data = (tmp_path / "a.journal").read_bytes()
    assert np.array_equal(restore(tmp_path / "a.journal")[0].data, labels.data)
    for end in range(size, len(data), 40):
        (tmp_path / "cut.journal").write_bytes(data[:end])
        assert set(np.unique(restore(tmp_path / "cut.journal")[0].data)) == {0, 1}


# --- labels on disk ---


def test_labels_on_disk_are_brought_up_to_date_where_they_are(tmp_path):
    labels = PyramidLabels.create(tmp_path / "l.zarr", (700, 900), ("y", "x"))
    record(labels, tmp_path / "a.journal")
    at = PlaneAddress()
    for label, y in enumerate(range(0, 560, 90), 1):
        put(labels, label, Box(y, y, y + 120, y + 60), at)
    wanted = [np.asarray(level) for level in labels.levels]
    # What a crash leaves: the last write half done, and the coarser levels not at all.
    labels.levels[0][600:700] = 0
    labels.levels[1][:] = 0
    store, story = restore(tmp_path / "a.journal")
    assert story.head.base == "store"
    for level, before in zip(store.levels, wanted, strict=True):
        assert np.array_equal(level[:], before)


def test_labels_on_disk_can_be_replayed_elsewhere(tmp_path):
    labels = PyramidLabels.create(tmp_path / "l.zarr", (40, 50), ("y", "x"))
    put(labels, 5, Box(30, 30, 40, 50), PlaneAddress())
    record(labels, tmp_path / "a.journal")
    put(labels, 6, Box(0, 0, 9, 9), PlaneAddress())
    store, _ = restore(tmp_path / "a.journal", tmp_path / "out.zarr")
    assert np.array_equal(store.data[:], labels.data[:])
    assert str(store.path) == str(tmp_path / "out.zarr")


def test_labels_in_memory_can_be_replayed_to_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ditto.data.journal_replay.WINDOW", 8)
    labels = make(tmp_path / "a.journal")
    for label in range(1, 9):
        put(labels, label, Box(label, label, label + 9, label + 9), overlap="replace")
        put(labels, label, Box(label, 0, label + 9, 3), XZ)
    store, _ = restore(tmp_path / "a.journal", tmp_path / "out.zarr")
    assert np.array_equal(store.data[:], labels.data)


def test_labels_that_are_gone_are_told(tmp_path):
    import shutil

    labels = PyramidLabels.create(tmp_path / "l.zarr", (40, 50), ("y", "x"))
    record(labels, tmp_path / "a.journal")
    put(labels, 6, Box(0, 0, 9, 9), PlaneAddress())
    shutil.rmtree(tmp_path / "l.zarr")
    with pytest.raises(LabelsError, match="are gone"):
        restore(tmp_path / "a.journal")


# --- damage ---


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Return a journal of four writes, where each record ends, and the labels after each."""
    path = tmp_path_factory.mktemp("short") / "a.journal"
    labels = make(path)
    ends, states = [], [labels.data.copy()]
    for label in range(1, 5):
        put(labels, label, Box(2 * label, 0, 2 * label + 5, 9), overlap="replace")
        ends.append(path.stat().st_size)
        states.append(labels.data.copy())
    return path.read_bytes(), ends, states


def test_cut_at_every_byte_every_whole_write_is_used(short, tmp_path):
    data, ends, states = short
    path = tmp_path / "cut.journal"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        whole = sum(e <= end for e in ends)
        try:
            store, story = restore(path)
        except SourceError:
            assert whole == 0
            continue
        assert np.array_equal(store.data, states[whole])
        assert story.lost == 0


def test_a_flip_anywhere_is_noticed_and_never_used(short, tmp_path):
    data, _, states = short
    path, rng = tmp_path / "flip.journal", np.random.default_rng(0)
    step = 1 if os.environ.get("DITTO_STRESS") else 7
    for at in range(0, len(data), step):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        store, story = restore(path)
        if not np.array_equal(store.data, states[-1]):
            assert story.lost == 1
            assert "1 edit is lost" in story.trouble
        # What is shown was written at some time: no pixel holds anything else.
        written = np.stack(states)
        assert (written == store.data).any(axis=0).all()


def test_a_damaged_beginning_is_there_twice(short, tmp_path):
    data, _, states = short
    path = tmp_path / "a.journal"
    path.write_bytes(b"\0" * (len(FILE) + 40) + data[len(FILE) + 40 :])
    store, story = restore(path)
    assert np.array_equal(store.data, states[-1])
    assert story.lost == 0


def test_records_that_are_swapped_doubled_or_foreign_are_not_used_twice(short, tmp_path):
    data, ends, states = short
    a, b, c = data[ends[1] : ends[2]], data[ends[2] : ends[3]], data[ends[3] :]
    path = tmp_path / "a.journal"
    path.write_bytes(data[: ends[1]] + b + a + c)
    assert read_journal(path).lost == 1
    path.write_bytes(data[: ends[1]] + a + a + b + c)
    store, story = restore(path)
    assert np.array_equal(store.data, states[-1])
    assert story.lost == 0
    foreign = frame("other", 8, "paint", {}, {})
    path.write_bytes(data + foreign)
    assert np.array_equal(restore(path)[0].data, states[-1])


@pytest.mark.parametrize("content", [b"", b"nothing", FILE, FILE + MARK, b"\0" * 4096])
def test_what_is_no_journal_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "a.journal"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="no journal"):
        restore(path)


def hostile(facts: dict, arrays: dict | None = None) -> bytes:
    """Return a journal whose head is right and whose write is not."""
    head = {
        "program": "p", "image": {}, "name": "n", "dtype": "<u4", "shape": [20, 30],
        "axes": ["y", "x"], "path": "", "base": "empty",
    }  # fmt: skip
    write = {"start": [0, 0], "stop": [2, 2], "label": 1, "value": 1, "more": False, **facts}
    return FILE + frame("j", 0, "head", head, {}) + frame("j", 1, "paint", write, arrays or {})


BOMB = np.frombuffer(zlib.compress(b"\0" * (1 << 26)), np.uint8)


@pytest.mark.parametrize(
    ("facts", "arrays"),
    [
        ({"stop": [2, 31]}, {}),
        ({"start": [-1, 0]}, {}),
        ({"start": [0]}, {}),
        ({"start": [2, 2]}, {}),
        ({"stop": [2.0, 2]}, {}),
        ({"start": "ab", "stop": "cd"}, {}),
        ({"value": 1 << 32}, {}),
        ({"value": -1}, {}),
        ({"value": "1"}, {}),
        ({"label": None}, {}),
        ({}, {"mask": BOMB}),
        ({}, {"mask": np.zeros(3, np.uint8)}),
        ({"value": None}, {"values": BOMB}),
    ],
)
def test_a_hostile_write_is_left_out(tmp_path, facts, arrays):
    path = tmp_path / "a.journal"
    path.write_bytes(hostile(facts, arrays))
    store, story = restore(path)
    assert not store.data.any()
    assert story.lost == 1


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 50, 1]}, {"shape": [2] * 99, "axes": ["a"] * 99}, {"dtype": "O"},
        {"dtype": "<f4"}, {"shape": [-1, 3]}, {"axes": ["y"]}, {"axes": ["y", "y"]},
        {"base": "any"}, {"image": []}, {"shape": [3], "axes": ["y"]}, {"path": 3},
    ],
)  # fmt: skip
def test_a_hostile_head_is_refused(tmp_path, change):
    path = tmp_path / "a.journal"
    head = {
        "program": "p", "image": {}, "name": "n", "dtype": "<u4", "shape": [20, 30],
        "axes": ["y", "x"], "path": "", "base": "empty", **change,
    }  # fmt: skip
    path.write_bytes(FILE + frame("j", 0, "head", head, {}))
    with pytest.raises(DittoError):
        restore(path)


def test_a_frame_that_claims_too_much_is_skipped(tmp_path):
    path = tmp_path / "a.journal"
    size = 1 << 31
    lead = struct.pack("<4sII", MARK, size, zlib.crc32(MARK + size.to_bytes(4, "little")))
    good = hostile({})
    path.write_bytes(FILE + lead + good[len(FILE) :])
    assert read_journal(path).edits == 1


def test_a_journal_holds_json_and_numbers_only(short):
    data, _, _ = short
    assert b"pickle" not in data
    line = data[data.index(b'{"head"') :].splitlines()[0]
    assert json.loads(line)["head"]["kind"] == "head"
    with pytest.raises(ValueError, match="numbers"):
        pack({}, {"a": np.array([{}], dtype=object)})


# --- a disk that refuses ---


class Disk:
    """Lets only so many bytes through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 40
        monkeypatch.setattr(journal_module.os, "write", self.write)

    def write(self, file: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        data = data[: self.room]
        self.room -= len(data)
        return self._write(file, data)

    _write = staticmethod(os.write)


@pytest.mark.parametrize("room", [0, 1, 200, 700])
def test_a_full_disk_stops_no_edit_and_the_next_one_catches_up(tmp_path, monkeypatch, room):
    disk = Disk(monkeypatch)
    labels = make(tmp_path / "a.journal")
    put(labels, 1, Box(0, 0, 3, 3))
    disk.room = room
    for label in (2, 3, 4):
        put(labels, label, Box(label * 3, 0, label * 3 + 3, 3))
    trouble = labels.recorder.journal.trouble
    assert "crash safety is off" in str(trouble)
    assert labels.data.max() == 4
    assert restore(tmp_path / "a.journal")[1].lost == 0
    disk.room = 1 << 40
    put(labels, 5, Box(15, 0, 18, 3))
    assert labels.recorder.journal.trouble is None
    store, story = restore(tmp_path / "a.journal")
    assert np.array_equal(store.data, labels.data)
    assert (story.edits, story.lost) == (5, 0)


def test_a_disk_that_is_full_from_the_start_catches_up(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    disk.room = 0
    labels = make(tmp_path / "new" / "a.journal")
    put(labels, 1, Box(0, 0, 3, 3))
    disk.room = 1 << 40
    put(labels, 2, Box(5, 0, 8, 3))
    assert np.array_equal(restore(tmp_path / "new" / "a.journal")[0].data, labels.data)


def test_a_journal_that_has_waited_too_long_says_what_is_lost(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    monkeypatch.setattr(journal_module, "MAX_WAITING", 0)
    labels = make(tmp_path / "a.journal")
    put(labels, 1, Box(0, 0, 3, 3))
    disk.room = 0
    put(labels, 2, Box(5, 0, 8, 3))
    assert labels.recorder.journal.trouble is not None
    disk.room = 1 << 40
    put(labels, 3, Box(10, 0, 13, 3))
    assert labels.recorder.journal.trouble is None
    store, story = restore(tmp_path / "a.journal")
    assert set(np.unique(store.data)) == {0, 1, 3}
    assert story.lost == 1


def test_a_journal_has_an_end(tmp_path):
    labels = ArrayLabels(np.zeros(SHAPE, np.uint32), AXES)
    journal = Journal(tmp_path / "a.journal", limit=3000)
    labels.recorder = LabelRecorder(journal, ImageNote())
    for label in range(1, 15):
        put(labels, label, Box(label, 0, label + 2, 3))
    assert "is full" in str(journal.trouble)
    assert (tmp_path / "a.journal").stat().st_size <= 3000
