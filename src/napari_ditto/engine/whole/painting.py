"""The result of a run: blocks of labels with the three levels above each, then what is coarser."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.data.coarsening import reduced
from napari_ditto.engine.whole.context import BLOCK, Blocks, RunContext, Stored, array_index

SPAN = 3
"""Levels above a block that are written with it: 2048 pixels become one chunk of 256."""


def passes(run: RunContext) -> int:
    """Return how often a level is taken for the base of the next three."""
    return max(1, -(-(len(run.labels.levels) - 1) // SPAN))


def blocks(run: RunContext, base: int = 0) -> Blocks:
    """Return the blocks of a plane at a level."""
    return Blocks(_level_shape(run, base))


def touched(run: RunContext, base: int = 0) -> Sequence[int]:
    """Return the blocks of all planes that tiles of the plan look at; the others stay empty."""
    found = blocks(run, base)
    if run.plan.ranges is None:
        return range(found.count * len(run.plan.addresses))
    side, numbers = BLOCK << base, set[int]()
    for number in run.plan.numbers():
        tile = run.plan.tile(number)
        first = tile.plane * found.count
        for row in range(tile.window.y0 // side, -(-tile.window.y1 // side)):
            for column in range(tile.window.x0 // side, -(-tile.window.x1 // side)):
                numbers.add(first + row * found.columns + column)
    return sorted(numbers)


def paint_steps(run: RunContext, item: int, key: str) -> Generator[Progress, None, Stored]:
    """Paint one block of one plane, if that was not done with these ids."""
    plane, number = divmod(item, blocks(run).count)
    box, address = blocks(run).box(number), run.plan.addresses[plane]
    record = key or run.plan.digest
    yield Progress("paint", 0, 1)
    told = run.folder.told("paint", item, record)
    if told is not None and told[0]["digests"] == _held(run, address, box):
        return Stored(lambda: {"reused": True})
    labels = run.render(plane, box, key).astype(run.labels.dtype)
    return Stored(lambda: _store(run, item, record, address, box, labels))


def coarsen_steps(run: RunContext, item: int, key: str) -> Generator[Progress, None, Stored]:
    """Make the levels above one block of a coarse level."""
    for base, count in bases(run):  # noqa: B007 - the last one is meant
        if item < count * len(run.plan.addresses):
            break
        item -= count * len(run.plan.addresses)
    plane, number = divmod(item, count)
    box, address = blocks(run, base).box(number), run.plan.addresses[plane]
    yield Progress("pyramid", 0, 1)
    labels = read(run, address, box, base)
    return Stored(lambda: {"levels": len(_write_above(run, address, box, base, labels))})


def bases(run: RunContext) -> Iterator[tuple[int, int]]:
    """Yield the levels that are taken for a base after the first, and their blocks per plane."""
    for step in range(1, passes(run)):
        yield SPAN * step, blocks(run, SPAN * step).count


def read(run: RunContext, address: PlaneAddress, box: Box, level: int) -> NDArray[Any]:
    """Return what the target holds; what cannot be read there differs from everything."""
    index = array_index(run.plan.axes, address, box)
    try:
        found = np.asarray(run.labels.levels[level][index])
    except Exception:  # noqa: BLE001 - zarr and its codecs raise what they like for a bad chunk
        return np.full(box.shape, np.iinfo(run.labels.dtype).max, dtype=run.labels.dtype)
    return found.reshape(box.shape)


def _store(
    run: RunContext, item: int, key: str, address: PlaneAddress, box: Box, labels: NDArray[Any]
) -> Mapping[str, object]:
    _write(run, address, box, 0, labels)
    above = _write_above(run, address, box, 0, labels)
    digests = [_digest(part) for part in (labels, *above)]
    run.folder.put("paint", item, key, {"digests": digests}, {})
    return {"reused": False}


def _held(run: RunContext, address: PlaneAddress, box: Box) -> list[str]:
    """Return the digests of what the target holds of a block, and of the levels above it."""
    found = [_digest(read(run, address, box, 0))]
    return found + [_digest(read(run, address, b, n)) for n, b in _above(run, box, 0)]


def _above(run: RunContext, box: Box, base: int) -> Iterator[tuple[int, Box]]:
    """Yield the levels that are written with a block, and its place on each."""
    for level in range(base + 1, min(base + SPAN + 1, len(run.labels.levels))):
        box = box.scale(0.5, 0.5).intersect(Box.of_shape(_level_shape(run, level)))
        yield level, box


def _write_above(
    run: RunContext, address: PlaneAddress, box: Box, base: int, labels: NDArray[Any]
) -> list[NDArray[Any]]:
    """Write the levels above a block, and return them."""
    written = []
    for level, where in _above(run, box, base):
        labels = reduced(labels, (2, 2))
        _write(run, address, where, level, labels)
        written.append(labels)
    return written


def _write(
    run: RunContext, address: PlaneAddress, box: Box, level: int, labels: NDArray[Any]
) -> None:
    array: Any = run.labels.levels[level]
    index = array_index(run.plan.axes, address, box)
    array[index] = labels.reshape(tuple(s.stop - s.start for s in index))


def _level_shape(run: RunContext, level: int) -> tuple[int, int]:
    *_, height, width = run.labels.levels[level].shape
    return height, width


def _digest(labels: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()
