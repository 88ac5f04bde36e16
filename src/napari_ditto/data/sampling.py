"""The intensity window of an image, from a small fixed sample of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.window import Window
from napari_ditto.data.pyramid import Pyramid, runs
from napari_ditto.errors import SourceError

SAMPLE_BLOCKS = 16
"""Most chunks that a sample reads."""

SAMPLE_VALUES = 2**22
"""Most pixels that a sample keeps, over all blocks and channels."""

PERCENTILES = (0.5, 99.5)


WindowLike = Window | Sequence[float] | Sequence[Sequence[float]]


def as_window(window: WindowLike, channels: int) -> Window:
    """Return a window of `channels` pairs from a window, one pair for all, or a list of pairs."""
    try:
        if not isinstance(window, Window):
            pairs = np.asarray(window, dtype=float).reshape(-1, 2).tolist()
            window = Window.from_pairs(pairs if len(pairs) > 1 else pairs * channels)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"{window} is no intensity window", todo="Give (low, high) with low < high."
        ) from error
    if window.channels != channels:
        raise SourceError(
            f"the window has {window.channels} pairs of limits, the image {channels} channels"
        )
    return window


def sample_window(pyramid: Pyramid) -> Window:
    """Return the window of an image; the same one whenever and wherever it is asked for.

    Booleans get (0, 1), 8-bit colour (0, 255). Everything else gets the 0.5th and 99.5th
    percentile of the finite pixels in at most 16 chunks spread over the coarsest stored level:
    one pair per channel, but a common pair for colour pictures.
    """
    dtype, channels = pyramid.stored[0].dtype, max(1, len(pyramid.picks))
    if dtype.kind == "b":
        return Window((0.0,) * channels, (1.0,) * channels)
    if pyramid.axes.rgb and dtype == np.uint8:
        return Window((0.0,) * channels, (255.0,) * channels)
    values = _sample(pyramid)
    if pyramid.axes.rgb:
        return Window.from_pairs([limits(np.concatenate(values), dtype)] * channels)
    return Window.from_pairs([limits(v, dtype) for v in values])


def limits(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return a legal (low, high) for sampled values, whatever they are.

    Falls back from percentiles to the extremes, then (constant, empty or all-NaN sample) to the
    range of 8- and 16-bit integers, and at last to one unit above the constant.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size:
        for low, high in (np.percentile(finite, PERCENTILES), (finite.min(), finite.max())):
            if low < high and math.isfinite(high - low):
                return float(low), float(high)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    low = float(np.clip(finite[0] if finite.size else 0.0, -1e300, 1e300))
    return low, low + max(1.0, abs(low) * 1e-3)


def _sample(pyramid: Pyramid) -> list[NDArray[Any]]:
    """Return sampled values of each channel, flat."""
    raw, channel = pyramid.stored[-1], pyramid.axes.channel
    if channel is None:
        blocks = _blocks(raw.shape, raw.chunks, SAMPLE_BLOCKS, SAMPLE_VALUES)
        return [np.concatenate([raw.read(b).ravel() for b in blocks])]
    chunks = raw.chunks or raw.shape
    separate = len({pick // chunks[channel] for pick in pyramid.picks})
    shape, grain = list(raw.shape), list(chunks)
    shape[channel] = grain[channel] = 1
    places = list(
        _blocks(
            shape,
            grain if raw.chunks else None,
            max(1, SAMPLE_BLOCKS // separate),
            SAMPLE_VALUES // len(pyramid.picks),
        )
    )
    values: list[NDArray[Any]] = []
    for run in runs(pyramid.picks):
        parts = [raw.read((*p[:channel], run, *p[channel + 1 :])) for p in places]
        values.extend(
            np.concatenate([np.take(part, i, axis=channel).ravel() for part in parts])
            for i in range(run.stop - run.start)
        )
    return values


def _blocks(
    shape: Sequence[int], chunks: Sequence[int] | None, most: int, values: int
) -> Iterator[tuple[slice, ...]]:
    """Yield boxes, each inside one chunk, spread over an array by a fixed sequence."""
    if math.prod(shape) <= values and (chunks is None or _count(shape, chunks) <= most):
        grain = tuple(chunks or shape)
        yield from (_block(shape, grain, grain, c) for c in np.ndindex(*_grid(shape, grain)))
        return
    size = _shrink(chunks or shape, values // most)
    grain = tuple(chunks or size)
    for corner in itertools.islice(_spread(_grid(shape, grain)), most):
        yield _block(shape, grain, size, corner)


def _block(
    shape: Sequence[int], grain: Sequence[int], size: Sequence[int], corner: Sequence[int]
) -> tuple[slice, ...]:
    """Return a box of `size` in the middle of the chunk at grid place `corner`."""
    result = []
    for length, step, side, at in zip(shape, grain, size, corner, strict=True):
        start, stop = at * step, min(length, (at + 1) * step)
        margin = max(0, (stop - start - side) // 2)
        result.append(slice(start + margin, min(stop, start + margin + side)))
    return tuple(result)


def _spread(grid: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield distinct places of a grid, evenly spread whatever their number.

    The R_d sequence: multiples of the powers of 1/phi_d, where phi_d solves x**(d+1) = x + 1
    (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"). It starts in
    the middle.
    """
    wide = [i for i, n in enumerate(grid) if n > 1]
    phi = 1.5
    for _ in range(40):
        phi = (1 + phi) ** (1 / (len(wide) + 1))
    seen = set()
    for n in range(4 * SAMPLE_BLOCKS):
        place = [0] * len(grid)
        for power, axis in enumerate(wide, start=1):
            place[axis] = int((0.5 + n / phi**power) % 1.0 * grid[axis])
        if tuple(place) not in seen:
            seen.add(tuple(place))
            yield tuple(place)


def _shrink(shape: Sequence[int], most: int) -> tuple[int, ...]:
    """Halve sides, all but the last two wide axes first, until at most `most` values are left."""
    size = list(shape)
    while math.prod(size) > most:
        wide = [i for i, s in enumerate(size) if s > 1]
        axis = wide[0] if len(wide) > 2 else max(wide, key=size.__getitem__)
        size[axis] = -(-size[axis] // 2)
    return tuple(size)


def _grid(shape: Sequence[int], grain: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-s // g) for s, g in zip(shape, grain, strict=True))


def _count(shape: Sequence[int], grain: Sequence[int]) -> int:
    return math.prod(_grid(shape, grain))
