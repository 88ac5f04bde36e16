"""Label images on disk: right, whole or not there, and readable by others."""

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_ditto.core.geometry import Box
from napari_ditto.data import export
from napari_ditto.data.export import PROVENANCE_KEY, write_ome_zarr_labels
from napari_ditto.data.source import open_source
from napari_ditto.errors import SourceError, StoreError
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
    path = write_ome_zarr_labels(tmp_path / "a.zarr", truth, axes, scale, {"model": "m"}, "cells")
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], truth)
    assert group["0"].dtype.kind in "iu"
    assert group.attrs[PROVENANCE_KEY] == {"model": "m"}
    assert group.attrs["ome"]["image-label"] == {"version": "0.5"}
    assert group.attrs["ome"]["multiscales"][0]["name"] == "cells"
    for level, name in enumerate(sorted(group.array_keys())):
        step = 2**level
        np.testing.assert_array_equal(group[name][...], truth[..., ::step, ::step])
        assert group[name].metadata.dimension_names == tuple(axes)
    assert max(group[name].shape[-2:]) <= 256
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
            with pytest.raises(StoreError, match="no zarr"):
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
        with pytest.raises(StoreError) as caught:
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

        monkeypatch.setattr(export, "_fill", full)
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
            if self.name.endswith(".partial"):
                raise OSError(5, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(type(path), "rename", fail)
        with pytest.raises(StoreError, match="Input/output"):
            write_ome_zarr_labels(path, np.zeros((9, 9), "u1"), "yx", overwrite=True)
        assert zarr.open_group(path, mode="r")["0"][0, 0] == 1
        assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
