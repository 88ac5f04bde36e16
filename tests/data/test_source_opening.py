"""What open_source makes of what it is given, and what it refuses in one line."""

import gc
import json
import warnings

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_ditto.core.geometry import Box
from napari_ditto.data.source import compose_sources, open_source
from napari_ditto.errors import SourceError


@pytest.mark.parametrize(
    ("shape", "options", "axes", "channels"),
    [
        ((9, 9), {}, "yx", 1),
        ((5, 9, 9), {}, "zyx", 1),
        ((5, 5, 9, 9), {}, "tzyx", 1),
        ((40, 41, 3), {}, "yx", 3),
        ((40, 41, 4), {}, "yx", 3),
        ((5, 40, 41, 3), {}, "zyx", 3),
        ((40, 30, 3), {}, "zyx", 1),
        ((40, 41, 3), {"axes": "zyx"}, "zyx", 1),
        ((5, 2, 9, 9), {"channel_axis": 1}, "zyx", 2),
        ((9, 9, 2), {"channel_axis": -1}, "yx", 2),
        ((2, 9, 9), {"axes": "cyx"}, "yx", 2),
        ((2, 9, 9), {"axes": "yx", "channel_axis": 0}, "yx", 2),
        ((2, 9, 9), {"axes": "tyx", "channel_axis": 0}, "yx", 2),
        ((9, 9, 3), {"axes": ["y", "x", "s"]}, "yx", 3),
        ((2, 9, 9), {"axes": ["band", "lat", "lon"], "channel_axis": "band"}, ("lat", "lon"), 2),
        ((2, 9, 9), {"axes": "xyz"}, "xyz", 1),
    ],
)
def test_axes_are_given_or_by_default(shape, options, axes, channels):
    source = open_source(np.zeros(shape, "u1"), **options)
    assert source.axes == tuple(axes)
    assert source.channels == channels


def test_default_names_of_many_axes():
    source = open_source(np.zeros((1, 1, 1, 1, 2, 2, 2), "u1"))
    assert source.axes == ("d2", "d1", "d0", "t", "z", "y", "x")


@pytest.mark.parametrize(
    ("shape", "options", "word"),
    [
        ((9, 9), {}, ""),
        ((40, 41, 3), {}, "colours"),
        ((40, 41, 4), {"axes": "yxc"}, "alpha"),
        ((5, 9, 9), {"axes": "cyx"}, "channels"),
        ((5, 9, 9), {"axes": "cyx", "channels": [1, 4]}, ""),
    ],
)
def test_choices_are_never_silent(shape, options, word):
    notes = " ".join(open_source(np.zeros(shape, "u1"), **options).notes)
    assert word in notes
    assert bool(word) == bool(notes)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (np.zeros((0, 9)), {}, "empty"),
        (np.zeros((9, 9, 0)), {}, "empty"),
        (np.zeros((3, 0, 9, 9)), {"axes": "tcyx"}, "empty"),
        (np.zeros(9), {}, "two axes"),
        (np.zeros(()), {}, "two axes"),
        (np.zeros((9, 3)), {"axes": "xc"}, "two axes"),
        (np.zeros((9, 9), complex), {}, "complex"),
        (np.zeros((9, 9), object), {}, "object"),
        (np.zeros((9, 9), "U3"), {}, "pixels of type"),
        (np.zeros((9, 9), [("a", "u1")]), {}, "pixels of type"),
        (np.zeros((9, 9), "M8[s]"), {}, "pixels of type"),
        (np.zeros((9, 9)), {"axes": "zyx"}, "3 axis names"),
        (np.zeros((9, 9)), {"axes": "yy"}, "differ"),
        (np.zeros((9, 9)), {"channel_axis": 2}, "no axis 2"),
        (np.zeros((9, 9, 9)), {"channel_axis": "c"}, "no axis is called c"),
        (np.zeros((4, 9, 9)), {"axes": "cyx", "channels": [4]}, "of 4 channels"),
        (np.zeros((4, 9, 9)), {"axes": "cyx", "channels": [0, 1, 2, 3]}, "one to three"),
        (np.zeros((4, 9, 9)), {"axes": "cyx", "channels": []}, "one to three"),
        (np.zeros((4, 9, 9)), {"axes": "cyx", "channels": [0.5]}, "whole"),
        ([np.zeros((9, 9)), np.zeros((9, 9))], {}, "finest first"),
        ([np.zeros((9, 9)), np.zeros((18, 18))], {}, "finest first"),
        ([np.zeros((2, 9, 9)), np.zeros((4, 4))], {}, "keep their axes"),
        ([np.zeros((4, 9, 9)), np.zeros((2, 4, 4))], {"axes": "cyx"}, "keep their axes"),
        ([np.zeros((9, 9)), np.zeros((0, 4))], {}, "shrink"),
        ([], {}, "not an image"),
        ([1, 2], {}, "not an image"),
        (None, {}, "not an image"),
        (b"abc", {}, "not an image"),
        ({"a": 1}, {}, "not an image"),
        ("s3://bucket/image.zarr", {}, "remote"),
        ("/nowhere/image.tif", {}, "No such file"),
        (
            da.from_array(np.arange(9.0).reshape(3, 3))[np.eye(3) > 0],
            {},
            "size of the image is not known",
        ),
    ],
)
def test_what_is_no_image_is_one_clear_line(data, options, words):
    with pytest.raises(SourceError, match=words) as caught:
        open_source(data, **options)
    assert "\n" not in str(caught.value)


def test_a_source_is_passed_through():
    source = open_source(np.zeros((9, 9)))
    assert open_source(source) is source
    assert open_source(source, window=(3, 4)).window.low == (3,)


def test_opening_asks_a_source_for_nothing():
    class Untouchable:
        shape, dtype = (9, 9), np.dtype("u1")

        def __getitem__(self, index):
            raise AssertionError("read")

        __array__ = __len__ = __getitem__

    source = open_source(open_source(Untouchable()))
    assert compose_sources([source, source]).shape == (9, 9)


class TestComposing:
    def test_parts_must_fit(self):
        parts = [np.zeros((9, 9)), np.zeros((9, 8))]
        with pytest.raises(SourceError, match="same axes and size"):
            compose_sources(parts)
        with pytest.raises(SourceError, match="one is needed"):
            compose_sources([np.zeros((2, 9, 9))] * 2, axes="cyx")
        with pytest.raises(SourceError, match="one to three"):
            compose_sources([])

    def test_parts_can_be_chosen_in_any_order(self):
        parts = [np.full((9, 9), i, "u1") for i in range(5)]
        source = compose_sources(parts, channels=(4, 2)).with_window((0, 10))
        image = source.read(source.plane(), Box(0, 0, 1, 1))
        np.testing.assert_allclose(image[0, 0], [0.4, 0.2, 0])

    def test_a_list_of_sources_is_composed(self):
        parts = [open_source(np.zeros((9, 9))), open_source(np.ones((9, 9)))]
        source = open_source(parts, window=[(0, 1), (0, 2)])
        np.testing.assert_allclose(source.read(source.plane(), Box(0, 0, 1, 1))[0, 0], [0, 0.5, 0])

    def test_levels_that_differ_are_left_out(self):
        fine = np.zeros((1000, 1000), "u1")
        parts = [open_source(fine), open_source([fine, fine[::4, ::4]])]
        assert compose_sources(parts).levels == 1
        assert compose_sources([parts[0], parts[0]]).levels == parts[0].levels > 1

    def test_closing_closes_the_parts(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), "u1"))
        with compose_sources([tmp_path / "a.tif"] * 2) as source:
            assert source.read(source.plane(), Box(0, 0, 9, 9)).shape == (9, 9, 3)
        with pytest.raises(SourceError, match="closed"):
            source.read(source.plane(), Box(0, 0, 9, 9))


class TestTiffFiles:
    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_files_are_closed_with_and_without_close(self, tmp_path, compression):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), "u1"), compression=compression)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            source = open_source(tmp_path / "a.tif")
            other = source.with_window((0, 9))
            source.close()
            source.close()
            with pytest.raises(SourceError, match="closed"):
                other.read(other.plane(), Box(0, 0, 1, 1))
            forgotten = open_source(tmp_path / "a.tif")
            assert forgotten.read(forgotten.plane(), Box(0, 0, 1, 1)).shape == (1, 1, 3)
            del forgotten, source, other
            gc.collect()
        (tmp_path / "a.tif").unlink()

    @pytest.mark.parametrize("size", [3, 8, 60, 2000])
    def test_a_damaged_file_is_one_clear_line(self, tmp_path, size):
        tifffile.imwrite(tmp_path / "a.tif", np.ones((64, 64), "u1"))
        whole = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(whole[:size])
        with pytest.raises(SourceError) as caught, open_source(tmp_path / "a.tif") as source:
            source.read(source.plane(), Box(0, 0, 64, 64))
        assert "\n" not in str(caught.value)
        assert "a.tif" in str(caught.value)

    def test_only_the_first_of_several_images_is_read_and_said(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(np.zeros((30, 30), "u1"))
            file.write(np.zeros((20, 20), "u2"))
        with open_source(tmp_path / "a.tif") as source:
            assert source.shape == (30, 30)
            assert "first of 2" in source.notes[0]

    def test_unknown_axes_get_names_by_position(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 30, 30, 3), "u1"), photometric="rgb")
        with open_source(tmp_path / "a.tif") as source:
            assert (source.axes, source.channels) == (("t", "z", "y", "x"), 3)


class TestPictures:
    @pytest.mark.parametrize(
        ("mode", "channels"), [("P", 3), ("LA", 1), ("1", 1), ("CMYK", 3), ("RGBA", 3), ("F", 1)]
    )
    def test_every_mode_opens(self, tmp_path, mode, channels):
        picture = Image.new("RGB", (50, 40), (10, 20, 30)).convert(mode)
        name = "a.png" if mode not in ("CMYK", "F") else "a.tif"
        picture.save(tmp_path / name)
        with open_source(tmp_path / name) as source:
            assert (source.shape, source.channels) == ((40, 50), channels)

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no image")
        with pytest.raises(SourceError, match="PNG"):
            open_source(tmp_path / "notes.txt")

    def test_a_picture_bomb_is_refused(self, tmp_path, monkeypatch):
        Image.new("L", (100, 100)).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8000)
        with pytest.raises(SourceError, match="too large"):
            open_source(tmp_path / "a.png")


class TestZarrFolders:
    def test_a_plain_group_of_one_array_opens(self, tmp_path):
        zarr.create_group(tmp_path / "g").create_array(
            "a", shape=(3, 9, 9), chunks=(1, 9, 9), dtype="u1", dimension_names=["q", "y", "x"]
        )
        assert open_source(tmp_path / "g").axes == ("q", "y", "x")
        assert open_source(zarr.open_group(tmp_path / "g")).shape == (3, 9, 9)

    def test_a_group_of_several_arrays_names_them(self, tmp_path):
        group = zarr.create_group(tmp_path / "g")
        for name in "ab":
            group.create_array(name, shape=(9, 9), chunks=(9, 9), dtype="u1")
        with pytest.raises(SourceError, match="a, b"):
            open_source(tmp_path / "g")

    @pytest.mark.parametrize("key", ["plate", "well", "bioformats2raw.layout"])
    def test_a_folder_of_several_images_names_one(self, tmp_path, key):
        group = zarr.create_group(tmp_path / "g", zarr_format=2)
        group.attrs.put({key: {"wells": []}})
        group.create_group("A")
        with pytest.raises(SourceError, match="g/A"):
            open_source(tmp_path / "g")

    def test_a_folder_that_is_no_zarr_is_refused(self, tmp_path):
        with pytest.raises(SourceError, match="as zarr"):
            open_source(tmp_path)

    def test_metadata_without_axes_or_scales_opens(self, tmp_path):
        group = zarr.create_group(tmp_path / "g", zarr_format=2)
        for i in range(2):
            shape = (1, 2, 3, 80 >> i, 80 >> i)
            group.create_array(str(i), shape=shape, chunks=shape, dtype="u1")
        group.attrs.put({"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]})
        source = open_source(tmp_path / "g")
        assert (source.axes, source.channels) == (("t", "z", "y", "x"), 2)
        assert source.factor(source.plane(), 1) == (2, 2)

    @pytest.mark.parametrize(
        "multiscales",
        [
            [{}],
            [{"datasets": []}],
            [{"datasets": [{}]}],
            [{"datasets": [{"path": 3}]}],
            [{"datasets": [{"path": ""}]}],
            [{"datasets": [{"path": "nowhere"}]}],
            [{"datasets": "0"}],
            "multiscales",
            7,
            [{"axes": [{"nom": "x"}], "datasets": [{"path": "0"}]}],
            [{"axes": 5, "datasets": [{"path": "0"}]}],
            [{"axes": ["y"], "datasets": [{"path": "0"}]}],
        ],
        ids=str,
    )
    def test_damaged_metadata_is_one_clear_line(self, tmp_path, multiscales):
        group = zarr.create_group(tmp_path / "g")
        group.create_array("0", shape=(9, 9), chunks=(9, 9), dtype="u1")
        group.attrs.put({"ome": {"version": "0.5", "multiscales": multiscales}})
        with pytest.raises(SourceError) as caught:
            open_source(tmp_path / "g")
        assert "\n" not in str(caught.value)

    def test_odd_transforms_do_no_harm(self, tmp_path):
        group = zarr.create_group(tmp_path / "g")
        group.create_array("0", shape=(9, 9), chunks=(9, 9), dtype="u1")
        for transforms in (
            None,
            5,
            [5],
            [{"scale": 3}],
            [{"scale": ["a", 1]}],
            [{"scale": [0, 1]}],
        ):
            dataset = {"path": "0", "coordinateTransformations": transforms}
            group.attrs.put({"ome": {"multiscales": [{"datasets": [dataset]}]}})
            assert open_source(tmp_path / "g").scale == (1, 1)

    def test_hand_written_v2_metadata_opens(self, tmp_path):
        folder = tmp_path / "a.zarr"
        folder.mkdir()
        metadata = {
            "zarr_format": 2, "shape": [9, 9], "chunks": [9, 9], "dtype": ">i2", "order": "C",
            "compressor": None, "filters": None, "fill_value": 4,
        }  # fmt: skip
        (folder / ".zarray").write_text(json.dumps(metadata))
        source = open_source(folder, window=(0, 8))
        np.testing.assert_allclose(source.read(source.plane(), Box(0, 0, 9, 9)), 0.5)
