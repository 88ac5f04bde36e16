"""The largest id of a label image that does not fit memory, read piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.regions import Region

if TYPE_CHECKING:
    import zarr

BLOCK = 1 << 24
"""Elements of a memory-mapped array looked at in one go."""


def largest_id(data: NDArray[np.integer] | zarr.Array[Any]) -> int:
    """Return the largest id, at least 0; of a zarr array only stored chunks are read."""
    pieces = _row_blocks(data) if isinstance(data, np.ndarray) else _stored_chunks(data)
    return max((int(np.max(data[piece], initial=0)) for piece in pieces), default=0)


def _row_blocks(data: NDArray[np.integer]) -> Iterator[Region]:
    if not data.size:
        return
    rows = max(1, BLOCK // (data.size // len(data)))
    for start in range(0, len(data), rows):
        yield (slice(start, start + rows),)


def _stored_chunks(array: zarr.Array[Any]) -> Iterator[Region]:
    step = array.shards or array.chunks
    for key in _keys(array):
        position = _chunk_position(key)
        if len(position) == array.ndim:
            yield tuple(slice(i * n, (i + 1) * n) for i, n in zip(position, step, strict=True))


def _keys(array: zarr.Array[Any]) -> list[str]:
    """Return the array's keys, relative to it."""
    from zarr.core.sync import sync

    prefix = f"{array.path}/" if array.path else ""

    async def collect() -> list[str]:
        return [key async for key in array.store.list_prefix(prefix)]

    return [key.removeprefix(prefix) for key in sync(collect())]


def _chunk_position(key: str) -> tuple[int, ...]:
    """Return the grid position in ``c/1/2`` (zarr 3), ``1.2`` or ``1/2`` (zarr 2), or nothing."""
    parts = re.split(r"[./]", key.removeprefix("c/"))
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()
