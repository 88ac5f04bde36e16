"""Labels as pixels: TIFF and PNG."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_ditto.data.export import export, export_steps
from napari_ditto.data.exporting import tiff
from napari_ditto.data.exporting.label_image import label_image
from napari_ditto.data.grid import read_grid
from napari_ditto.errors import StoreError
from tests.data.counting import counting_zarr

UNITS = ("micrometer",) * 2


def test_a_small_tiff_is_imagej_s(tmp_path, labels, table):
    path = export(labels, tmp_path / "a.tif", scale=(0.5, 0.25), units=UNITS, objects=table)
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.pages[0].dtype == np.uint16
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert json.loads(file.imagej_metadata["Info"])["napari-ditto"]["classes"]["1"] == "cell"
        np.testing.assert_array_equal(file.asarray(), labels)
    grid = read_grid(path)
    assert grid.scale == pytest.approx({"x": 0.25, "y": 0.5})
    assert grid.units == {"x": "micrometer", "y": "micrometer"}


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_stacks_keep_their_axes_and_steps(tmp_path, name):
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 9, (2, 3, 40, 50)).astype(np.uint8)
    units = ("second", *("nanometer",) * 3)
    path = export(stack, tmp_path / name, axes="tzyx", scale=(2.5, 9, 4, 3), units=units)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "TZYX"
        assert file.is_ome == (name == "a.ome.tif")
        np.testing.assert_array_equal(file.asarray(), stack)
    grid = read_grid(path)
    assert grid.scale == pytest.approx({"t": 2.5, "z": 9, "y": 4, "x": 3})
    assert grid.units["z"] == "nanometer"
    assert grid.units["t"] == "second"


def test_large_ids_take_32_bits_and_ome(tmp_path):
    labels = np.full((600, 530), 70_000, np.int64)
    path = export(labels, tmp_path / "a.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.pages[0].is_tiled
        assert file.pages[0].dtype == np.uint32
        np.testing.assert_array_equal(file.asarray(), labels)
    with pytest.raises(StoreError, match="OME-Zarr"):
        export(np.full((9, 9), 2**40), tmp_path / "b.tif")


def test_a_lazy_label_image_is_written_in_pieces(tmp_path):
    array, store = counting_zarr((1100, 1300), (512, 512), dtype="u4")
    array[600:700, 900:1250] = 70_000
    store.reads.clear()
    path = export(array, tmp_path / "a.tif")
    assert max(store.reads.values()) <= 3  # for the largest id, and once or twice for the pixels
    np.testing.assert_array_equal(tifffile.imread(path), array[...])


def test_a_tiff_can_be_stopped_and_leaves_nothing(tmp_path):
    given = label_image(np.ones((4, 3000, 600), np.uint32) * 70_000)
    steps = export_steps(given, tmp_path / "a.tif")
    for _ in range(4):
        next(steps)
    steps.close()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    with pytest.raises(StoreError, match="No space left"):
        export(np.ones((9, 9), np.uint8), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_axes_out_of_order_are_refused(tmp_path):
    with pytest.raises(StoreError, match="order"):
        export(np.ones((2, 3, 9, 9), np.uint8), tmp_path / "a.tif", axes="ztyx")
    assert tiff.TILE % 16 == 0


@pytest.mark.parametrize(("highest", "mode"), [(200, "L"), (60_000, "I;16")])
def test_a_png_holds_the_ids(tmp_path, highest, mode):
    labels = np.zeros((20, 30), np.uint32)
    labels[3:9, 4:8] = highest
    path = export(labels, tmp_path / "a.png")
    with Image.open(path) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image), labels)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.full((9, 9), 70_000), "65535"),
        (np.ones((2, 9, 9), np.uint8), "one plane"),
    ],
)
def test_what_a_png_cannot_hold_is_refused_in_one_line(tmp_path, labels, says):
    with pytest.raises(StoreError, match=says) as caught:
        export(labels, tmp_path / "a.png")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
