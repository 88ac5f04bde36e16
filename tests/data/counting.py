"""Stores and arrays that count which chunks are read."""

from collections import Counter

import dask.array as da
import zarr
from zarr.storage import MemoryStore, WrapperStore


class CountingStore(WrapperStore):
    """Counts the chunks that are fetched; can be told to fail."""

    def __init__(self, store=None):
        super().__init__(store or MemoryStore())
        self.reads, self.broken = Counter(), False

    async def get(self, key, prototype, byte_range=None):
        if not key.endswith((".json", ".zarray", ".zattrs", ".zgroup")):
            self.reads[key] += 1
            if self.broken:
                raise OSError("the drive is gone\nsecond line")
        return await super().get(key, prototype, byte_range)


def counting_zarr(shape, chunks, dtype="uint16", fill=0, **options):
    """Return an array without any chunk stored, and its store."""
    store = CountingStore()
    array = zarr.create_array(
        store, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, **options
    )
    return array, store


def counting_dask(shape, chunks, dtype="uint16"):
    """Return a dask array whose pixels are their row, and a counter of computed blocks."""
    blocks = Counter()

    def block(block_info=None):
        import numpy as np

        where = block_info[None]
        blocks[tuple(where["chunk-location"])] += 1
        (y0, y1), rest = where["array-location"][-2], where["chunk-shape"]
        return np.broadcast_to(np.arange(y0, y1, dtype=dtype)[:, None], rest)

    plan = da.core.normalize_chunks(chunks, shape)
    return da.map_blocks(
        block, chunks=plan, dtype=dtype, meta=da.empty((0,) * len(shape))._meta
    ), blocks
