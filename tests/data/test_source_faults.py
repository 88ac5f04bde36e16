"""Hostile metadata and stores that fail: one line, nothing read that should not be."""

import json
import os
import shutil

import dask.array as da
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_ditto.core.geometry import Box
from napari_ditto.data import zarr_rules
from napari_ditto.data.source import open_source
from napari_ditto.errors import SourceError
from tests.data.counting import counting_zarr


def refused(read, *words):
    with pytest.raises(SourceError) as caught:
        read()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return caught.value


def read_all(source):
    plane = source.plane()
    return source.read(plane, Box.of_shape(source.plane_shape(plane)))


class TestFailuresInMidRun:
    def test_a_store_that_breaks(self):
        array, store = counting_zarr((64, 64), (32, 32))
        source = open_source(array, window=(0, 1), name="my layer")
        assert read_all(source).max() == 0
        store.broken = True
        error = refused(lambda: read_all(source), "my layer", "0:64", "the drive is gone")
        assert "second line" not in str(error)
        assert isinstance(error.__cause__, OSError)
        store.broken = False
        assert read_all(source).max() == 0

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_a_folder_that_vanishes_is_not_read_as_zeros(self, tmp_path, zarr_format):
        array = zarr.create_array(
            tmp_path / "a.zarr",
            shape=(64, 64),
            chunks=(32, 32),
            dtype="u1",
            zarr_format=zarr_format,
        )
        array[...] = 5
        source = open_source(array, window=(0, 10))
        np.testing.assert_allclose(read_all(source), 0.5)
        shutil.rmtree(tmp_path / "a.zarr")
        refused(lambda: read_all(source), "a.zarr")

    def test_a_damaged_chunk(self, tmp_path):
        array = zarr.create_array(tmp_path / "a", shape=(64, 64), chunks=(32, 32), dtype="u1")
        array[...] = np.random.default_rng(0).integers(0, 255, (64, 64))
        source = open_source(tmp_path / "a", window=(0, 1))
        (tmp_path / "a" / "c" / "0" / "0").write_bytes(b"damaged")
        refused(lambda: read_all(source), str(tmp_path))

    def test_a_dask_graph_that_raises(self):
        def fail(block):
            raise KeyError("no such frame")

        data = da.ones((64, 64), chunks=32).map_blocks(fail, dtype="f8", meta=np.empty((0, 0)))
        source = open_source(data, window=(0, 1), name="movie")
        refused(lambda: read_all(source), "movie", "no such frame")

    def test_a_dask_block_of_the_wrong_shape(self):
        data = da.ones((64, 64), chunks=64).map_blocks(lambda b: b[:1], dtype="f8", chunks=(64, 64))
        source = open_source(data, window=(0, 1))
        refused(lambda: read_all(source))

    def test_the_window_of_an_unreadable_image(self):
        array, store = counting_zarr((64, 64), (32, 32))
        source = open_source(array)
        store.broken = True
        refused(lambda: source.window, "the drive is gone")
        store.broken = False
        assert source.window.channels == 1

    def test_a_tiff_that_is_cut_while_open(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.ones((640, 640), "u1"))
        with open_source(tmp_path / "a.tif", window=(0, 1)) as source:
            assert read_all(source).min() == 1
            os.truncate(tmp_path / "a.tif", 2000)
            refused(lambda: read_all(source), "a.tif", "ends before")


class TestBombs:
    @pytest.fixture(autouse=True)
    def much_memory(self, monkeypatch):
        monkeypatch.setattr(zarr_rules, "free_memory", lambda: 2**40)

    @pytest.mark.parametrize(("free", "limit"), [(2**30, 2**28), (2**34, 2**30), (None, 2**30)])
    def test_a_chunk_may_take_a_quarter_of_what_is_free(self, monkeypatch, free, limit):
        monkeypatch.setattr(zarr_rules, "free_memory", lambda: free)
        assert zarr_rules.chunk_limit() == limit
        array, _ = counting_zarr((2**16, 2**16), (2**10, limit // 2**10 + 1), dtype="u1")
        refused(lambda: open_source(array), "chunk takes", "smaller chunks")

    def test_a_large_chunk_is_refused_before_it_is_read(self):
        array, store = counting_zarr((2**16, 2**16), (2**15, 2**15 + 1), dtype="u1")
        refused(lambda: open_source(array), "1 GiB")
        assert not store.reads
        array, _ = counting_zarr((2**16, 2**16), (2**15, 2**15), dtype="u1")
        assert open_source(array, window=(0, 1)).levels > 1

    def test_any_level_counts(self):
        fine, _ = counting_zarr((2**17, 2**17), (512, 512))
        coarse, _ = counting_zarr((2**16, 2**16), (2**15, 2**15))
        refused(lambda: open_source([fine, coarse]), "GiB")

    def test_small_chunks_in_a_large_shard_are_fine_but_not_its_index(self):
        array, _ = counting_zarr((2**16, 2**16), (512, 512), shards=(2**16, 2**16))
        assert open_source(array, window=(0, 1)).levels > 1
        array, _ = counting_zarr((2**16, 2**16), (4, 4), shards=(2**16, 2**16))
        refused(lambda: open_source(array), "GiB")


class Payload:
    def __reduce__(self):
        return (open, (os.environ["DITTO_TEST_CANARY"], "w"))


class TestCodecs:
    def hostile_v2(self, folder, **changes):
        zarr.create_array(
            folder, shape=(4, 4), chunks=(4, 4), dtype="u1", zarr_format=2, compressors=None
        )
        metadata = json.loads((folder / ".zarray").read_text())
        (folder / ".zarray").write_text(json.dumps({**metadata, **changes}))

    @pytest.mark.parametrize(
        "changes",
        [
            {"filters": [{"id": "pickle"}]},
            {"compressor": {"id": "pickle"}},
            {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "fill_value": None},
            {"dtype": "|O", "filters": [{"id": "json2"}], "fill_value": None},
            {"filters": [{"id": "categorize", "labels": ["a"], "dtype": "<U1", "astype": "|u1"}]},
        ],
        ids=str,
    )
    def test_pickle_and_object_codecs_are_refused_and_do_not_run(
        self, tmp_path, changes, monkeypatch
    ):
        canary = tmp_path / "canary"
        monkeypatch.setenv("DITTO_TEST_CANARY", str(canary))
        self.hostile_v2(tmp_path / "a.zarr", **changes)
        payload = numcodecs.Pickle().encode(np.array([Payload()], dtype=object))
        (tmp_path / "a.zarr" / "0.0").write_bytes(payload)
        refused(lambda: open_source(tmp_path / "a.zarr"))
        assert not canary.exists()

    @pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
    def test_common_codecs_are_fine(self, tmp_path):
        raw = np.arange(64, dtype="u2").reshape(8, 8)
        from zarr.codecs import numcodecs as wrapped

        chains = [
            {
                "zarr_format": 2,
                "compressors": numcodecs.Blosc(),
                "filters": [numcodecs.Delta("u2")],
            },
            {"zarr_format": 2, "compressors": numcodecs.LZ4()},
            {"zarr_format": 2, "compressors": numcodecs.GZip()},
            {"compressors": [wrapped.Zlib()], "filters": [wrapped.Delta(dtype="u2")]},
            {"compressors": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()]},
            {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
        ]
        for i, chain in enumerate(chains):
            path = tmp_path / f"{i}"
            array = zarr.create_array(path, shape=(8, 8), chunks=(4, 4), dtype="u2", **chain)
            array[...] = raw
            source = open_source(path, window=(0, 64))
            np.testing.assert_allclose(read_all(source)[..., 0] * 64, raw, atol=1e-4)


class TestPathsOutOfTheFolder:
    @pytest.fixture
    def image(self, tmp_path):
        """Return a function that writes an image group naming `path`; a secret lies outside."""
        zarr.create_array(tmp_path / "secret", shape=(9, 9), chunks=(9, 9), dtype="u1")
        group = zarr.create_group(tmp_path / "image.zarr")

        def write(path):
            multiscales = [{"axes": ["y", "x"], "datasets": [{"path": path}]}]
            group.attrs.put({"ome": {"version": "0.5", "multiscales": multiscales}})
            return tmp_path / "image.zarr"

        return write

    @pytest.mark.parametrize(
        "path",
        ["../secret", "a/../../secret", "..\\secret", "C:\\secret", "/secret", "\\\\host\\a"],
    )
    def test_names_that_leave(self, image, path):
        refused(lambda: open_source(image(path)), "leaves the image's folder")

    def test_an_absolute_path(self, image, tmp_path):
        refused(lambda: open_source(image(str(tmp_path / "secret"))), "leaves")

    def test_a_symlink_out(self, image, tmp_path):
        folder = image("0")
        (folder / "0").symlink_to(tmp_path / "secret", target_is_directory=True)
        refused(lambda: open_source(folder), "leaves")

    def test_a_symlink_of_the_metadata(self, image, tmp_path):
        folder = image("0")
        (folder / "0").mkdir()
        (folder / "0" / "zarr.json").symlink_to(tmp_path / "secret" / "zarr.json")
        refused(lambda: open_source(folder), "leaves")

    def test_a_symlink_to_the_image_itself_is_fine(self, image, tmp_path):
        folder = image("0")
        zarr.create_array(folder / "0", shape=(9, 9), chunks=(9, 9), dtype="u1")
        (tmp_path / "link.zarr").symlink_to(folder, target_is_directory=True)
        assert open_source(tmp_path / "link.zarr").shape == (9, 9)
