"""Chunks are decoded about once, whatever walks over the image."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dask.array
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.data.chunk_cache import ChunkCache, buffered, warm
from napari_ditto.data.source import compose_sources, open_source
from napari_ditto.errors import SourceError
from napari_ditto.testing.contracts.source import SourceCase, SourceContract
from tests.data.counting import CountingStore, counting_dask, counting_zarr

STACK = np.random.default_rng(3).integers(0, 4000, (2, 5, 61, 83), dtype=np.uint16)


def source_of(data: object, axes: str = "czyx") -> object:
    return open_source(data, axes=axes, window=(0, 4000))


def zarr_of(data: np.ndarray, chunks: tuple[int, ...], **options: object) -> zarr.Array:
    return zarr.create_array(CountingStore(), data=data, chunks=chunks, **options)


def zarr_stack(folder):
    return source_of(zarr_of(STACK, (1, 2, 16, 16)))


def shards(folder):
    return source_of(zarr_of(STACK, (1, 1, 16, 16), shards=(1, 2, 32, 32)))


def dask_stack(folder):
    return source_of(dask.array.from_array(STACK, (2, 1, 20, 30)))


def tiff(folder):
    tifffile.imwrite(
        folder / "a.tif", STACK, tile=(32, 32), photometric="minisblack", compression="zlib"
    )
    return source_of(folder / "a.tif")


def composed(folder):
    return compose_sources([source_of(zarr_of(c, (1, 30, 30)), "zyx") for c in STACK])


def irregular(folder):
    return source_of(dask.array.from_array(STACK, (2, 5, (20, 41), 83)))


def numpy_array(folder):
    return source_of(STACK)


KINDS = [zarr_stack, shards, dask_stack, tiff, composed, irregular, numpy_array]


@pytest.mark.parametrize("make", KINDS, ids=lambda f: f.__name__)
def test_it_reads_the_same(tmp_path, make):
    source, rng = make(tmp_path), np.random.default_rng(1)
    kept = buffered(source, 1 << 18)
    for _ in range(12):
        z, y, x, h, w = (int(rng.integers(n)) for n in (5, 60, 80, 30, 40))
        address, box = source.plane({"z": z}), Box(y, x, min(61, y + h), min(83, x + w))
        np.testing.assert_array_equal(kept.read(address, box), source.read(address, box))


class TestBuffered(SourceContract):
    @pytest.fixture
    def case(self) -> SourceCase:
        return SourceCase(buffered(shards(None), 1 << 18), np.moveaxis(STACK, 0, -1))


def walk(shape: tuple[int, int], side: int, overlap: int) -> list[Box]:
    starts = [sorted({min(at, n - side) for at in range(0, n, side - overlap)}) for n in shape]
    return [Box(y, x, y + side, x + side) for y in starts[0] for x in starts[1]]


@pytest.mark.parametrize("make", KINDS, ids=lambda f: f.__name__)
def test_what_was_warmed_is_not_read_again(tmp_path, make):
    source, cache = make(tmp_path), ChunkCache()
    kept = buffered(source, cache=cache)
    address, box = kept.plane(), Box(3, 5, 40, 50)
    warm(kept, address, box)
    before = cache.read
    np.testing.assert_array_equal(kept.read(address, box), source.read(address, box))
    assert cache.read == before


@pytest.mark.parametrize("side", [256, 512, 500])
def test_a_walk_reads_each_chunk_about_once(side):
    array, store = counting_zarr((6000, 6000), (side, side), "uint8")
    # The seam between two rows of windows fits, the rows do not.
    cache = ChunkCache(10 << 20)
    source = buffered(source_of(array, "yx"), cache=cache)
    for box in walk((6000, 6000), 1024, 64):
        source.read(source.plane(), box)
    reads = sum(store.reads.values()) / len(store.reads)
    print(f"chunks of {side}: {reads:.2f} reads each, {cache.read} read, {cache.reused} reused")
    assert len(store.reads) == (-(-6000 // side)) ** 2
    assert reads <= 1.1
    assert cache.held <= cache.nbytes
    assert not cache.passed


def test_blocks_of_dask_are_computed_once():
    array, blocks = counting_dask((512, 512), (64, 64))
    source = buffered(source_of(array, "yx"))
    for box in walk((512, 512), 128, 32):
        np.testing.assert_array_equal(
            source.read(source.plane(), box)[:, 0, 0],
            np.arange(box.y0, box.y1, dtype=np.float32) / np.float32(4000),
        )
    assert set(blocks.values()) == {1}
    assert len(blocks) == 64


def test_inner_chunks_of_shards_are_read_once():
    data = np.zeros((256, 256), np.uint8)
    data[:] = np.arange(256)
    reads = []
    for wrap in (lambda source: source, buffered):
        array = zarr_of(data, (32, 32), shards=(128, 128))
        store = array.store_path.store
        source = wrap(source_of(array, "yx"))
        store.reads.clear()
        for box in walk((256, 256), 64, 16):
            source.read(source.plane(), box)
        reads.append(sum(store.reads.values()))
    assert reads[1] < 0.6 * reads[0]


def test_deep_chunks_are_kept_whole_if_they_fit_and_else_plane_by_plane():
    # The window at the corner touches few enough to be tried with whole chunks first.
    for nbytes, most in ((4 << 20, 1), (1 << 19, 9)):
        array, store = counting_zarr((8, 256, 256), (8, 64, 64), "uint16")
        cache = ChunkCache(nbytes)
        source = buffered(source_of(array, "zyx"), cache=cache)
        for z in range(8):
            for box in walk((256, 256), 128, 32):
                source.read(source.plane({"z": z}), box)
        assert max(store.reads.values()) == most
        assert len(store.reads) == 16
        assert cache.held <= nbytes


def test_what_does_not_fit_is_read_as_before():
    array, store = counting_zarr((256, 256), (64, 64))
    cache = ChunkCache(4096)
    source = buffered(source_of(array, "yx"), cache=cache)
    source.read(source.plane(), Box(0, 0, 128, 128))
    assert (cache.passed, cache.held, cache.read) == (1, 0, 0)
    assert len(store.reads) == 4


def test_threads_that_want_a_chunk_read_it_once():
    class Slow:
        shape, dtype, chunks = (64, 64), np.dtype(np.uint8), (16, 16)
        reads = 0

        def __getitem__(self, index):
            type(self).reads += 1
            time.sleep(0.05)
            return np.full([s.stop - s.start for s in index], 7, np.uint8)

    source = buffered(open_source(Slow(), axes="yx", window=(0, 14)))
    with ThreadPoolExecutor(8) as pool:
        tiles = list(pool.map(lambda _: source.read(source.plane(), Box(0, 0, 40, 40)), range(8)))
    assert Slow.reads == 1
    assert all((tile == 0.5).all() for tile in tiles)


def test_a_read_that_fails_is_tried_again():
    array, store = counting_zarr((64, 64), (16, 16), fill=3)
    cache = ChunkCache()
    source = buffered(source_of(array, "yx"), cache=cache)
    store.broken = True
    with pytest.raises(SourceError, match="the drive is gone"):
        source.read(source.plane(), Box(0, 0, 40, 40))
    store.broken = False
    assert (source.read(source.plane(), Box(0, 0, 40, 40)) > 0).all()
    assert cache.held == 9 * 16 * 16 * 2


def test_others_are_left_alone():
    source = open_source(STACK, axes="czyx")
    assert buffered(source).pyramid.stored[0].fetch == source.pyramid.stored[0].fetch

    class Other:
        pass

    other = Other()
    assert buffered(other) is other
    irregular = open_source(dask.array.from_array(STACK, (2, 5, (20, 41), 83)), axes="czyx")
    assert irregular.pyramid.stored[0].grid is None


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_reads_give_what_is_stored(data):
    def size(most):
        return data.draw(st.integers(1, most))

    shape = (size(4), size(20), size(20))
    chunks = tuple(min(size(9), n) for n in shape)
    raw = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
    source = open_source(zarr_of(raw, chunks), axes="zyx", window=(0, raw.size))
    kept = buffered(source, size(3000))
    for _ in range(6):
        shown = data.draw(st.permutations("zyx"))[:2]
        address = source.plane(displayed=tuple(shown))
        height, width = source.plane_shape(address)
        y, x = size(height) - 1, size(width) - 1
        box = Box(y, x, y + size(height - y), x + size(width - x))
        np.testing.assert_array_equal(kept.read(address, box), source.read(address, box))


def test_chunks_that_no_window_will_touch_again_do_not_fill_the_cache():
    """As a run reads, three tiles ahead; chunks between one overlap and a larger one pile up."""
    assert reads_of_a_walk(overlap=24) < 1.2
    assert reads_of_a_walk(overlap=32) > 1.4


def reads_of_a_walk(overlap: int, side: int = 3750, window: int = 256, ahead: int = 3) -> float:
    pixels, reads = np.zeros((side, side), np.uint8), Counter()

    class Chunked:
        shape, dtype, chunks, ndim = pixels.shape, pixels.dtype, (64, 64), 2

        def __getitem__(self, index):
            spans = [range(s.start // 64, -(-s.stop // 64)) for s in index]
            reads.update((row, column) for row in spans[0] for column in spans[1])
            return pixels[index]

    source = open_source(Chunked(), axes="yx", window=(0, 1))
    source = buffered(source, 1 << 20, overlap=overlap)
    starts = sorted({min(at, side - window) for at in range(0, side, window - 24)})
    boxes = [Box(y, x, y + window, x + window) for y in starts for x in starts][96:]
    for number, box in enumerate(boxes):
        for later in boxes[number + ahead : number + ahead + 1] if number else boxes[: ahead + 1]:
            warm(source, source.plane(), later)
        warm(source, source.plane(), box)
    return reads.total() / len(reads)
