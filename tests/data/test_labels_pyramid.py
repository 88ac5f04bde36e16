"""Label pyramids on disk."""

from __future__ import annotations

import errno
import itertools
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data import coarsening
from napari_ditto.data.chunk_files import ChunkFiles
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError, StoreError
from napari_ditto.testing.contracts.labels import AXES, SHAPE, LabelStoreContract

PLANE = PlaneAddress("y", "x")


class TestPyramid(LabelStoreContract):
    def make(self):
        return PyramidLabels.create(None, SHAPE, AXES, chunk=7)


class TestPyramidOfManyLevels(LabelStoreContract):
    """Levels far below 512 pixels, so that every write of the contract reaches several."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch):
        monkeypatch.setattr("napari_ditto.data.ngff_labels.COARSEST", 1)

    def make(self):
        store = PyramidLabels.create(None, SHAPE, AXES, chunk=7, dtype="uint16")
        assert len(store.levels) == 5
        return store

    def contents(self, store):
        check_levels(store)
        return super().contents(store)


def largest_of_cells(array):
    """The rule of the coarser levels, written the slow way."""
    pad = [(0, 0)] * (array.ndim - 2) + [(0, n % 2) for n in array.shape[-2:]]
    full = np.pad(array, pad, mode="edge")
    *fixed, height, width = full.shape
    return full.reshape(*fixed, height // 2, 2, width // 2, 2).max(axis=(-3, -1))


def check_levels(store):
    arrays = [level[...] for level in store.levels]
    for fine, coarse in itertools.pairwise(arrays):
        np.testing.assert_array_equal(coarse, largest_of_cells(fine))


@pytest.fixture
def store(tmp_path):
    return PyramidLabels.create(
        tmp_path / "labels.ome.zarr",
        (3, 2100, 3001),
        "zyx",
        scale=(2.0, 0.5, 0.5),
        provenance={"model": "classic@1", "licence": "BSD-3-Clause"},
    )


def test_levels_halve_until_a_screen_holds_them(store):
    assert [level.shape[1:] for level in store.levels] == [
        (2100, 3001),
        (1050, 1501),
        (525, 751),
        (263, 376),
    ]
    assert all(level.shape[0] == 3 for level in store.levels)


def test_levels_follow_writes_undo_and_redo(store):
    rng = np.random.default_rng(0)
    planes = [
        PlaneAddress("y", "x", (("z", 2),)),
        PlaneAddress("z", "x", (("y", 2099),)),
        PlaneAddress("y", "z", (("x", 3000),)),
    ]
    deltas = []
    for label in range(1, 9):
        address = planes[label % 3]
        sizes = dict(zip("zyx", store.shape, strict=True))
        height, width = min(sizes[address.rows], 300), min(sizes[address.columns], 300)
        y = rng.integers(0, sizes[address.rows] - height + 1)
        x = rng.integers(0, sizes[address.columns] - width + 1)
        mask = rng.random((height, width)) < 0.3
        box = Box(y, x, y + height, x + width)
        deltas.append(store.write(address, box, mask, label, "replace"))
    check_levels(store)
    for delta in reversed(deltas):
        store.revert(delta)
    assert not any(level[...].any() for level in store.levels)
    for delta in deltas:
        store.apply(delta)
    check_levels(store)


class Work:
    """Counts chunks read and written, and the pixels of which coarser levels are made."""

    def __init__(self, monkeypatch):
        self.loaded = self.saved = self.reduced = 0
        for name, count in (("_load", "loaded"), ("_save", "saved")):
            monkeypatch.setattr(ChunkFiles, name, self.counting(getattr(ChunkFiles, name), count))
        real = coarsening.reduced

        def reduced(block, step):
            self.reduced += block.size
            return real(block, step)

        monkeypatch.setattr(coarsening, "reduced", reduced)

    def counting(self, method, count):
        def counted(*args):
            setattr(self, count, getattr(self, count) + 1)
            return method(*args)

        return counted


@pytest.mark.parametrize("side", [4096, 16_384, 65_536])
def test_a_commit_and_its_undo_cost_what_the_box_costs(tmp_path, monkeypatch, side):
    store = PyramidLabels.create(tmp_path / "labels.ome.zarr", (side, side), "yx")
    plane, mask = PlaneAddress("y", "x"), np.ones((100, 100), bool)
    store.write(plane, Box(2000, 2000, 2100, 2100), mask, 1)  # in the same chunks
    levels = len(store.levels)
    work = Work(monkeypatch)
    delta = store.write(plane, Box(1900, 1900, 2000, 2000), mask, 2)
    store.flush()
    store.revert(delta)
    store.flush()
    # Each level halves the box, which touches at most four chunks there.
    assert work.reduced <= 2 * 100 * 100 * (4 / 3) * 1.3
    assert work.saved <= 2 * 4 * levels
    assert work.loaded <= 2 * 4 * 4 * levels


def test_thin_and_small_objects_stay_visible(store):
    address = PlaneAddress("y", "x", (("z", 0),))
    store.write(address, Box(100, 200, 101, 2900), np.ones((1, 2700), bool), 1)
    store.write(address, Box(999, 999, 1000, 1000), np.ones((1, 1), bool), 2)
    coarsest = store.levels[-1][0]
    assert (coarsest == 1).sum() >= 2700 // 8
    assert (coarsest == 2).sum() == 1


def test_opens_again_with_everything(store):
    address = PlaneAddress("y", "x", (("z", 1),))
    store.write(address, Box(5, 5, 8, 8), np.ones((3, 3), bool), 7)
    again = PyramidLabels.open(store.path)
    assert (again.axes, again.shape, again.dtype) == (("z", "y", "x"), store.shape, store.dtype)
    assert again.next_label() == 8
    assert again.provenance == {"model": "classic@1", "licence": "BSD-3-Clause"}
    assert (again.read(address, Box(5, 5, 8, 8)) == 7).all()
    again.write(address, Box(5, 5, 8, 8), np.ones((3, 3), bool), 8, "replace")
    check_levels(again)


def test_undone_ids_stay_taken_in_later_sessions(store):
    address = PlaneAddress("y", "x", (("z", 1),))
    store.revert(store.write(address, Box(0, 0, 1, 1), np.ones((1, 1), bool), 7))
    assert PyramidLabels.open(store.path).next_label() == 8


def test_metadata_is_ome_zarr(store):
    attributes = zarr.open_group(store.path, mode="r").attrs.asdict()["ome"]
    image = attributes["multiscales"][0]
    assert attributes["version"] == "0.5"
    assert "image-label" in attributes
    assert [(a["name"], a["type"]) for a in image["axes"]] == [(n, "space") for n in "zyx"]
    third = image["datasets"][2]
    assert third["path"] == "2"
    assert third["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.0, 2.0, 2.0]},
        {"type": "translation", "translation": [0.0, 0.75, 0.75]},
    ]


@pytest.mark.parametrize("size", [1 << 20, 1 << 40])
def test_virtual_shapes_cost_nothing(tmp_path, size):
    store = PyramidLabels.create(tmp_path / "big", (size, size), "yx")
    y = size - 50
    delta = store.write(PLANE, Box(y, y, y + 20, y + 20), np.ones((20, 20), bool), 1)
    assert delta.box.area == 400
    assert store.levels[-1][...].max() == 1
    used = sum(f.stat().st_size for f in store.path.rglob("*") if f.is_file())
    assert used < 200_000


def test_opens_labels_written_by_others(tmp_path):
    """OME-Zarr 0.4 in zarr 2, odd sizes cut off instead of rounded up, no maximum recorded."""
    group = zarr.create_group(tmp_path / "labels", zarr_format=2)
    data = np.zeros((21, 31), np.uint16)
    data[4, 5] = 12
    for level in range(3):
        group.create_array(
            str(level), data=data[:: 2**level, :: 2**level][: 21 >> level, : 31 >> level]
        )
    datasets = [{"path": str(level)} for level in range(3)]
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    store = PyramidLabels.open(tmp_path / "labels")
    assert store.next_label() == 13
    store.write(PLANE, Box(19, 29, 21, 31), np.ones((2, 2), bool), 13)
    assert [level[-1, -1] for level in store.levels] == [13, 13, 0]
    store.write(PLANE, Box(16, 24, 20, 28), np.ones((4, 4), bool), 14)
    assert store.levels[2][4, 6] == 14
    assert PyramidLabels.open(tmp_path / "labels").next_label() == 15


def test_refuses_a_path_in_use(store):
    with pytest.raises(LabelsError, match="something already"):
        PyramidLabels.create(store.path, (5, 5), "yx")


@pytest.mark.parametrize("dtype", [bool, float])
def test_refuses_types_without_ids_before_writing(tmp_path, dtype):
    with pytest.raises(LabelsError, match="no room for ids"):
        PyramidLabels.create(tmp_path / "a", (5, 5), "yx", dtype=dtype)
    assert not (tmp_path / "a").exists()


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        PyramidLabels.create(tmp_path / "file" / "labels", (5, 5), "yx")


def test_refuses_to_open_what_is_no_label_image(tmp_path, store):
    with pytest.raises(LabelsError, match="no OME-Zarr label image"):
        PyramidLabels.open(tmp_path / "nothing")
    zarr.create_array(tmp_path / "array", data=np.zeros((4, 4)))
    with pytest.raises(LabelsError, match="no OME-Zarr label image"):
        PyramidLabels.open(tmp_path / "array")
    (store.path / "zarr.json").write_text("{")
    with pytest.raises(LabelsError, match="metadata is not JSON"):
        PyramidLabels.open(store.path)


def test_a_temporary_pyramid_lives_until_exit_and_no_longer():
    script = """
        import gc
        import numpy as np
        from napari_ditto.data.pyramid_labels import PyramidLabels
        store = PyramidLabels.create(None, (600, 600), "yx")
        levels, path = store.levels, store.path
        levels[0][0, 0] = 3
        del store
        gc.collect()
        assert levels[0][0, 0] == 3
        print(path)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert not Path(done.stdout.strip()).parent.exists()


# --- a disk that refuses ------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    return PyramidLabels.create(tmp_path / "labels.ome.zarr", (1100, 700), "yx")


def test_a_write_that_the_disk_refuses_half_way_leaves_nothing(small, monkeypatch):
    mask = np.ones((300, 300), bool)
    small.write(PLANE, Box(0, 0, 300, 300), mask, 1)
    before = [level[...] for level in small.levels]
    save, calls = ChunkFiles._save, []

    def full(self, position, chunk):
        calls.append(position)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, position, chunk)

    monkeypatch.setattr(ChunkFiles, "_save", full)
    with pytest.raises(StoreError, match=r"No space left.*Free some space"):
        small.write(PLANE, Box(100, 100, 400, 400), mask, 2, "replace")
    for level, values in zip(small.levels, before, strict=True):
        np.testing.assert_array_equal(level[...], values)
    assert small.next_label() == 3


def test_coarser_levels_that_the_disk_refuses_follow_later(small, monkeypatch):
    monkeypatch.setattr(PyramidLabels, "_flush_soon", lambda _: None)
    small.write(PLANE, Box(0, 0, 9, 9), np.ones((9, 9), bool), 1)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ChunkFiles, "_save", full)
        with pytest.raises(StoreError, match=r"coarser levels.*full size are safe"):
            small.flush()
    assert small.data[8, 8] == 1
    assert list(small.path.glob("*.ditto-writes"))
    check_levels(small)
    assert not list(small.path.glob("*.ditto-writes"))


def test_coarser_levels_follow_a_moment_after_the_last_write(small):
    small.write(PLANE, Box(0, 0, 9, 9), np.ones((9, 9), bool), 1)
    coarsest = zarr.open_array(small.path / "2", mode="r")
    deadline = time.monotonic() + 10
    while not coarsest[0, 0] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert coarsest[0, 0] == 1


def test_the_program_does_not_end_before_the_levels_are_up_to_date(tmp_path):
    script = f"""
        import numpy as np
        from pathlib import Path
        from napari_ditto.core.geometry import Box, PlaneAddress
        from napari_ditto.data.pyramid_labels import PyramidLabels
        labels = PyramidLabels.create(Path({str(tmp_path / "a")!r}), (2000, 2000), "yx")
        labels.write(PlaneAddress("y", "x"), Box(0, 0, 9, 9), np.ones((9, 9), bool), 1)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert zarr.open_array(tmp_path / "a" / "2", mode="r")[0, 0] == 1
    assert not list((tmp_path / "a").glob("*.ditto-writes"))
