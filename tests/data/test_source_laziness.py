"""No more is read than a box touches, and nothing before it is asked for."""

import tracemalloc

import dask.array as da
import numpy as np
import pytest
import tifffile
import tifffile.zarr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.data import pyramid, sampling
from napari_ditto.data.source import open_source
from napari_ditto.errors import SourceError
from tests.data.counting import CountingStore, counting_dask, counting_zarr


def touched(start, stop, chunk):
    return range(start // chunk, -(-stop // chunk))


@pytest.mark.parametrize("options", [{"zarr_format": 2}, {"zarr_format": 3}])
@settings(deadline=None, max_examples=50)
@given(st.data())
def test_zarr_reads_exactly_the_chunks_of_the_box(options, data):
    array, store = counting_zarr((4, 3, 300, 500), (1, 2, 64, 50), **options)
    source = open_source(array, axes="tzyx", window=(0, 1))
    y0, x0 = data.draw(st.integers(0, 299)), data.draw(st.integers(0, 499))
    y1, x1 = data.draw(st.integers(y0 + 1, 300)), data.draw(st.integers(x0 + 1, 500))
    t, z = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 2))
    assert not store.reads
    source.read(source.plane({"t": t, "z": z}), Box(y0, x0, y1, x1))
    separator = "." if options["zarr_format"] == 2 else "/"
    prefix = [] if options["zarr_format"] == 2 else ["c"]
    assert dict(store.reads) == {
        separator.join([*prefix, str(t), str(z // 2), str(i), str(j)]): 1
        for i in touched(y0, y1, 64)
        for j in touched(x0, x1, 50)
    }


def test_xz_plane_reads_only_its_own_chunks():
    array, store = counting_zarr((40, 300, 500), (10, 100, 100))
    source = open_source(array, axes="zyx", window=(0, 1))
    source.read(source.plane({"y": 150}, ("z", "x")), Box(5, 90, 15, 110))
    assert sorted(store.reads) == ["c/0/1/0", "c/0/1/1", "c/1/1/0", "c/1/1/1"]


def test_picked_channels_alone_are_read():
    array, store = counting_zarr((5, 64, 64), (1, 64, 64))
    source = open_source(array, axes="cyx", channels=(0, 3), window=(0, 1))
    source.read(source.plane(), Box(0, 0, 8, 8))
    assert sorted(store.reads) == ["c/0/0/0", "c/3/0/0"]


def test_reads_stay_at_the_level_asked_for():
    levels, stores = zip(
        *(counting_zarr((2, 2048 >> i, 2048 >> i), (1, 256, 256)) for i in range(3)), strict=True
    )
    source = open_source(list(levels), window=(0, 1))
    for level in range(source.levels):
        source.read(source.plane({"z": 1}), Box(0, 0, 8, 8), level)
        assert [bool(s.reads) for s in stores] == [i == min(level, 2) for i in range(3)]
        for store in stores:
            store.reads.clear()


def test_dask_computes_exactly_the_blocks_of_the_box_once():
    array, blocks = counting_dask((3, 100_000, 100_000), (1, 1000, 1000))
    source = open_source(array, window=(0, 100_000))
    image = source.read(source.plane({"z": 2}), Box(41_500, 70_900, 42_500, 71_100))
    assert dict(blocks) == {(2, i, j): 1 for i in (41, 42) for j in (70, 71)}
    np.testing.assert_allclose(image[:, 0, 1], np.arange(41_500, 42_500) / 1e5, rtol=1e-6)


def test_dask_reads_leave_the_global_cache_registered_all_the_while():
    from dask.callbacks import Callback

    active = []

    def look(block):
        active.append(len(Callback.active))
        return block

    data = da.ones((64, 64), chunks=32).map_blocks(look, meta=np.empty((0, 0)))
    source = open_source(data, window=(0, 1))
    with Callback():
        source.read(source.plane(), Box(0, 0, 64, 64))
    assert active == [1] * 4


@pytest.mark.parametrize("pieces", [1, 2**18, 2**22])
def test_virtual_level_reads_no_chunk_twice_and_only_its_own(monkeypatch, pieces):
    monkeypatch.setattr(pyramid, "PIECE_PIXELS", pieces)
    array, store = counting_zarr((4096, 4096), (256, 512))
    source = open_source(array, window=(0, 1))
    source.read(source.plane(), Box(10, 20, 138, 148), 3)  # raw 80:1104, 160:1184
    assert set(store.reads.values()) == {1}
    assert sorted(store.reads) == sorted(f"c/{i}/{j}" for i in range(5) for j in range(3))


@pytest.mark.parametrize(
    ("shape", "chunks", "axes"),
    [
        ((100_000, 100_000), (512, 512), "yx"),
        ((50, 3, 400, 30_000, 30_000), (1, 1, 1, 512, 512), "tczyx"),
        ((30_000, 30_000, 3), (256, 256, 3), "yxc"),
        ((2**40, 3), (4096, 3), "yx"),
        ((4, 2**40), (4, 4096), "yx"),
    ],
)
def test_the_window_is_sampled_from_few_chunks(shape, chunks, axes):
    array, store = counting_zarr(shape, chunks)
    source = open_source(array, axes=axes)
    assert not store.reads
    window = source.window
    assert 3 <= len(store.reads) <= sampling.SAMPLE_BLOCKS
    assert set(store.reads.values()) == {1}
    store.reads.clear()
    source.read(source.plane(), Box(0, 0, 1, 1))
    assert source.window == window
    assert len(store.reads) <= 3


def test_the_sample_reads_the_coarsest_stored_level_only():
    fine, fine_store = counting_zarr((4096, 4096), (512, 512))
    coarse, coarse_store = counting_zarr((1024, 1024), (512, 512))
    assert open_source([fine, coarse]).window
    assert not fine_store.reads
    assert len(coarse_store.reads) == 4


def test_a_sample_of_a_large_chunk_is_bounded():
    array = np.broadcast_to(np.arange(50_000, dtype="uint16"), (7, 50_000, 50_000))
    tracemalloc.start()
    window = open_source(array).window
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert window.low[0] < 5_000
    assert window.high[0] > 45_000
    assert peak < 150e6


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_an_image_2_to_the_40_wide_opens_and_reads_at_both_ends(kind):
    if kind == "numpy":
        data = np.lib.stride_tricks.as_strided(np.full(1, 7, ">u2"), (5, 2**40), (0, 0))
    else:
        data, _ = counting_zarr((5, 2**40), (5, 1000), fill=7)
    source = open_source(data, window=(0, 10))
    plane, last = source.plane(), 2**40
    assert source.plane_shape(plane) == (5, 2**40)
    for box in (Box(0, 0, 5, 3), Box(0, last - 3, 5, last)):
        np.testing.assert_allclose(source.read(plane, box), 0.7, rtol=1e-6)
    height, width = source.plane_shape(plane, source.levels - 1)
    assert source.factor(plane, source.levels - 1)[1] * width >= last
    np.testing.assert_allclose(
        source.read(plane, Box(0, width - 2, height, width), source.levels - 1), 0.7, rtol=1e-6
    )
    turned = source.plane(displayed=("x", "y"))
    assert source.read(turned, Box(last - 2, 0, last, 5)).shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("shape", "chunks"), [((2**13, 2**13), (512, 512)), ((4, 2**40), (4, 4096))]
)
def test_a_virtual_tile_takes_bounded_memory(shape, chunks):
    array, _ = counting_zarr(shape, chunks, dtype="uint8")
    source = open_source(array, window=(0, 1))
    level = min(source.levels - 1, 12)
    height, width = source.plane_shape(source.plane(), level)
    tracemalloc.start()
    source.read(source.plane(), Box(0, 0, min(height, 1024), min(width, 1024)), level)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6, f"{peak / 1e6:.0f} MB"


def test_a_read_past_the_budget_is_refused_before_it_reads():
    array, store = counting_zarr((100_000, 100_000), (512, 512))
    source = open_source(array, window=(0, 1))
    level = source.levels - 1
    assert source.read(source.plane(), Box(0, 0, 16, 16), level).shape == (16, 16, 3)
    store.reads.clear()
    with pytest.raises(SourceError, match="pyramid"):
        source.read(source.plane(), Box.of_shape(source.plane_shape(source.plane(), level)), level)
    assert not store.reads


def test_a_whole_plane_past_the_budget_is_refused_at_level_0_too():
    source = open_source(np.broadcast_to(np.uint8(3), (10_000, 10_000)), window=(0, 1))
    with pytest.raises(SourceError, match="100 Mpx"):
        source.read(source.plane(), Box(0, 0, 10_000, 10_000))


def test_a_large_uncompressed_tiff_is_read_by_rows(tmp_path, monkeypatch):
    raw = np.random.default_rng(0).integers(0, 255, (3000, 4000), dtype="uint8")
    tifffile.imwrite(tmp_path / "a.tif", raw)
    from napari_ditto.data import tiff

    read, bytes_read = tiff.ContiguousPixels._read, []

    def counted(self, start, into):
        bytes_read.append(into.size)
        read(self, start, into)

    monkeypatch.setattr(tiff.ContiguousPixels, "_read", counted)
    with open_source(tmp_path / "a.tif", window=(0, 255)) as source:
        image = source.read(source.plane(), Box(1000, 2000, 1100, 2050))
    np.testing.assert_allclose(image[..., 0] * 255, raw[1000:1100, 2000:2050], atol=1e-4)
    assert sum(bytes_read) == 100 * 50


def test_a_tiled_tiff_is_read_by_tiles(tmp_path, monkeypatch):
    raw = np.zeros((1024, 1024), dtype="uint8")
    tifffile.imwrite(tmp_path / "a.tif", raw, tile=(128, 128), compression="zlib")
    keys = []
    get = tifffile.zarr.ZarrTiffStore.get

    async def counted(self, key, *args, **kwargs):
        keys.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(tifffile.zarr.ZarrTiffStore, "get", counted)
    with open_source(tmp_path / "a.tif", window=(0, 255)) as source:
        keys.clear()
        source.read(source.plane(), Box(120, 260, 140, 300))
    assert sorted(keys) == ["0.2", "1.2"]


def test_missing_chunks_are_the_fill_value():
    array, _ = counting_zarr((64, 64), (32, 32), fill=9)
    array[:32, :32] = 3
    source = open_source(array, window=(0, 10))
    image = source.read(source.plane(), Box(0, 0, 64, 64))
    np.testing.assert_allclose(image[0, [0, 63], 0], [0.3, 0.9], rtol=1e-6)


def test_a_sharded_array_reads_parts_of_the_shard():
    store = CountingStore()
    array = zarr.create_array(
        store, shape=(512, 512), chunks=(64, 64), shards=(512, 512), dtype="uint8"
    )
    array[...] = 5
    source = open_source(array, window=(0, 10))
    store.reads.clear()
    image = source.read(source.plane(), Box(60, 60, 70, 70))
    np.testing.assert_allclose(image, 0.5)
    assert sum(store.reads.values()) <= 5  # the index and four inner chunks
