"""Label images on disk: right, whole or not there, and readable by others."""

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.export import export, write_ome_zarr_labels
from napari_ditto.data.object_json import read_objects
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.source import open_source
from napari_ditto.errors import DittoError, SourceError, StoreError
from tests.data.counting import counting_zarr


def labels(shape, dtype="i4"):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((40, 50), "yx"),
        ((3, 700, 513), "zyx"),
        ((2, 3, 300, 20), "tzyx"),
        ((1, 2, 1, 9, 9), "tczyx"),
    ],
)
@pytest.mark.parametrize("dtype", ["bool", "u1", ">u2", "i4", "u8"])
def test_what_is_written_is_what_was_given(tmp_path, shape, axes, dtype):
    truth = labels(shape, dtype)
    scale = np.arange(1, len(shape) + 1) / 2
    path = write_ome_zarr_labels(tmp_path / "a.zarr", truth, axes, scale, {"model": "m"})
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], truth)
    assert group["0"].dtype.kind in "iu"
    assert group.attrs["ditto"]["provenance"] == {"model": "m"}
    assert group.attrs["ome"]["image-label"] == {}
    for level, name in enumerate(sorted(group.array_keys())):
        step = 2**level
        below = np.pad(truth, [(0, 0)] * (truth.ndim - 2) + [(0, -n % step) for n in shape[-2:]])
        blocks = below.reshape(*shape[:-2], below.shape[-2] // step, step, -1, step)
        np.testing.assert_array_equal(group[name][...], blocks.max(axis=(-1, -3)))
        assert group[name].metadata.dimension_names == tuple(axes)
    assert max(group[name].shape[-2:]) <= 512
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_our_reader_sees_axes_scale_and_factors(tmp_path):
    truth = labels((3, 700, 513), "u2")
    path = write_ome_zarr_labels(tmp_path / "a.zarr", truth, "zyx", (2, 0.5, 0.5))
    source = open_source(path, window=(0, 100))
    assert (source.axes, source.shape, source.scale) == (
        ("z", "y", "x"),
        truth.shape,
        (2, 0.5, 0.5),
    )
    assert source.factor(source.plane(), 2) == (4, 4)
    image = source.read(source.plane({"z": 1}), Box(3, 4, 90, 80))
    np.testing.assert_allclose(image[..., 0] * 100, truth[1, 3:90, 4:80], atol=1e-4)


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx", "tzyx"])
def test_an_independent_validator_accepts_it(tmp_path, axes):
    yaozarrs = pytest.importorskip("yaozarrs")
    shape = (2,) * (len(axes) - 2) + (600, 300)
    path = write_ome_zarr_labels(tmp_path / "a.zarr", labels(shape), axes, (0.5,) * len(axes))
    group = yaozarrs.validate_zarr_store(str(path))
    assert isinstance(group.ome_metadata(), yaozarrs.v05.LabelImage)


def test_lazy_labels_are_written_block_by_block(tmp_path):
    array, store = counting_zarr((3, 5000, 5000), (1, 512, 512), dtype="u4")
    array[1, 4000:4090, 10:20] = 7
    store.reads.clear()
    path = write_ome_zarr_labels(tmp_path / "a.zarr", array, "zyx")
    assert set(store.reads.values()) == {1}
    group = zarr.open_group(path, mode="r")
    assert group["0"][1, 4050, 15] == 7
    assert len(list((path / "0").rglob("c/*/*/*"))) == 1  # empty chunks take no room
    dask = da.zeros((600, 600), chunks=300, dtype="u2")
    assert write_ome_zarr_labels(tmp_path / "b.zarr", dask, "yx").is_dir()


TABLE = ObjectTable(
    {1: ObjectRecord(1, 1, 0.75), 2: ObjectRecord(2)}, (ObjectClass(1, "cell", "#e69f00"),)
)


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_units_place_and_objects_are_told(tmp_path, ngff):
    path = export(
        np.eye(9, dtype="u2"),
        tmp_path / "a.ome.zarr",
        scale=(0.5, 0.25),
        units=("micrometer", "micrometer"),
        objects=TABLE,
        ngff=ngff,
    )
    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    ome = attributes["ome"] if ngff == "0.5" else attributes
    assert [axis["unit"] for axis in ome["multiscales"][0]["axes"]] == ["micrometer"] * 2
    assert ome["image-label"]["properties"][0] == {"label-value": 1, "score": 0.75, "class": "cell"}
    assert ome["image-label"]["colors"] == [{"label-value": 1, "rgba": [230, 159, 0, 255]}]
    assert read_objects(path) == TABLE
    yaozarrs = pytest.importorskip("yaozarrs")
    assert yaozarrs.validate_zarr_store(str(path)).ome_metadata()


def test_labels_of_an_image_are_listed_in_it(tmp_path):
    image = tmp_path / "image.ome.zarr"
    PyramidLabels.create(image, (9, 9), "yx")
    path = write_ome_zarr_labels(image / "labels" / "cells", np.eye(9, dtype="u1"), "yx")
    assert zarr.open_group(path.parent, mode="r").attrs["ome"]["labels"] == ["cells"]
    assert zarr.open_group(path, mode="r").attrs["ome"]["image-label"]["source"]


def test_a_label_store_is_exported_too(tmp_path):
    store = PyramidLabels.create(tmp_path / "a.zarr", (9, 9), "yx")
    store.paint(PlaneAddress(), Box(0, 0, 9, 9), np.eye(9, dtype="u4"))
    path = export(store, tmp_path / "b.zarr")
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["0"][...], np.eye(9))


def test_what_is_exported_can_be_edited_on(tmp_path):
    path = write_ome_zarr_labels(tmp_path / "a.zarr", np.full((9, 9), 41, "u2"), "yx")
    store = PyramidLabels.open(path)
    assert store.next_label() == 42
    assert store.read(PlaneAddress(), Box(0, 0, 1, 1)) == 41


class TestRefusals:
    def test_an_existing_folder_is_left_alone_unless_told(self, tmp_path):
        path = write_ome_zarr_labels(tmp_path / "a.zarr", np.ones((9, 9), "u1"), "yx")
        with pytest.raises(StoreError, match="exists"):
            write_ome_zarr_labels(path, np.zeros((9, 9), "u1"), "yx")
        assert zarr.open_group(path, mode="r")["0"][0, 0] == 1
        write_ome_zarr_labels(path, np.full((9, 9), 2, "u1"), "yx", overwrite=True)
        assert zarr.open_group(path, mode="r")["0"][0, 0] == 2
        assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]

    def test_what_is_no_zarr_is_never_replaced(self, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "final.txt").write_text("years of work")
        (tmp_path / "file").write_text("one more")
        for name in ("thesis", "file"):
            with pytest.raises(StoreError, match="not one to replace"):
                write_ome_zarr_labels(tmp_path / name, np.zeros((9, 9), "u1"), "yx", overwrite=True)
        assert (tmp_path / "thesis" / "final.txt").read_text() == "years of work"

    @pytest.mark.parametrize(
        ("data", "options"),
        [
            (np.zeros((9, 9)), {}),
            (np.zeros((9, 9), "u1"), {"axes": "zyx"}),
            (np.zeros((9, 9), "u1"), {"axes": "yy"}),
            (np.zeros((9, 9), "u1"), {"scale": (1,)}),
            (np.zeros((9, 9), "u1"), {"scale": (1, 0)}),
            (np.zeros((9, 9), "u1"), {"scale": (1, np.nan)}),
            (np.zeros((0, 9), "u1"), {}),
            (np.zeros(9, "u1"), {"axes": "x"}),
            (np.zeros((9, 9), "u1"), {"provenance": {"a": object()}}),
            (np.zeros((9, 9), "u1"), {"provenance": {"a": np.nan}}),
        ],
    )
    def test_labels_that_do_not_fit(self, tmp_path, data, options):
        with pytest.raises(DittoError) as caught:
            write_ome_zarr_labels(tmp_path / "a.zarr", data, **{"axes": "yx", **options})
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())


class TestFailures:
    def test_labels_that_cannot_be_read_leave_nothing(self, tmp_path):
        array, store = counting_zarr((600, 600), (300, 300))
        store.broken = True
        with pytest.raises(SourceError):
            write_ome_zarr_labels(tmp_path / "a.zarr", array, "yx")
        assert not list(tmp_path.iterdir())

    def test_a_disk_that_refuses_leaves_nothing(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(PyramidLabels, "paint", full)
        with pytest.raises(StoreError, match="No space left"):
            write_ome_zarr_labels(tmp_path / "a.zarr", labels((9, 9)), "yx")
        assert not list(tmp_path.iterdir())

    def test_a_parent_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError):
            write_ome_zarr_labels(tmp_path / "file" / "a.zarr", labels((9, 9)), "yx")

    def test_a_failed_replacement_puts_the_old_one_back(self, tmp_path, monkeypatch):
        path = write_ome_zarr_labels(tmp_path / "a.zarr", np.ones((9, 9), "u1"), "yx")
        rename = type(path).rename

        def fail(self, target):
            if ".partial" in self.name and self.suffix != ".old":
                raise OSError(5, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(type(path), "rename", fail)
        with pytest.raises(StoreError, match="Input/output"):
            write_ome_zarr_labels(path, np.zeros((9, 9), "u1"), "yx", overwrite=True)
        assert zarr.open_group(path, mode="r")["0"][0, 0] == 1
        assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
